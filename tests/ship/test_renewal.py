# SPDX-License-Identifier: Apache-2.0
"""Another configuration for a shipper that runs: by SIGHUP, without a gap, or not at all."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guard.audit.oplog import make_logger
from guard.audit.spool import Spool
from guard.audit.spool_files import DENIALS
from guard.ship.service import Service
from tests.audit.samples import ListSink
from tests.ship.receivers.processes import ROOT, until
from tests.ship.support import configured, file_sink, lines, numbers_in


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path


def test_another_configuration_takes_over_and_nothing_is_delivered_twice(place: Path) -> None:
    spool = Spool(place / "spool")
    spool.append(DENIALS, lines(*range(5)))
    service = Service(configured(place, file_sink("a", place)), make_logger(ListSink()))
    service.start()
    until(lambda: len(numbers_in(place / "a.ndjson")) == 5, "the first sink had them")
    service = service.succeeded_by(configured(place, file_sink("a", place) + file_sink("b", place)))
    spool.append(DENIALS, lines(*range(5, 8)))
    until(lambda: len(numbers_in(place / "b.ndjson")) == 8, "the new sink had all")
    until(lambda: len(numbers_in(place / "a.ndjson")) == 8, "the old one had what was new")
    service.stop("test")
    assert numbers_in(place / "a.ndjson") == numbers_in(place / "b.ndjson") == list(range(8))
    spool.close()


def test_a_state_directory_that_cannot_be_had_leaves_the_old_configuration(place: Path) -> None:
    spool = Spool(place / "spool")
    service = Service(configured(place, file_sink("a", place)), make_logger(ListSink()))
    service.start()
    (place / "file").touch()
    new = configured(place, file_sink("a", place))
    service = service.succeeded_by(dataclasses.replace(new, state=f"{place}/file/state"))
    spool.append(DENIALS, lines(*range(3)))
    until(lambda: numbers_in(place / "a.ndjson") == [0, 1, 2], "the old one goes on")
    service.stop("test")
    spool.close()


def test_sighup_reads_the_configuration_again_and_systemd_is_told(place: Path) -> None:
    """In a process of its own: refused, the old one goes on; good, the new one does."""
    path = place / "ship.yaml"
    head = f"version: 1\nspool: {place}/spool\nstate: {place}/state\nsinks:\n"
    path.write_text(head + file_sink("a", place))
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

            def whole_records(word: bytes) -> bytes:
                while word not in (message := manager.recv(4096)):
                    pass
                return message

            assert b"1 sinks" in whole_records(b"READY=1")
            assert b"STATUS=" in whole_records(b"WATCHDOG=1")
            path.write_text("version: 2\n")
            shipper.send_signal(signal.SIGHUP)
            assert b"MONOTONIC_USEC=" in whole_records(b"RELOADING=1")
            assert b"1 sinks" in whole_records(b"READY=1")
            path.write_text(head + file_sink("a", place) + file_sink("b", place))
            shipper.send_signal(signal.SIGHUP)
            whole_records(b"RELOADING=1")
            assert b"2 sinks" in whole_records(b"READY=1")
            until(lambda: numbers_in(place / "b.ndjson") == [0, 1], "the new sink had all")
            shipper.send_signal(signal.SIGTERM)
            whole_records(b"STOPPING=1")
            _, errors = shipper.communicate(timeout=60)
        finally:
            shipper.kill()
            shipper.wait()
    assert shipper.returncode == 0
    assert b"the configuration was read again and refused" in errors
    assert numbers_in(place / "a.ndjson") == [0, 1]
    spool.close()
