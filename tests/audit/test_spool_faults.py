# SPDX-License-Identifier: Apache-2.0
"""The spool's law when disks fill, break and lie, and when the machine goes down."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import ASIDE, segments
from guard.audit.spool_losses import SpoolCause
from guard.audit.spool_reader import SpoolReader
from tests.audit.spools import (
    FaultyDisk,
    PowerCut,
    QuickDisk,
    assert_law,
    nothing_left,
    numbered,
    numbers,
    read_all,
    report,
)

LIMITS = Limits(bytes=20_000, segment_bytes=2_500)


def _busy_life(spool: Spool, stored: dict[str, list[int]]) -> None:
    """Fills the spool, with evictions and rotations; ``stored`` is what append took."""
    for number in range(60):
        for series in ("denials", "others"):
            lines = numbered([number], size=150 if series == "others" else 0)
            if not spool.append(series, lines):
                stored[series].append(number)
        if number % 20 == 19:
            spool.tick(report)


@nothing_left()
def _live_until_cut(directory: Path, disk: FaultyDisk, stored: dict[str, list[int]]) -> None:
    _busy_life(Spool(directory, LIMITS, disk), stored)


def test_a_power_cut_at_any_call_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    whole = FaultyDisk()
    _live_until_cut(tmp_path / "whole", whole, {"denials": [], "others": []})
    assert whole.calls > 150
    for cut_at in range(1, whole.calls + 1):
        directory = tmp_path / str(cut_at)
        stored: dict[str, list[int]] = {"denials": [], "others": []}
        disk = FaultyDisk(cut_at=cut_at)
        with pytest.raises(PowerCut):
            _live_until_cut(directory, disk, stored)
        spool = Spool(directory, LIMITS, QuickDisk())
        reader = SpoolReader(directory, "one")
        lines = read_all(reader)
        for series in ("denials", "others"):
            path_lines = [
                line
                for segment in segments(directory, series)
                for line in segment.path.read_bytes().splitlines()
            ]
            found = numbers(path_lines)
            kept = stored[series][-len(found) :] if found else []
            # A batch whose writing was done when the power went may be there as well.
            assert found in (kept, [*stored[series], len(stored[series])][-len(found) :]), cut_at
            place = reader.acked.place(series)
            assert place.damaged == 0, cut_at
            assert place.next == spool.written(series), cut_at
        assert sorted(numbers(lines)) == sorted(
            n
            for series in ("denials", "others")
            for segment in segments(directory, series)
            for n in numbers(segment.path.read_bytes().splitlines())
        )
        spool.append("denials", numbered([999]))
        assert numbers(read_all(reader)) == [999], cut_at
        spool.close()


def test_a_torn_end_is_cut_off_kept_and_told(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    disk = FaultyDisk()
    spool = Spool(directory, LIMITS, disk)
    spool.append("denials", numbered([0, 1]))
    disk.cut_at = disk.calls + 1
    with pytest.raises(PowerCut):
        spool.append("denials", numbered([2, 3, 4]))
    os.close(spool._lock)
    (path,) = [segment.path for segment in segments(directory, "denials")]
    torn = path.read_bytes()
    spool = Spool(directory, LIMITS, QuickDisk())
    (kept,) = spool.put_aside
    assert kept.parent == directory / ASIDE
    assert path.read_bytes() + kept.read_bytes() == torn
    spool.tell(report)
    reader = SpoolReader(directory, "one")
    lines = read_all(reader)
    assert numbers(lines) == [0, 1]
    told = json.loads(lines[-1])["lost"]
    assert (told["cause"], told["series"]) == ("torn", "denials")
    assert told["records"] == spool.losses.total(SpoolCause.TORN)
    assert "were not a whole batch" in told["detail"]
    # Told once: the next start has nothing to tell.
    spool.close()
    assert Spool(directory, LIMITS, QuickDisk()).losses.total() == 0


def test_a_full_disk_expires_others_and_keeps_every_denial(tmp_path: Path) -> None:
    disk = FaultyDisk(room=30_000)
    spool = Spool(tmp_path / "s", Limits(bytes=1 << 20, segment_bytes=2_500), disk)
    reader = SpoolReader(tmp_path / "s", "one")
    for number in range(120):
        spool.append("others", numbered([number], size=300))
    assert spool.append("denials", numbered(range(40))) == 0
    assert spool.losses.total(SpoolCause.EXPIRED, "others") > 0
    lines = read_all(reader)
    assert numbers(lines)[:40] == list(range(40))
    assert_law(spool, reader, {"denials": 40, "others": 120})


def test_a_disk_filled_by_somebody_else_is_told_when_there_is_room_again(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path / "s", LIMITS, disk)
    reader = SpoolReader(tmp_path / "s", "one")
    spool.append("others", numbered(range(3), size=9))
    spool.append("denials", numbered(range(3)))
    reader.ack(reader.read(100, 1 << 20).end)
    disk.room = 0
    # The others make room, once, and then there is nothing left to evict.
    assert spool.append("denials", numbered(range(3, 6))) == 0
    assert spool.append("denials", numbered(range(6, 20))) == 14
    assert spool.append("others", numbered(range(3, 9))) == 6
    spool.tick(report)
    assert numbers(read_all(reader)) == [3, 4, 5]
    disk.room = 1 << 20
    spool.tick(report)
    told = [json.loads(line)["lost"] for line in read_all(reader)]
    assert [(one["cause"], one["series"], one["records"]) for one in told] == [
        ("spool-full", "denials", 14),
        ("spool-full", "others", 6),
    ]
    assert told[0]["detail"] == os.strerror(errno.ENOSPC)
    assert_law(spool, reader, {"denials": 20 + 2, "others": 9})


def test_a_disk_that_refuses_everything_costs_records_and_nothing_else(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path / "s", LIMITS, disk)
    reader = SpoolReader(tmp_path / "s", "one")
    spool.append("denials", numbered(range(3)))
    disk.broken = errno.EIO
    assert spool.append("denials", numbered(range(3, 6))) == 3
    spool.tick(report)
    disk.broken = 0
    assert spool.append("denials", numbered(range(6, 9))) == 0
    spool.tick(report)
    lines = read_all(reader)
    assert numbers(lines) == [0, 1, 2, 6, 7, 8]
    assert json.loads(lines[-1])["lost"]["records"] == 3
    assert_law(spool, reader, {"denials": 9 + 1, "others": 0})


def test_a_torn_write_that_cannot_be_cut_off_ends_the_segment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path / "s", LIMITS, disk)
    reader = SpoolReader(tmp_path / "s", "one")
    assert spool.append("denials", numbered(range(3))) == 0
    disk.truncate_fails = disk.tear = True
    assert spool.append("denials", numbered(range(3, 6))) == 0
    first, second = (one.path.read_bytes() for one in segments(tmp_path / "s", "denials"))
    assert not first.endswith(b"\n") and second.endswith(b"\n")
    assert numbers(read_all(reader)) == [0, 1, 2, 3, 4, 5]
    assert_law(spool, reader, {"denials": 6, "others": 0})
    # A later start finds the torn end in the middle of the series and nothing wrong.
    spool.close()
    assert Spool(tmp_path / "s", LIMITS, QuickDisk()).written("denials") == 6


def test_a_sink_dead_for_an_hour_gets_all_that_the_limit_holds_and_the_count_of_the_rest(
    tmp_path: Path,
) -> None:
    now = [0.0]
    limits = Limits(bytes=200_000, segment_bytes=10_000)
    spool = Spool(tmp_path / "s", limits, QuickDisk(), lambda: now[0])
    dead, alive = SpoolReader(tmp_path / "s", "dead"), SpoolReader(tmp_path / "s", "alive")
    read_all(dead)
    got: list[int] = []
    for second in range(3600):
        now[0] += 1
        spool.append("others", numbered([second]))
        if second % 10 == 0:
            spool.append("denials", numbered([10_000 + second]))
            spool.tick(report)
            got += numbers(read_all(alive))
    got += numbers(read_all(alive))
    assert sorted(got) == [*range(3600), *range(10_000, 13_600, 10)]
    back = read_all(dead)
    expired = dead.acked.others.expired
    assert expired > 0 and dead.acked.denials.expired == 0
    assert [n for n in numbers(back) if n < 10_000] == list(range(expired, 3600))
    assert [n for n in numbers(back) if n >= 10_000] == list(range(10_000, 13_600, 10))
    assert spool.losses.total(SpoolCause.EXPIRED, "others", "dead") == expired
    assert spool.losses.total(SpoolCause.EXPIRED, cursor="alive") == 0
    spool.tick(report)
    told = [json.loads(one)["lost"] for one in [*back, *read_all(dead)] if b'"lost"' in one]
    assert sum(one["records"] for one in told if one["cursor"] == "dead") == expired
    assert_law(spool, dead, {"others": 3600})


DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "delete", "insert", "zero", "newline"]),
        st.integers(0, 1 << 20),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=150)
@given(DAMAGE)
@nothing_left()
def test_a_corrupted_segment_costs_what_is_broken_and_counts_it(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[str, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("spool") / "s"
    spool = Spool(directory, Limits(bytes=1 << 20, segment_bytes=3_000), QuickDisk())
    reader = SpoolReader(directory, "one")
    reader.ack(reader.read(1, 1).end)
    for batch in range(20):
        spool.append("denials", numbered(range(batch * 5, batch * 5 + 5), size=30))
    for what, where, value in damage:
        (victim, *_rest) = segments(directory, "denials")[1:]
        data = bytearray(victim.path.read_bytes())
        at = where % len(data)
        if what == "flip":
            data[at] ^= value
        elif what == "delete":
            del data[at : at + value]
        elif what == "insert":
            data[at:at] = bytes([value]) * value
        elif what == "zero":
            data[at : at + value] = bytes(len(data[at : at + value]))
        else:
            data[at:at] = b"\n"
        victim.path.write_bytes(data)
    got = numbers(read_all(reader))
    place = reader.acked.denials
    assert got == sorted(set(got))
    assert set(got) <= set(range(100))
    assert place.next == 100
    assert place.had() == len(got)
    assert place.damaged + place.expired == 100 - len(got)
    assert place.damaged <= 40  # no more than the segment held
    assert_law(spool, reader, {"denials": 100})


def test_a_damaged_segment_is_told_and_moved_aside_instead_of_removed(tmp_path: Path) -> None:
    limits = Limits(bytes=20_000, segment_bytes=2_500)
    spool = Spool(tmp_path / "s", limits, QuickDisk())
    reader = SpoolReader(tmp_path / "s", "one")
    reader.ack(reader.read(1, 1).end)
    for number in range(30):
        spool.append("others", numbered([number], size=100))
    victim = segments(tmp_path / "s", "others")[1].path
    data = bytearray(victim.read_bytes())
    data[20] ^= 1
    victim.write_bytes(data)
    read_all(reader)
    assert reader.acked.others.damaged == 1
    spool.tick(report)
    assert spool.losses.total(SpoolCause.DAMAGED, "others", "one") == 1
    for number in range(30, 100):
        spool.append("others", numbered([number], size=100))
    assert spool.put_aside == [tmp_path / "s" / ASIDE / f"{victim.name}-1"]
    assert spool.put_aside[0].read_bytes() == bytes(data)
    assert not victim.exists()


def test_a_link_in_a_segments_place_is_moved_aside_and_not_followed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", LIMITS, QuickDisk())
    spool.append("denials", numbered([0]))
    spool.close()
    precious = tmp_path / "precious"
    precious.write_text("untouched\n")
    link = tmp_path / "s" / f"denials-{5:020}.ndjson"
    link.symlink_to(precious)
    spool = Spool(tmp_path / "s", LIMITS, QuickDisk())
    spool.append("denials", numbered([1]))
    assert precious.read_text() == "untouched\n"
    assert spool.put_aside == [tmp_path / "s" / ASIDE / f"{link.name}-1"]
    assert numbers(read_all(SpoolReader(tmp_path / "s", "one"))) == [0, 1]


WRITER = """
import sys
from pathlib import Path
from guard.audit.spool import Limits, Spool
from tests.audit.spools import numbered
spool = Spool(Path(sys.argv[1]), Limits(bytes=10_000_000, segment_bytes=20_000))
number = spool.written("denials")
while True:
    spool.append("denials", numbered(range(number, number + 7), size=50))
    number += 7
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - not a secret
    end = 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s")],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 400)):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
        writer.wait()
        writer.stdout.close()
        spool = Spool(tmp_path / "s", disk=QuickDisk())
        end = spool.written("denials")
        assert said <= end <= said + 7
        spool.close()
    reader = SpoolReader(tmp_path / "s", "one")
    assert numbers(read_all(reader, 1000)) == list(range(end))
    assert reader.acked.denials.damaged == reader.acked.denials.expired == 0
