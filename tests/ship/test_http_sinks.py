# SPDX-License-Identifier: Apache-2.0
"""Splunk, Elasticsearch and OpenSearch, Loki, OTLP: against stand-ins that hold them to their
documentation (see fakes.py), with everything that can go wrong between.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from guard.ship.http import ANSWER_LIMIT, HttpClient, authorization
from guard.ship.sink import DELIVERED, Refused, Sink, Unavailable
from guard.ship.tls import Tls
from guard.ship.to_elastic import Elastic, document_id
from guard.ship.to_loki import Loki
from guard.ship.to_otlp import Otlp
from guard.ship.to_splunk import Splunk, SplunkSettings, splunk_headers
from guard.ship.worker import Plan
from tests.ship import fakes
from tests.ship.fakes import Receiver, reply
from tests.ship.receivers.processes import Certificates, free_port
from tests.ship.support import Bench, FakeClock, lines, message, messages

NO_HEADERS: Callable[[], Mapping[str, str]] = dict


def _client(
    receiver: Receiver,
    headers: Callable[[], Mapping[str, str]] = NO_HEADERS,
    compression: str = "gzip",
    tls: Tls | None = None,
    timeout: float = 10.0,
) -> HttpClient:
    return HttpClient(urlsplit(receiver.url), tls or Tls(), headers, compression, timeout)


def _splunk(receiver: Receiver, ack: bool = False, **more: Any) -> Splunk:
    clock = FakeClock()
    return Splunk(
        _client(receiver, lambda: splunk_headers("t0ken"), **more),
        SplunkSettings("security", "guard", ack),
        True,
        clock,
        clock.sleep,
    )


def _deliver(tmp: Path, make: Callable[[], Sink], count: int = 100) -> Bench:
    """What a worker makes of it."""
    bench = Bench(tmp, lines(*range(count)), Plan(records=50))
    bench.sink.make = make  # type: ignore[method-assign]
    bench.run(600)
    bench.worker.close()
    bench.assert_law()
    return bench


# Splunk.


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_splunk_gets_events_with_time_host_index_and_id(compression: str) -> None:
    splunk = fakes.Splunk("t0ken")
    with Receiver(splunk) as receiver:
        sink = _splunk(receiver, compression=compression)
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
            _client(receiver, lambda: splunk_headers("t0ken")),
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
        bench = _deliver(tmp_path, lambda: _splunk(receiver))
    assert sorted(one["event"]["seq"] for one in splunk.events) == [
        number for number in range(100) if number not in (13, 77)
    ]
    assert bench.worker.stats.refused == 2
    assert bench.worker.stats.sends == 8  # two batches, each as one, then three


def test_a_wrong_splunk_token_waits_for_the_administrator(tmp_path: Path) -> None:
    splunk = fakes.Splunk("another")
    with Receiver(splunk) as receiver:
        bench = _deliver(tmp_path, lambda: _splunk(receiver))
        assert bench.spool.acked == 0 and bench.worker.stats.refused == 0
        assert bench.worker.stats.because == (
            'HTTP 403: {"text": "Invalid token", "code": 4} '
            "(check the sink's settings at the receiver)"
        )


def test_splunk_with_acknowledgement_waits_for_the_indexers() -> None:
    splunk = fakes.Splunk("t0ken", ack=True)
    splunk.acks_after = 5
    with Receiver(splunk) as receiver:
        sink = _splunk(receiver, ack=True)
        assert sink.send(messages(3)) == DELIVERED
        sink.close()
    assert splunk.asked == 5
    channels = {one.headers["X-Splunk-Request-Channel"] for one in receiver.requests}
    assert len(channels) == 1


def test_splunk_that_never_acknowledges_gets_the_batch_again() -> None:
    splunk = fakes.Splunk("t0ken", ack=True)
    splunk.acks_after = 10**9
    with Receiver(splunk) as receiver:
        sink = _splunk(receiver, ack=True)
        with pytest.raises(Unavailable, match=r"did not index a batch in 120\.0 s"):
            sink.send(messages(3))
        sink.close()


# Elasticsearch and OpenSearch.


def _elastic(receiver: Receiver, **more: Any) -> Elastic:
    return Elastic(_client(receiver, **more), "logs-guard-default")


def test_elastic_gets_documents_by_id_and_a_repetition_changes_nothing() -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        sink = _elastic(receiver)
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
        sink = _elastic(receiver)
        sink.send([message(0, body=b'{"@timestamp":"2026-01-01T00:00:00Z","ecs":{}}')])
        sink.close()
    (document,) = elastic.documents.values()
    assert document == {"@timestamp": "2026-01-01T00:00:00Z", "ecs": {}}


def test_of_a_bulk_request_each_document_is_judged_by_itself(tmp_path: Path) -> None:
    elastic = fakes.Elastic()
    elastic.statuses = {3: 429, 4: 400, 5: 503, 60: 400}
    with Receiver(elastic) as receiver:
        bench = _deliver(tmp_path, lambda: _elastic(receiver))
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
        sink = _elastic(receiver)
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
        sink = Elastic(_client(receiver, lambda: authorization(**login)), "guard")
        assert sink.send(messages(1)) == DELIVERED
        sink.close()


def test_a_long_id_is_hashed() -> None:
    assert document_id("short") == "short"
    assert len(document_id("x" * 513)) == 64


# Loki.


def test_loki_gets_lines_with_their_times() -> None:
    loki = fakes.Loki("tenant-1", metadata=True)
    with Receiver(loki) as receiver:
        client = _client(receiver, lambda: {"X-Scope-OrgID": "tenant-1"})
        sink = Loki(client, {"site": "b"}, True)
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
        bench = _deliver(tmp_path, lambda: Loki(_client(receiver), {}, False))
    assert len(loki.lines) == 97
    assert bench.worker.stats.refused == 3


# OTLP.


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_collector_gets_logs(compression: str) -> None:
    collector = fakes.Collector()
    with Receiver(collector) as receiver:
        sink = Otlp(_client(receiver, compression=compression))
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
        bench = _deliver(tmp_path, lambda: Otlp(_client(receiver)), 50)
    assert len(receiver.requests) == 1
    assert (bench.worker.stats.delivered, bench.worker.stats.refused) == (46, 4)
    kept = (tmp_path / "refused/siem.ndjson").read_bytes().splitlines()
    assert len(kept) == 50
    assert json.loads(kept[0])["refused"] == ("4 of these 50 records, nobody says which: too old")


# Whatever is behind it.


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_receiver_that_is_busy_gets_the_batch_again_after_the_pause_it_asks_for(
    status: int,
) -> None:
    with Receiver(fakes.Elastic()) as receiver:
        receiver.scripted = [reply(status, {"busy": True}, Retry_After="17")]
        sink = _elastic(receiver)
        with pytest.raises(Unavailable) as told:
            sink.send(messages(1))
        assert told.value.retry_after == 17
        assert str(told.value) == f'HTTP {status}: {{"busy": true}}'
        assert sink.send(messages(1)) == DELIVERED
        sink.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_body_that_is_refused_is_divided(status: int, tmp_path: Path) -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        receiver.scripted = [reply(status)]
        sink = _elastic(receiver)
        with pytest.raises(Refused, match=f"HTTP {status}"):
            sink.send(messages(2))
        sink.close()
        receiver.scripted = [reply(status)]
        bench = _deliver(tmp_path, lambda: _elastic(receiver))
    assert len(elastic.documents) == 100 and bench.worker.stats.refused == 0


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with Receiver(fakes.Splunk("t0ken")) as elsewhere, Receiver(fakes.Splunk("t0ken")) as receiver:
        receiver.scripted = [reply(307, None, Location=elsewhere.url)]
        sink = _splunk(receiver)
        with pytest.raises(Unavailable, match=r"HTTP 307 \(a redirect is not followed"):
            sink.send(messages(1))
        sink.close()
        assert elsewhere.requests == []


def test_a_connection_that_was_closed_between_batches_is_made_again() -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        sink = _elastic(receiver)
        sink.send(messages(1))
        receiver.cut = 1
        assert sink.send(messages(2)) == DELIVERED
        sink.close()
    assert receiver.connections == 2
    assert len(elastic.documents) == 2


def test_a_connection_that_is_cut_amid_batches_loses_nothing(tmp_path: Path) -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        receiver.cut = 5
        bench = _deliver(tmp_path, lambda: _elastic(receiver))
    assert len(elastic.documents) == 100
    assert bench.worker.stats.failures > 0


def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sink = Elastic(HttpClient(urlsplit(url), Tls(), dict, "none", timeout=0.2), "guard")
        with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
            sink.send(messages(1))
        sink.close()


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with Receiver(fakes.Elastic()) as receiver:
        receiver.scripted = [(200, {}, b"x" * (ANSWER_LIMIT + 10))]
        sink = _elastic(receiver)
        with pytest.raises(Unavailable, match=f"an answer of more than {ANSWER_LIMIT} bytes"):
            sink.send(messages(1))
        sink.close()


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"errors":1}', b"[" * 10_000, b"\xff"])
def test_an_answer_that_is_none_of_the_product_does_not_count_as_delivered(data: bytes) -> None:
    def makers(receiver: Receiver) -> list[Sink]:
        return [_elastic(receiver), _splunk(receiver)]

    with Receiver(fakes.Elastic()) as receiver:
        for sink in makers(receiver):
            receiver.scripted = [(200, {}, data)]
            with pytest.raises(Unavailable, match="not the answer of"):
                sink.send(messages(1))
            sink.close()


def test_an_unreachable_receiver_is_told_with_its_place() -> None:
    port = free_port()
    url = urlsplit(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable) as told:
        HttpClient(url, Tls(), dict).open()
    assert str(told.value) == f"127.0.0.1:{port}: Connection refused"


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "pki")


def _context(certificates: Certificates, cert: Path | None = None, key: Path | None = None) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert or certificates.server, key or certificates.server_key)
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_mutual_tls_with_a_pinned_authority(certificates: Certificates) -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic, _context(certificates)) as receiver:
        sink = _elastic(receiver, tls=certificates.tls())
        assert sink.send(messages(1)) == DELIVERED
        sink.close()
        stranger = _elastic(receiver, tls=certificates.tls(client=False))
        with pytest.raises(Unavailable):  # TLS 1.3 tells it with the first answer
            stranger.send(messages(1))
        stranger.close()
        with pytest.raises(Unavailable, match="the receiver's certificate is not trusted: "):
            _client(receiver, tls=Tls()).open()


def test_a_certificate_for_another_name_is_refused(certificates: Certificates) -> None:
    with Receiver(fakes.Elastic(), _context(certificates)) as receiver:
        tls = Tls(str(certificates.ca), name="siem.example")
        with pytest.raises(Unavailable) as told:
            _client(receiver, tls=tls).open()
    assert str(told.value).endswith(
        "TLS: the receiver's certificate is not trusted: Hostname mismatch, "
        "certificate is not valid for 'siem.example'."
    )


def test_a_certificate_that_expires_stops_delivery_until_it_is_renewed(
    certificates: Certificates, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    old = certificates.authority.issue_cert(
        "127.0.0.1",
        not_after=datetime(2020, 1, 2, tzinfo=UTC),
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
    )
    cert, key = tmp_path / "old.pem", tmp_path / "old.key"
    cert.write_bytes(old.cert_chain_pems[0].bytes())
    key.write_bytes(old.private_key_pem.bytes())
    context = _context(certificates, cert, key)
    elastic = fakes.Elastic()
    with Receiver(elastic, context) as receiver:
        bench = Bench(tmp_path, lines(*range(10)))
        bench.sink.make = lambda: _elastic(receiver, tls=certificates.tls())  # type: ignore[method-assign]
        bench.run(120)
        assert bench.worker.stats.because.endswith(
            "TLS: the receiver's certificate is not trusted: certificate has expired"
        )
        assert bench.spool.acked == 0
        context.load_cert_chain(certificates.server, certificates.server_key)
        bench.run(120)
        bench.worker.close()
    assert len(elastic.documents) == 10
    bench.assert_law()


def test_our_own_key_that_others_can_read_is_not_used(
    certificates: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "pki")
    other.client_key.chmod(0o644)
    with (
        Receiver(fakes.Elastic(), _context(certificates)) as receiver,
        pytest.raises(Unavailable, match="has mode 0644, so others can get at it"),
    ):
        _client(receiver, tls=other.tls()).open()
