# SPDX-License-Identifier: Apache-2.0
"""Another configuration for a shipper that runs: by SIGHUP, without a gap, or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.audit.oplog import make_logger
from guard.audit.spool import Spool
from guard.audit.spool_files import DENIALS
from guard.ship.config import Config, parse
from guard.ship.service import Service
from tests.audit.samples import ListSink
from tests.ship.receivers.processes import ROOT, until
from tests.ship.support import lines


def _config(directory: Path, sinks: str) -> Config:
    text = f"version: 1\nspool: {directory}/spool\nstate: {directory}/state\nsinks:\n{sinks}"
    parsed = parse(text.encode(), "ship.yaml")
    assert parsed.config is not None, parsed.diagnostics
    return parsed.config


def _file(name: str, directory: Path) -> str:
    quick = "batch: {wait: 10ms, records: 20}, retry: {first: 10ms, most: 50ms}"
    return f"  - {{name: {name}, type: file, path: {directory}/{name}.ndjson, {quick}}}\n"


def _told(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")  # the last line may be under way
    return [json.loads(line) for line in whole.splitlines()]


def _numbers(path: Path) -> list[int]:
    return [one["seq"] for one in _told(path) if one["event"] == "file.open"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path


def test_another_configuration_takes_over_and_nothing_is_delivered_twice(place: Path) -> None:
    spool = Spool(place / "spool")
    spool.append(DENIALS, lines(*range(5)))
    service = Service(_config(place, _file("a", place)), make_logger(ListSink()))
    service.start()
    until(lambda: len(_numbers(place / "a.ndjson")) == 5, "the first sink had them")
    service = service.succeeded_by(_config(place, _file("a", place) + _file("b", place)))
    spool.append(DENIALS, lines(*range(5, 8)))
    until(lambda: len(_numbers(place / "b.ndjson")) == 8, "the new sink had all")
    until(lambda: len(_numbers(place / "a.ndjson")) == 8, "the old one had what was new")
    service.stop("test")
    assert _numbers(place / "a.ndjson") == _numbers(place / "b.ndjson") == list(range(8))
    spool.close()


def test_a_state_directory_that_cannot_be_had_leaves_the_old_configuration(place: Path) -> None:
    spool = Spool(place / "spool")
    service = Service(_config(place, _file("a", place)), make_logger(ListSink()))
    service.start()
    (place / "file").touch()
    new = _config(place, _file("a", place))
    service = service.succeeded_by(dataclasses.replace(new, state=f"{place}/file/state"))
    spool.append(DENIALS, lines(*range(3)))
    until(lambda: _numbers(place / "a.ndjson") == [0, 1, 2], "the old one goes on")
    service.stop("test")
    spool.close()


def test_sighup_reads_the_configuration_again_and_systemd_is_told(place: Path) -> None:
    """In a process of its own: refused, the old one goes on; good, the new one does."""
    path = place / "ship.yaml"
    head = f"version: 1\nspool: {place}/spool\nstate: {place}/state\nsinks:\n"
    path.write_text(head + _file("a", place))
    spool = Spool(place / "spool")
    spool.append(DENIALS, lines(*range(2)))
    program = (
        "import sys; from guard.ship import privileges;"
        "privileges.require_unprivileged = lambda: None;"
        "from guard.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.settimeout(60)
        shipper = subprocess.Popen(
            [sys.executable, "-c", program, "ship", "--config", str(path)],
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(place / "notify")},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        try:

            def told(word: bytes) -> bytes:
                while word not in (message := manager.recv(4096)):
                    pass
                return message

            assert b"1 sinks" in told(b"READY=1")
            assert b"STATUS=" in told(b"WATCHDOG=1")
            path.write_text("version: 2\n")
            shipper.send_signal(signal.SIGHUP)
            assert b"MONOTONIC_USEC=" in told(b"RELOADING=1")
            assert b"1 sinks" in told(b"READY=1")
            path.write_text(head + _file("a", place) + _file("b", place))
            shipper.send_signal(signal.SIGHUP)
            told(b"RELOADING=1")
            assert b"2 sinks" in told(b"READY=1")
            until(lambda: _numbers(place / "b.ndjson") == [0, 1], "the new sink had all")
            shipper.send_signal(signal.SIGTERM)
            told(b"STOPPING=1")
            _, errors = shipper.communicate(timeout=60)
        finally:
            shipper.kill()
            shipper.wait()
    assert shipper.returncode == 0
    assert b"the configuration was read again and refused" in errors
    assert _numbers(place / "a.ndjson") == [0, 1]
    spool.close()
