# SPDX-License-Identifier: Apache-2.0
"""The spool from both ends, on a disk that works."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import CURSORS, FORMAT_FILE, segments
from guard.audit.spool_losses import SpoolCause
from guard.audit.spool_open import SpoolBusy
from guard.audit.spool_reader import SpoolError, SpoolReader, record_id
from tests.audit.spools import (
    QuickDisk,
    assert_law,
    nothing_left,
    numbered,
    numbers,
    read_all,
    report,
)

SMALL = Limits(bytes=40_000, segment_bytes=4_000)


class Ticks:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_appended_is_read_in_order_once_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    assert spool.append("denials", numbered(range(5))) == 0
    assert spool.append("denials", numbered(range(5, 6))) == 0
    reader = SpoolReader(tmp_path / "s", "one")
    assert reader.backlog()[0] == 6
    first = reader.read(4, 1 << 20)
    assert numbers(first.records) == [0, 1, 2, 3]
    reader.ack(first.end)
    assert numbers(reader.read(4, 1 << 20).records) == [4, 5]
    assert reader.read(4, 1 << 20).records == []
    # The second read was never acknowledged: a successor gets it again.
    again = SpoolReader(tmp_path / "s", "one")
    assert numbers(read_all(again)) == [4, 5]
    assert again.backlog() == (0, 0)
    assert_law(spool, again, {"denials": 6, "others": 0})


def test_each_cursor_goes_its_own_way(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("others", numbered(range(3)))
    slow, fast = SpoolReader(tmp_path / "s", "slow"), SpoolReader(tmp_path / "s", "fast")
    assert numbers(read_all(fast)) == [0, 1, 2]
    spool.append("others", numbered(range(3, 5)))
    assert numbers(read_all(fast)) == [3, 4]
    assert numbers(read_all(slow)) == [0, 1, 2, 3, 4]


def test_denials_come_first_and_batches_are_not_interleaved(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("others", numbered(range(10, 14)))
    reader = SpoolReader(tmp_path / "s", "one")
    assert numbers(reader.read(2, 1 << 20).records) == [10, 11]
    spool.append("denials", numbered(range(3)))
    assert numbers(reader.read(10, 1 << 20).records) == [12, 13, 0, 1, 2]


def test_a_record_longer_than_the_limit_comes_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", [*numbered([0]), *numbered([1], size=500), *numbered([2])])
    reader = SpoolReader(tmp_path / "s", "one")
    assert [numbers(reader.read(10, 100).records) for _ in range(4)] == [[0], [1], [2], []]


def test_rewind_reads_again_what_was_not_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", numbered(range(4)))
    reader = SpoolReader(tmp_path / "s", "one")
    batch = reader.read(3, 1 << 20)
    reader.rewind()
    assert reader.read(3, 1 << 20) == batch
    reader.ack(batch.end)
    reader.rewind()
    assert numbers(reader.read(3, 1 << 20).records) == [3]


def test_an_older_position_does_not_take_an_acknowledgement_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", numbered(range(4)))
    reader = SpoolReader(tmp_path / "s", "one")
    early, late = reader.read(1, 1 << 20), reader.read(2, 1 << 20)
    reader.ack(late.end)
    reader.ack(early.end)
    assert numbers(read_all(SpoolReader(tmp_path / "s", "one"))) == [3]


def test_wait_ends_with_the_first_record_or_with_its_patience(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    clock = Ticks()
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds
        if clock.now > 1:
            spool.append("denials", numbered([1]))

    reader = SpoolReader(tmp_path / "s", "one", sleep, clock)
    assert not reader.wait(0.5)
    assert sum(slept) == pytest.approx(0.5)
    assert reader.wait(60)
    assert clock.now < 1.2


def test_numbering_and_chain_go_on_after_a_restart(tmp_path: Path) -> None:
    for start in (0, 3, 6):
        spool = Spool(tmp_path / "s")
        assert spool.written("denials") == start
        spool.append("denials", numbered(range(start, start + 3)))
        spool.close()
    seals = [
        json.loads(segment.path.read_bytes().splitlines()[-1])["chain"]
        for segment in segments(tmp_path / "s", "denials")
    ]
    assert [(one["n"], one["first"]) for one in seals] == [(0, 0), (1, 3), (2, 6)]
    assert [one["prev"] for one in seals[1:]] == [one["hash"] for one in seals[:-1]]
    assert numbers(read_all(SpoolReader(tmp_path / "s", "one"))) == list(range(9))


def test_only_one_collector_writes_to_a_spool(tmp_path: Path) -> None:
    first = Spool(tmp_path / "s")
    with pytest.raises(SpoolBusy, match="another guard writes to this spool"):
        Spool(tmp_path / "s")
    first.close()
    Spool(tmp_path / "s").close()


def test_the_limit_of_bytes_evicts_others_first_and_tells_their_reader(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", Limits(bytes=120_000, segment_bytes=4_000), QuickDisk())
    reader = SpoolReader(tmp_path / "s", "siem")
    reader.ack(reader.read(1, 1)[1])
    spool.append("denials", numbered([0]))
    reader.ack(reader.read(1, 1 << 20).end)  # so that the cursor is there
    for number in range(1, 200):
        spool.append("others", numbered([number], size=200))
        spool.append("denials", numbered([1000 + number]))
    spool.tick(report)
    assert spool.size() <= 120_000
    expired = spool.losses.total(SpoolCause.EXPIRED, "others", "siem")
    assert expired > 0
    assert spool.losses.total(SpoolCause.EXPIRED, "denials") == 0
    lines = read_all(reader)
    assert [n for n in numbers(lines) if n >= 1000] == list(range(1001, 1200))
    assert [n for n in numbers(lines) if n < 1000] == list(range(1 + expired, 200))
    assert reader.acked.others.expired == expired
    told = [json.loads(line)["lost"] for line in lines if b'"lost"' in line]
    assert sum(one["records"] for one in told) == expired
    assert {(one["cause"], one["series"], one["cursor"]) for one in told} == {
        ("expired", "others", "siem")
    }
    own = len(told)
    assert_law(spool, reader, {"denials": 200 + own, "others": 199})


def test_a_flood_of_others_cannot_take_the_denials_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", SMALL, QuickDisk())
    reader = SpoolReader(tmp_path / "s", "one")
    for number in range(500):  # fills the spool with denials alone
        spool.append("denials", numbered([number], size=100))
    before = spool.losses.total(SpoolCause.EXPIRED, "denials")
    assert before > 0  # denials make room for denials
    lost = sum(spool.append("others", numbered([number], size=100)) for number in range(100))
    assert spool.losses.total(SpoolCause.EXPIRED, "denials") == before
    assert lost == spool.losses.total(SpoolCause.FULL, "others") > 0
    kept = numbers(read_all(reader))
    assert kept[: 500 - before] == list(range(before, 500))
    assert_law(spool, reader, {"denials": 500, "others": 100})


def test_what_every_reader_has_goes_before_what_one_has_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", SMALL, QuickDisk())
    for number in range(60):
        spool.append("others", numbered([number], size=200))
    reader = SpoolReader(tmp_path / "s", "one")
    read_all(reader)
    for number in range(60, 110):
        spool.append("others", numbered([number], size=200))
    assert spool.losses.total() == 0
    assert numbers(read_all(reader)) == list(range(60, 110))


def test_segments_grow_too_old_by_the_time_guard_ran_and_no_other_clock(tmp_path: Path) -> None:
    clock = Ticks()
    limits = Limits(segment_age=10, age=100)
    spool = Spool(tmp_path / "s", limits, QuickDisk(), clock)
    spool.append("others", numbered([0]))
    clock.now = 20.0  # the segment is closed at the next tick
    spool.tick(report)
    clock.now = 90.0
    spool.tick(report)
    spool.close()
    # Months later, by a clock that began anew: no time has passed for the spool.
    clock.now = 5_000_000.0
    spool = Spool(tmp_path / "s", limits, QuickDisk(), clock)
    spool.tick(report)
    assert spool.losses.total() == 0
    clock.now += 40.0
    spool.tick(report)
    assert spool.losses.total(SpoolCause.TOO_OLD, "others", None) == 1
    assert segments(tmp_path / "s", "others") == []
    # Numbers and chain go on where the evicted segment ended.
    spool.append("others", numbered([1]))
    seal = json.loads(segments(tmp_path / "s", "others")[0].path.read_bytes())["chain"]
    assert (seal["n"], seal["first"]) == (1, 1)


def test_numbers_and_chain_go_on_even_if_all_of_a_series_was_evicted(tmp_path: Path) -> None:
    clock = Ticks()
    limits = Limits(segment_age=1, age=1)
    spool = Spool(tmp_path / "s", limits, QuickDisk(), clock)
    spool.append("others", numbered([0, 1]))
    head = spool.head("others")
    for clock.now in (5.0, 10.0):
        spool.tick(report)
    assert segments(tmp_path / "s", "others") == []
    spool.close()
    spool = Spool(tmp_path / "s", limits, QuickDisk(), clock)
    assert spool.head("others") == head


def test_a_directory_that_is_no_spool_is_moved_aside_whole(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.txt").write_text("the only copy")
    spool = Spool(tmp_path / "s")
    assert spool.put_aside == [tmp_path / "s.aside-1"]
    assert (tmp_path / "s.aside-1" / "thesis.txt").read_text() == "the only copy"
    spool.append("denials", numbered([0]))
    spool.close()
    (tmp_path / "s" / FORMAT_FILE).write_text("guard-spool 999\n")
    again = Spool(tmp_path / "s")
    assert again.put_aside == [tmp_path / "s.aside-2"]
    assert segments(tmp_path / "s.aside-2", "denials") != []
    assert again.written("denials") == 0


def test_a_reader_says_what_is_wrong_with_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=f"^{re.escape(str(tmp_path))} is no spool: it has no"):
        SpoolReader(tmp_path, "one")
    (tmp_path / FORMAT_FILE).write_text("guard-spool 2\n")
    with pytest.raises(SpoolError, match="a spool of another format: b'guard-spool 2"):
        SpoolReader(tmp_path, "one")
    Spool(tmp_path / "s")
    with pytest.raises(ValueError, match=r"'../x' is no cursor name: letters"):
        SpoolReader(tmp_path / "s", "../x")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"guard_cursor":2}', '{"guard_cursor":1}', "9" * 99]
)
def test_an_unreadable_cursor_is_kept_and_reading_begins_anew(tmp_path: Path, text: str) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", numbered(range(3)))
    cursor = tmp_path / "s" / CURSORS / "one"
    cursor.write_text(text)
    reader = SpoolReader(tmp_path / "s", "one")
    assert reader.unreadable_cursor is not None
    assert reader.unreadable_cursor.read_text() == text
    assert numbers(read_all(reader)) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["fifo", "link", "huge", "directory"])
def test_a_collector_trusts_no_cursor(tmp_path: Path, kind: str) -> None:
    spool = Spool(tmp_path / "s", SMALL, QuickDisk())
    planted = tmp_path / "s" / CURSORS / "planted"
    if kind == "fifo":
        os.mkfifo(planted)  # reading it would wait for ever
    elif kind == "link":
        planted.symlink_to("/dev/zero")
    elif kind == "huge":
        with planted.open("wb") as file:
            file.truncate(1 << 40)
    else:
        planted.mkdir()
    for number in range(60):
        spool.append("others", numbered([number], size=1000))
    assert spool.cursors() == {}
    assert spool.losses.total(SpoolCause.EXPIRED) > 0


def test_segments_and_cursors_are_nobody_elses_to_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", numbered([0]))
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in [tmp_path / "s", tmp_path / "s" / CURSORS, *(tmp_path / "s").glob("*.ndjson")]
    }
    assert set(modes.values()) == {0o750, 0o770, 0o640}


def test_a_limit_that_holds_no_four_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="a spool of 100 bytes is too small for segments of 50"):
        Limits(bytes=100, segment_bytes=50)


def test_the_id_of_a_record_names_host_boot_epoch_cpu_and_number() -> None:
    told = {"host": {"id": "h", "boot": "b"}, "epoch": "e@1", "cpu": 3, "seq": 17}
    assert record_id(json.dumps(told).encode()) == "h/b/e@1/3/17"
    assert record_id(json.dumps(told | {"cpu": None}).encode()) == "h/b/e@1/-/17"
    with pytest.raises(ValueError, match="not a record"):
        record_id(b'{"host":1}')


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("denials"), st.integers(1, 30)),
        st.tuples(st.just("others"), st.integers(1, 30)),
        st.tuples(st.just("read"), st.integers(1, 40)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("tick"), st.integers(0, 100)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(STEPS)
@nothing_left()
def test_written_is_acknowledged_spooled_or_expired(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    directory = tmp_path_factory.mktemp("spool") / "s"
    clock = Ticks()
    limits = Limits(bytes=12_000, segment_bytes=2_000, age=300, segment_age=50)
    spool = Spool(directory, limits, QuickDisk(), clock)
    reader = SpoolReader(directory, "one")
    reader.ack(reader.read(1, 1).end)
    given_out: dict[str, list[int]] = {"denials": [], "others": []}
    delivered: list[int] = []
    for what, count in steps:
        if what in given_out:
            start = (1_000_000 if what == "others" else 0) + len(given_out[what])
            fresh = range(start, start + count)
            given_out[what] += fresh
            spool.append(what, numbered(fresh, size=40))
        elif what == "read":
            batch = reader.read(count, 3_000)
            delivered += numbers(batch.records)
            reader.ack(batch.end)
        elif what == "crash":
            reader = SpoolReader(directory, "one")
        elif what == "restart":
            lost = spool.losses.total()
            spool.tell(report)
            spool.close()
            if lost:
                break
            spool = Spool(directory, limits, QuickDisk(), clock)
        else:
            clock.now += count
            spool.tick(lambda _loss: b'{"own":1}')
    delivered += numbers(read_all(reader))
    for series, offered in given_out.items():
        mine = [n for n in delivered if (n >= 1_000_000) == (series == "others")]
        assert mine == sorted(set(mine))  # in order, none twice: all was acknowledged
        place = reader.acked.place(series)
        assert place.next == spool.written(series)
        assert place.damaged == 0
        # What was lost is told within the denials, so these hold guard's own records too.
        own = place.had() - len(mine)
        assert series == "denials" or own == 0
        never = spool.losses.total(SpoolCause.FULL, series)
        if spool.losses.total(SpoolCause.EXPIRED, "denials") == 0:  # they may have expired
            assert len(offered) == len(mine) + place.expired + never


def test_what_a_reader_puts_in_place_of_a_cursor_does_not_hold_up_the_collector(
    tmp_path: Path,
) -> None:
    """Readers may write there, and are less privileged: a FIFO would be waited for for ever."""
    spool = Spool(tmp_path / "spool")
    cursors = tmp_path / "spool/cursors"
    os.mkfifo(cursors / "fifo")
    (cursors / "link").symlink_to("/dev/zero")
    (cursors / "directory").mkdir()
    (cursors / "endless").write_bytes(b"[" * 100_000)
    assert spool.cursors() == {}
    spool.close()
