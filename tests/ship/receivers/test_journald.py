# SPDX-License-Identifier: Apache-2.0
"""The journal: a real systemd-journald with a socket and files of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.ship.sink import DELIVERED, Unavailable
from guard.ship.to_journald import Journald
from tests.ship.receivers.processes import Process, private_directory, until
from tests.ship.support import Message, message

pytestmark = pytest.mark.receivers

JOURNALD = Path("/lib/systemd/systemd-journald")
NAMESPACE = "guardtest"


class Journal:
    """journald's instance for a namespace that no unit has; its /run/log and /var/log are ours."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "run/socket"
        self._log = directory / "log"
        (directory / "run").mkdir()
        (self._log / "journal").mkdir(parents=True)
        script = (
            'mkdir -p /run/log && mount --bind "$1" /run/log && mount --bind "$1" /var/log '
            '&& exec "$2" "$3"'
        )
        command = ["unshare", "-m", "sh", "-c", script, "sh", self._log, JOURNALD, NAMESPACE]
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(directory / "run")}
        self.process = Process(command, directory / "stderr", self.socket.exists, env=environment)

    def find(self, *matches: str) -> list[dict[str, Any]]:
        """What journalctl finds by these fields."""
        files = [f"--file={path}" for path in self._log.rglob("*.journal")]
        told = subprocess.run(
            ["journalctl", *files, "--output=json", "--all", "--no-pager", "--quiet", *matches],
            check=True,
            capture_output=True,
        )
        return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    lacking = [str(path) for path in (JOURNALD, Path("/etc/machine-id")) if not path.exists()]
    if lacking and os.environ.get("GUARD_REQUIRE_RECEIVERS"):
        pytest.fail(f"the journal needs {' and '.join(lacking)}")
    if lacking or os.geteuid() != 0:
        pytest.skip("needs root, systemd-journald and a machine id")
    with private_directory("guard-journal-") as directory:
        running = Journal(directory)
        try:
            yield running
        finally:
            running.process.stop()


def _sent(journal: Journal, *messages: Message) -> None:
    sink = Journald(str(journal.socket))
    assert sink.send(messages) == DELIVERED
    sink.close()


def _found(journal: Journal, *matches: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = until(lambda: journal.find(*matches), f"found by {matches}")
    return found


def test_a_record_is_found_by_each_of_its_fields(journal: Journal) -> None:
    one = message(1)
    _sent(journal, one)
    wanted = {
        "GUARD_ID": one.id,
        "GUARD_EVENT": "file.open",
        "GUARD_VERDICT": "denied",
        "GUARD_REASON": "policy",
        "GUARD_POLICY": "web",
        "GUARD_RULE": "no-shadow",
        "GUARD_PATH": "/etc/shadow",
        "GUARD_EXE": "/usr/bin/cat",
        "GUARD_COMM": "cat",
        "GUARD_USER": "root",
        "GUARD_UNIT": "nginx.service",
        "GUARD_TAG": "T1003.008",
        "OBJECT_PID": "186",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "guard",
    }
    for name, value in wanted.items():
        entries = _found(journal, f"{name}={value}", f"GUARD_ID={one.id}")
        assert [entry["MESSAGE"] for entry in entries] == [one.body.decode()], name


def test_a_record_of_five_megabytes_arrives_by_a_memory_file(journal: Journal) -> None:
    one = message(2, others=["x" * 5_000_000])
    _sent(journal, one, message(3))
    entry = _found(journal, f"GUARD_ID={one.id}")[0]
    assert entry["MESSAGE"] == one.body.decode()
    assert entry["_TRANSPORT"] == "journal"
    assert _found(journal, f"GUARD_ID={message(3).id}")


def test_a_value_cannot_become_a_field(journal: Journal) -> None:
    evil = "a\nGUARD_VERDICT=allowed\n_UID=0\nPRIORITY=7\n"
    one = message(4, object={"kind": "file", "path": evil})
    _sent(journal, one)
    entry = _found(journal, f"GUARD_ID={one.id}")[0]
    assert entry["GUARD_PATH"] == evil
    assert entry["GUARD_VERDICT"] == "denied"
    assert entry["PRIORITY"] == "4"


def test_names_that_are_not_utf8_are_there_byte_by_byte(journal: Journal) -> None:
    raw = b"/tmp/\xff\xfe\n\x01"
    one = message(5, object={"kind": "file", "path": "/tmp/\ufffd\ufffd", "path_hex": raw.hex()})
    _sent(journal, one)
    entry = _found(journal, f"GUARD_ID={one.id}")[0]
    assert bytes(entry["GUARD_PATH"]) == raw  # journalctl's form of binary fields


def test_what_names_a_field_more_than_once_is_found_by_each(journal: Journal) -> None:
    tags = ["T1003.008", "T1055"]
    one = message(6, rule={"id": "r", "tags": tags})
    _sent(journal, one)
    for tag in tags:
        assert _found(journal, f"GUARD_TAG={tag}", f"GUARD_ID={one.id}")


def test_a_thousand_records_arrive_in_order(journal: Journal) -> None:
    _sent(journal, *(message(number, reason="many") for number in range(1000, 2000)))
    until(lambda: len(journal.find("GUARD_REASON=many")) >= 1000, "all arrived")
    numbers = [json.loads(one["MESSAGE"])["seq"] for one in journal.find("GUARD_REASON=many")]
    assert numbers == list(range(1000, 2000))


def test_a_journal_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"socket: No such file or directory"):
        Journald(str(tmp_path / "socket"))
