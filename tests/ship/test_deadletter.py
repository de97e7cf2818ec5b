# SPDX-License-Identifier: Apache-2.0
"""The file of refused records: whole lines, bounded, what goes is counted."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from guard.ship.deadletter import DeadLetters
from tests.ship.support import message


def test_what_is_refused_lies_in_a_private_file_with_the_reason(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "refused", "siem")
    dead.put([(message(1), "HTTP 400"), (message(2), "x" * 10_000)])
    dead.close()
    path = tmp_path / "refused/siem.ndjson"
    told = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [json.loads(one["record"]) for one in told] == [message(1).record, message(2).record]
    assert [len(one["refused"]) for one in told] == [8, 500]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_files_bound_it_and_what_goes_is_counted(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path, "siem", limit=5000)
    for number in range(20):
        dead.put([(message(number), "no")])
    kept = [
        json.loads(json.loads(line)["record"])["seq"]
        for name in ("siem.1.ndjson", "siem.ndjson")
        for line in (tmp_path / name).read_bytes().splitlines()
    ]
    assert kept == list(range(dead.dropped, 20))
    assert 0 < dead.dropped < 20
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


def test_a_later_run_goes_on_in_the_file(tmp_path: Path) -> None:
    for number in range(2):
        dead = DeadLetters(tmp_path, "siem")
        dead.put([(message(number), "no")])
        dead.close()
    assert len((tmp_path / "siem.ndjson").read_bytes().splitlines()) == 2
