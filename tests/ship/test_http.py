# SPDX-License-Identifier: Apache-2.0
"""HTTP between a sink and its receiver: busy, broken, cut off, hostile; and TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from guard.ship.http import ANSWER_LIMIT, HttpClient
from guard.ship.sink import DELIVERED, Refused, Sink, Unavailable
from guard.ship.tls import Tls
from guard.ship.to_elastic import Elastic
from tests.ship import fakes
from tests.ship.fakes import Receiver, reply
from tests.ship.http_sinks import client, deliver, elastic_sink, splunk_sink
from tests.ship.receivers.processes import Certificates, free_port
from tests.ship.support import Bench, lines, messages

# Whatever is behind it.


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_receiver_that_is_busy_gets_the_batch_again_after_the_pause_it_asks_for(
    status: int,
) -> None:
    with Receiver(fakes.Elastic()) as receiver:
        receiver.scripted = [reply(status, {"busy": True}, Retry_After="17")]
        sink = elastic_sink(receiver)
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
        sink = elastic_sink(receiver)
        with pytest.raises(Refused, match=f"HTTP {status}"):
            sink.send(messages(2))
        sink.close()
        receiver.scripted = [reply(status)]
        bench = deliver(tmp_path, lambda: elastic_sink(receiver))
    assert len(elastic.documents) == 100 and bench.worker.stats.refused == 0


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with Receiver(fakes.Splunk("t0ken")) as elsewhere, Receiver(fakes.Splunk("t0ken")) as receiver:
        receiver.scripted = [reply(307, None, Location=elsewhere.url)]
        sink = splunk_sink(receiver)
        with pytest.raises(Unavailable, match=r"HTTP 307 \(a redirect is not followed"):
            sink.send(messages(1))
        sink.close()
        assert elsewhere.requests == []


def test_a_connection_that_was_closed_between_batches_is_made_again() -> None:
    elastic = fakes.Elastic()
    with Receiver(elastic) as receiver:
        sink = elastic_sink(receiver)
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
        bench = deliver(tmp_path, lambda: elastic_sink(receiver))
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
        sink = elastic_sink(receiver)
        with pytest.raises(Unavailable, match=f"an answer of more than {ANSWER_LIMIT} bytes"):
            sink.send(messages(1))
        sink.close()


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"errors":1}', b"[" * 10_000, b"\xff"])
def test_an_answer_that_is_none_of_the_product_does_not_count_as_delivered(data: bytes) -> None:
    def makers(receiver: Receiver) -> list[Sink]:
        return [elastic_sink(receiver), splunk_sink(receiver)]

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
        sink = elastic_sink(receiver, tls=certificates.tls())
        assert sink.send(messages(1)) == DELIVERED
        sink.close()
        stranger = elastic_sink(receiver, tls=certificates.tls(client=False))
        with pytest.raises(Unavailable):  # TLS 1.3 tells it with the first answer
            stranger.send(messages(1))
        stranger.close()
        with pytest.raises(Unavailable, match="the receiver's certificate is not trusted: "):
            client(receiver, tls=Tls()).open()


def test_a_certificate_for_another_name_is_refused(certificates: Certificates) -> None:
    with Receiver(fakes.Elastic(), _context(certificates)) as receiver:
        tls = Tls(str(certificates.ca), name="siem.example")
        with pytest.raises(Unavailable) as told:
            client(receiver, tls=tls).open()
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
        bench.sink.make = lambda: elastic_sink(receiver, tls=certificates.tls())  # type: ignore[method-assign]
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
        client(receiver, tls=other.tls()).open()
