# SPDX-License-Identifier: Apache-2.0
"""Splunk, Elasticsearch and OpenSearch, Loki, OTLP: against stand-ins that hold them to their
documentation (see fakes.py), with everything that can go wrong between.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.ship.http import authorization
from guard.ship.sink import DELIVERED, Unavailable
from guard.ship.to_elastic import Elastic, document_id
from guard.ship.to_loki import Loki
from guard.ship.to_otlp import Otlp
from guard.ship.to_splunk import Splunk, SplunkSettings, splunk_headers
from tests.ship import fakes
from tests.ship.fakes import Receiver
from tests.ship.http_sinks import client, deliver, elastic_sink, splunk_sink
from tests.ship.support import message, messages

# Splunk.


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_splunk_gets_events_with_time_host_index_and_id(compression: str) -> None:
    splunk = fakes.Splunk("t0ken")
    with Receiver(splunk) as receiver:
        sink = splunk_sink(receiver, compression=compression)
        assert sink.send(messages(100)) == DELIVERED
        sink.close()
    assert [one["event"]["seq"] for one in splunk.events] == list(range(100))
    first = splunk.events[0]
    assert first["fields"] == {"guard_id": message(0).id}
    assert (first["host"], first["index"], first["sourcetype"]) == ("web-1", "security", "guard")
    assert first["time"] == 1795464180.514
    if compression != "none":
        assert receiver.requests[0].size < len(receiver.requests[0].body) / 5


def test_splunk_gets_text_formats_as_strings() -> None:
    splunk = fakes.Splunk("t0ken")
    with Receiver(splunk) as receiver:
        sink = Splunk(
            client(receiver, lambda: splunk_headers("t0ken")),
            SplunkSettings(None, "guard:cef", False),
            False,
        )
        sink.send([message(0, body=b'CEF:0|guard "x"|')])
        sink.close()
    assert splunk.events[0]["event"] == 'CEF:0|guard "x"|'
    assert "index" not in splunk.events[0]


def test_splunk_names_the_event_it_refuses_and_the_others_arrive(tmp_path: Path) -> None:
    splunk = fakes.Splunk("t0ken", poison=frozenset([13, 77]))
    with Receiver(splunk) as receiver:
        bench = deliver(tmp_path, lambda: splunk_sink(receiver))
    assert sorted(one["event"]["seq"] for one in splunk.events) == [
        number for number in range(100) if number not in (13, 77)
    ]
    assert bench.worker.stats.refused == 2
    assert bench.worker.stats.sends == 8  # two batches, each as one, then three


def test_a_wrong_splunk_token_waits_for_the_administrator(tmp_path: Path) -> None:
    splunk = fakes.Splunk("another")
    with Receiver(splunk) as receiver:
        bench = deliver(tmp_path, lambda: splunk_sink(receiver))
        assert bench.spool.acked == 0 and bench.worker.stats.refused == 0
        assert bench.worker.stats.because == (
            'HTTP 403: {"text": "Invalid token", "code": 4} '
            "(check the sink's settings at the receiver)"
        )


def test_splunk_with_acknowledgement_waits_for_the_indexers() -> None:
    splunk = fakes.Splunk("t0ken", ack=True)
    splunk.acks_after = 5
    with Receiver(splunk) as receiver:
        sink = splunk_sink(receiver, ack=True)
        assert sink.send(messages(3)) == DELIVERED
        sink.close()
    assert splunk.asked == 5
    channels = {one.headers["X-Splunk-Request-Channel"] for one in receiver.requests}
    assert len(channels) == 1


def test_splunk_that_never_acknowledges_gets_the_batch_again() -> None:
    splunk = fakes.Splunk("t0ken", ack=True)
    splunk.acks_after = 10**9
    with Receiver(splunk) as receiver:
        sink = splunk_sink(receiver, ack=True)
        with pytest.raises(Unavailable, match=r"did not index a batch in 120\.0 s"):
            sink.send(messages(3))
        sink.close()


# Elasticsearch and OpenSearch.


def test_elastic_gets_documents_by_id_and_a_repetition_changes_nothing() -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        sink = elastic_sink(receiver)
        assert sink.send(messages(50)) == DELIVERED
        assert sink.send(messages(60)) == DELIVERED
        sink.close()
    assert list(elastic.documents) == [message(number).id for number in range(60)]
    document = elastic.documents[message(7).id]
    assert document["@timestamp"] == document["time"]
    assert receiver.connections == 1


def test_an_ecs_document_keeps_its_own_timestamp() -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        sink = elastic_sink(receiver)
        sink.send([message(0, body=b'{"@timestamp":"2026-01-01T00:00:00Z","ecs":{}}')])
        sink.close()
    (document,) = elastic.documents.values()
    assert document == {"@timestamp": "2026-01-01T00:00:00Z", "ecs": {}}


def test_of_a_bulk_request_each_document_is_judged_by_itself(tmp_path: Path) -> None:
    elastic = fakes.Elastic()
    elastic.statuses = {3: 429, 4: 400, 5: 503, 60: 400}
    with Receiver(elastic) as receiver:
        bench = deliver(tmp_path, lambda: elastic_sink(receiver))
    assert len(elastic.documents) == 98
    assert bench.worker.stats.refused == 2
    kept = (tmp_path / "refused/siem.ndjson").read_bytes().splitlines()
    assert [json.loads(one)["refused"] for one in kept] == [
        "400 document_parsing_exception: as told"
    ] * 2


def test_an_index_that_is_missing_waits_for_the_administrator(tmp_path: Path) -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        elastic.statuses = dict.fromkeys(range(100), 404)
        sink = elastic_sink(receiver)
        outcome = sink.send(messages(3))
        sink.close()
    assert list(outcome.again) == [0, 1, 2] and not outcome.refused
    assert outcome.because == (
        "404 index_not_found_exception: as told (check the index and the user's rights)"
    )


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({"api_key": "a2V5"}, "ApiKey a2V5"),
        ({"user": "guard", "password": "s3"}, "Basic Z3VhcmQ6czM="),
        ({"token": "abc"}, "Bearer abc"),
    ],
)
def test_the_ways_to_log_in(login: dict[str, str], header: str) -> None:
    elastic = fakes.Elastic(header)
    with Receiver(elastic) as receiver:
        sink = Elastic(client(receiver, lambda: authorization(**login)), "guard")
        assert sink.send(messages(1)) == DELIVERED
        sink.close()


def test_a_long_id_is_hashed() -> None:
    assert document_id("short") == "short"
    assert len(document_id("x" * 513)) == 64


# Loki.


def test_loki_gets_lines_with_their_times() -> None:
    loki = fakes.Loki("tenant-1", metadata=True)
    with Receiver(loki) as receiver:
        made = client(receiver, lambda: {"X-Scope-OrgID": "tenant-1"})
        sink = Loki(made, {"site": "b"}, True)
        assert sink.send(messages(5)) == DELIVERED
        sink.close()
    times = sorted(int(time) for _, time, _ in loki.lines)
    assert times[0] == 1795464180514199000
    labels = {labels for labels, _, _ in loki.lines}
    assert labels == {'{"job": "guard", "host": "web-1", "site": "b"}'}


def test_what_loki_finds_too_old_is_found_and_the_others_arrive(tmp_path: Path) -> None:
    loki = fakes.Loki()
    loki.too_old = {13, 14, 99}
    with Receiver(loki) as receiver:
        bench = deliver(tmp_path, lambda: Loki(client(receiver), {}, False))
    assert len(loki.lines) == 97
    assert bench.worker.stats.refused == 3


# OTLP.


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_collector_gets_logs(compression: str) -> None:
    collector = fakes.Collector()
    with Receiver(collector) as receiver:
        sink = Otlp(client(receiver, compression=compression))
        assert sink.send(messages(10)) == DELIVERED
        sink.close()
    assert [json.loads(one.body.string_value)["seq"] for one in collector.logs] == list(range(10))
    first = collector.logs[0]
    told = {one.key: one.value.string_value for one in first.attributes}
    assert told == {
        "log.record.uid": message(0).id,
        "event.name": "file.open",
        "guard.verdict": "denied",
        "guard.policy": "web",
        "guard.rule": "no-shadow",
    }
    assert first.time_unix_nano == 1795464180514000000
    assert (first.severity_number, first.severity_text) == (13, "WARN")
    assert collector.resources == [
        {"service.name": "guard", "host.name": "web-1", "host.id": message(0).record["host"]["id"]}
    ]


def test_what_a_collector_rejects_is_not_sent_again_and_kept(tmp_path: Path) -> None:
    collector = fakes.Collector()
    collector.reject = 4
    with Receiver(collector) as receiver:
        bench = deliver(tmp_path, lambda: Otlp(client(receiver)), 50)
    assert len(receiver.requests) == 1
    assert (bench.worker.stats.delivered, bench.worker.stats.refused) == (46, 4)
    kept = (tmp_path / "refused/siem.ndjson").read_bytes().splitlines()
    assert len(kept) == 50
    assert json.loads(kept[0])["refused"] == ("4 of these 50 records, nobody says which: too old")
