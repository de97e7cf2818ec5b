# SPDX-License-Identifier: Apache-2.0
"""A host's trail from collection to judgement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.audit.checkpoint import Checkpoint, Line, checkpoints
from guard.audit.keys import generate, load_checker, load_signer
from guard.audit.lifecycle import Lifecycle
from guard.audit.sinks import SinkError
from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import SERIES, segments
from guard.audit.spool_reader import SpoolReader
from guard.audit.trail import CHECKPOINT_SECONDS, Trail
from guard.audit.verify import Flaw, Report, verify
from tests.audit.samples import ORIGIN, fixed_clock
from tests.audit.spools import FaultyDisk, numbered, read_all


def whole(directory: Path) -> list[Line]:
    """All lines of a spool."""
    return [
        Line(segment.path.name, number, text)
        for series in SERIES
        for segment in segments(directory, series)
        for number, text in enumerate(segment.path.read_bytes().splitlines(), 1)
    ]


def judged(directory: Path, key: Path, lines: list[Line] | None = None) -> Report:
    checker = load_checker(key)

    def signed(one: Checkpoint) -> bool:
        return one.signature is not None and checker.holds(one.text(), one.signature)

    if lines is None:
        lines = whole(directory)
    return verify(lines, list(checkpoints(lines)), signed, whole=True)


def test_checkpoints_are_made_when_due_and_signed(tmp_path: Path) -> None:
    generate(tmp_path / "k")
    now = [0.0]
    spool = Spool(tmp_path / "s", clock=lambda: now[0])
    trail = Trail(
        spool, Lifecycle(ORIGIN, fixed_clock()), load_signer(tmp_path / "k"), lambda: now[0]
    )
    trail.sink("denials").emit(numbered(range(5)))
    trail.sink("others").emit(numbered(range(3)))
    trail.tick()
    assert not list(checkpoints(whole(tmp_path / "s")))
    now[0] = CHECKPOINT_SECONDS
    trail.tick()
    found = list(checkpoints(whole(tmp_path / "s")))
    assert [(one.series, one.n, one.records) for one in found] == [
        ("denials", 1, 5),
        ("others", 1, 3),
    ]
    now[0] *= 2
    trail.tick()  # nothing but the checkpoints has come: none is due
    assert spool.written("denials") == 7
    trail.sink("others").emit(numbered([3]))
    trail.close()
    report = judged(tmp_path / "s", tmp_path / "k.pub")
    assert report.findings == []
    assert report.signed["others"].records == 4
    generate(tmp_path / "other")
    foreign = judged(tmp_path / "s", tmp_path / "other.pub")
    assert {one.flaw for one in foreign.findings} == {Flaw.SIGNATURE}
    # The end of one series, cut off at a batch: the other series' checkpoint knows.
    cut = [
        line
        for line in whole(tmp_path / "s")
        if b'"number": 3' not in line.text or "denials" in line.file
    ]
    report = judged(tmp_path / "s", tmp_path / "k.pub", cut)
    assert [(one.flaw, one.series, one.first, one.last) for one in report.findings] == [
        (Flaw.TRUNCATED, "others", 3, 3)
    ]


def test_without_a_key_there_are_checkpoints_nobody_vouches_for(tmp_path: Path) -> None:
    trail = Trail(Spool(tmp_path / "s"), Lifecycle(ORIGIN, fixed_clock()), None)
    trail.sink("denials").emit(numbered([0]))
    trail.close()
    (one,) = checkpoints(whole(tmp_path / "s"))
    assert (one.key, one.signature) == (None, None)


def test_losses_become_records_with_cause_and_sink(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path / "s", Limits(bytes=20_000, segment_bytes=2_000), disk)
    trail = Trail(spool, Lifecycle(ORIGIN, fixed_clock()), None)
    reader = SpoolReader(tmp_path / "s", "siem")
    for number in range(60):
        trail.sink("others").emit(numbered([number], size=300))
    disk.broken = 5
    with pytest.raises(SinkError, match="spool: Input/output error") as caught:
        trail.sink("denials").emit(numbered([0, 1]))
    assert caught.value.lost == 2
    disk.broken = 0
    trail.tick()
    trail.tick()  # the report itself may have cost others something
    lost = [json.loads(line)["lost"] for line in read_all(reader) if b"audit.lost" in line]
    assert {(one["cause"], one["sink"], one["detail"]) for one in lost} == {
        ("expired", "siem", "others: evicted for room"),
        ("spool", None, "denials: no room: Input/output error"),
    }
    expired = [one["count"] for one in lost if one["cause"] == "expired"]
    assert sum(expired) == reader.acked.others.expired
    assert [one["count"] for one in lost if one["cause"] == "spool"] == [2]


class Unconfirming(FaultyDisk):
    """Takes every write and fails to flush as long as it is told to."""

    fails = False

    def sync(self, _file: int) -> None:
        if self.fails:
            raise OSError(5, "Input/output error")


def told_unsafe(directory: Path) -> list[tuple[int, str]]:
    found = []
    for line in read_all(SpoolReader(directory, "siem")):
        record = json.loads(line)
        if record.get("event") == "audit.unsafe":
            found.append((record["count"], record["because"]))
    return found


def test_a_flush_that_failed_in_the_background_is_a_record(tmp_path: Path) -> None:
    disk = Unconfirming()
    clock = [0.0]
    spool = Spool(tmp_path / "s", Limits(), disk, lambda: clock[0])
    trail = Trail(spool, Lifecycle(ORIGIN, fixed_clock()), None, lambda: clock[0])
    trail.sink("denials").emit(numbered([0]))
    trail.tick()
    spool.flush()
    assert told_unsafe(tmp_path / "s") == []
    disk.fails = True
    trail.sink("denials").emit(numbered([1]))
    spool.flush()
    disk.fails = False
    trail.tick()
    trail.tick()
    assert told_unsafe(tmp_path / "s") == [(1, "[Errno 5] Input/output error")]
    trail.close()


def test_a_flush_that_fails_at_the_very_end_is_told_too(tmp_path: Path) -> None:
    disk = Unconfirming()
    spool = Spool(tmp_path / "s", Limits(), disk)
    trail = Trail(spool, Lifecycle(ORIGIN, fixed_clock()), None)
    trail.sink("denials").emit(numbered([0]))
    disk.fails = True
    trail.close()
    ((count, because),) = told_unsafe(tmp_path / "s")
    assert count >= 1 and because == "[Errno 5] Input/output error"


def test_what_failed_is_told_when_there_is_room(tmp_path: Path) -> None:
    disk = Unconfirming()
    spool = Spool(tmp_path / "s", Limits(), disk)
    trail = Trail(spool, Lifecycle(ORIGIN, fixed_clock()), None)
    trail.sink("denials").emit(numbered([0]))
    disk.fails = True
    spool.flush()
    disk.broken = 28
    trail.tick()
    trail.tick()
    disk.broken = 0
    disk.fails = False
    trail.tick()
    ((count, _),) = told_unsafe(tmp_path / "s")
    assert count >= 1
    assert spool.losses.total() == 0, "guard's own record that comes later is no loss"
    trail.close()
