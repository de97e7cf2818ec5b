# SPDX-License-Identifier: Apache-2.0
"""The fast ways make the same bytes as the slow one, whatever the events are.

The C one is tested where it is built (`make formatter`, which `make setup` does).
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.chain import Block, block
from guard.audit.clock import Clock
from guard.audit.decode import DecodeError
from guard.audit.fast import LINES, ROOM, Fast, Output, slowly
from guard.audit.fragments import Line
from guard.audit.native import LIBRARY, NativeFast, NativeMissing
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.ring import RingReader
from guard.wire.layout import EVENT, EventFlag, Hook, Section
from tests.audit.samples import ORIGIN, SECOND, FakeIndex, Ring, wire_event

Slow = Callable[[bytes], bytes]


class Host:
    """A clock that the test sets, and both ways to a line."""

    def __init__(self, way: type[Fast] = Fast) -> None:
        self.boot = 1_773_651_900 * SECOND
        self.version = 0
        self.clock = Clock(lambda: (self.boot + 10 * SECOND, 10 * SECOND))
        index = FakeIndex()
        recorder = Recorder(self.clock, lambda number: index if number < 100 else None)
        self.slow = slowly(recorder, JsonRenderer(ORIGIN).line)
        self.fast = way(self.slow, self.clock, lambda: self.version, recorder.host_path)


WAYS = pytest.mark.parametrize(
    "way",
    [
        Fast,
        pytest.param(
            NativeFast, marks=pytest.mark.skipif(not LIBRARY.exists(), reason="not built")
        ),
    ],
)


def fixed(record: bytes, size: int) -> bytes:
    """The record in a reservation of a constant size, as the kernel's are."""
    return record + b"\xa5" * (size - len(record))


def read(host: Host, reader: RingReader, limit: int = 100) -> tuple[Output, list[tuple[int, int]]]:
    """All that is in the ring, the fast way, and the numbers that it told."""
    numbers: list[tuple[int, int]] = []

    def arrived(cpu: int, first: int, count: int) -> None:
        numbers.extend((cpu, first + at) for at in range(count))

    at, stride, count = reader.stretch(limit)
    assert reader.memory is not None
    made = host.fast.block(reader.memory, at, stride, count, arrived)
    reader.take(count * stride)
    reader.release()
    return made, numbers


def plain(made: Block) -> Block:
    """The block in types that compare."""
    return Block(bytes(made.body), list(made.sums), bytes(made.spine))


U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
NAME = st.one_of(
    st.sampled_from([b"etc", b"a b", b'q"uote', b"back\\", b"\xff\xfe", b"new\nline", b"%s%d"]),
    st.binary(min_size=1, max_size=12).map(
        lambda raw: raw.replace(b"/", b".").replace(b"\0", b"_")
    ),
)
PATH = st.lists(NAME, max_size=4).map(lambda names: b"/" + b"/".join(names))

EVENTS = st.builds(
    wire_event,
    path=PATH,
    second=st.one_of(st.just(b""), PATH),
    exe=PATH,
    comm=st.binary(max_size=16),
    address=st.sampled_from([b"", b"\x7f\0\0\1", b"\xfd" + b"\1" * 15]),
    sequence=U64,
    boot_ns=st.integers(0, 2**62),
    cpu=st.integers(0, 3),
    suppressed=st.one_of(st.just(0), U32),
    denied=st.integers(0, 7),
    audited=st.integers(0, 3),
    killed=st.integers(0, 1),
    inode=st.one_of(st.just(7), U64),
    generation=st.sampled_from([1, 2, 100]),
    section=st.integers(0, max(Section) + 1),
    hook=st.one_of(st.sampled_from(list(Hook)), U32),
    verbs=st.integers(0, 31),
    operation=st.integers(0, 40),
    reason=st.integers(0, 12),
    flags=st.one_of(st.just(0), st.sampled_from(list(EventFlag)), st.integers(0, 1023)),
    error=st.sampled_from([0, -1, -13, -4095]),
    device=st.sampled_from([8 << 20 | 1, 9 << 20]),
    exe_device=st.sampled_from([8 << 20 | 2, 9 << 20]),
    target=st.integers(0, 3),
    pid=st.integers(1, 3),
    family=st.sampled_from([0, 1, 2, 10, 17, 99]),
    type=st.integers(0, 6),
    protocol=st.sampled_from([0, 6, 17, 255]),
    port=st.integers(0, 65535),
)


@WAYS
@settings(deadline=None, max_examples=300)
@given(st.lists(EVENTS, min_size=1, max_size=8), st.integers(0, 2), st.data())
def test_both_ways_make_the_same_bytes(
    way: type[Fast], events: list[bytes], repeats: int, data: st.DataObject
) -> None:
    host = Host(way)
    size = max(map(len, events))
    ring = Ring(1 << 16, start=data.draw(st.sampled_from([0, (1 << 16) - 264])))
    reader = ring.reader()
    lines: list[bytes] = []
    expected: list[bytes] = []
    for _ in range(repeats + 1):
        for event in events:
            assert ring.send(fixed(event, size))
            try:
                expected.append(host.slow(event).text)
            except DecodeError:
                continue
        made, numbers = read(host, reader)
        assert plain(made.block) == block(made.block.lines())  # CRCs and what is hashed are right
        lines += made.block.lines()
        assert numbers == [
            (struct.unpack_from("<I", event, 16)[0], struct.unpack_from("<Q", event)[0])
            for event in events
        ]
    assert lines == expected


@WAYS
def test_a_clock_step_is_followed_by_what_is_remembered_too(way: type[Fast]) -> None:
    host, ring = Host(way), Ring()
    reader = ring.reader()
    times = []
    for step in (0, 0, 7200, 7200):
        host.boot = (1_773_651_900 + step) * SECOND
        host.clock.refresh()
        ring.send(wire_event())
        made, _ = read(host, reader)
        times.append(json.loads(bytes(made.block.body))["time"])
    assert times == ["2026-03-16T09:05:05.000042Z"] * 2 + ["2026-03-16T11:05:05.000042Z"] * 2


@WAYS
def test_events_of_several_seconds_and_processors_in_one_block(way: type[Fast]) -> None:
    host, ring = Host(way), Ring(1 << 15)
    reader = ring.reader()
    chance = random.Random(5)  # noqa: S311 - not a secret
    events = [
        wire_event(sequence=number, cpu=chance.randrange(3), boot_ns=chance.randrange(4 * SECOND))
        for number in range(60)
    ]
    for event in events:
        ring.send(event)
    made, numbers = read(host, reader)
    assert made.block.lines() == [host.slow(event).text for event in events]
    assert [number for _, number in numbers] == list(range(60))


@WAYS
def test_what_is_remembered_is_forgotten_with_its_version(way: type[Fast]) -> None:
    host, ring = Host(way), Ring()
    reader = ring.reader()
    asked = []
    slow = host.slow
    host.fast = way(lambda raw: asked.append(1) or slow(raw), host.clock, lambda: host.version)
    for version in (0, 0, 1, 1):
        host.version = version
        ring.send(wire_event())
        read(host, reader)
    assert len(asked) == 2


def test_memory_is_bounded_whatever_comes() -> None:
    host, ring = Host(), Ring(1 << 20)
    reader = ring.reader()
    for round_ in range(12):
        for number in range(500):
            ring.send(wire_event(inode=round_ * 500 + number))
        while reader.backlog():
            read(host, reader)
    assert len(host.fast._new) <= LINES
    assert len(host.fast._old) <= LINES


@WAYS
def test_records_that_are_no_events_are_told_and_cost_only_themselves(way: type[Fast]) -> None:
    host, ring = Host(way), Ring(1 << 14)
    reader = ring.reader()
    good = wire_event(sequence=1)
    bad = bytearray(wire_event(sequence=2))
    struct.pack_into("<I", bad, EVENT.fields["path_size"].offset, 1 << 30)
    for record in (good, bytes(bad), good):
        ring.send(record)
    made, numbers = read(host, reader)
    assert len(made.block.sums) == 2
    (error,) = made.undecodable
    assert "names of 1073741824" in str(error)
    assert [number for _, number in numbers] == [1, 2, 1]


def test_a_stretch_ends_where_a_record_is_of_another_length_or_not_committed() -> None:
    ring = Ring(1 << 14)
    reader = ring.reader()
    event = wire_event()
    assert reader.stretch(9) == (0, 0, 0)
    for _ in range(3):
        ring.send(event)
    ring.send(event + b"x" * 40)
    waiting = ring.reserve(event)
    assert waiting is not None
    stride = (len(event) + 8 + 7) & ~7
    assert reader.stretch(2) == (Ring.PAGE + 8, stride, 2)
    assert reader.stretch(9) == (Ring.PAGE + 8, stride, 3)
    reader.take(3 * stride)
    at, longer, count = reader.stretch(9)
    assert (at, count) == (Ring.PAGE + 8 + 3 * stride, 1) and longer > stride
    reader.take(longer)
    assert reader.stretch(9) == (0, 0, 0)
    ring.commit(waiting, discard=True)
    assert reader.stretch(9) == (0, 0, 0)
    assert reader.drain(9) == []
    assert reader.backlog() == 0


@pytest.mark.parametrize("size", [ROOM - 16, ROOM - 8])
def test_a_line_by_the_slow_way_alone(size: int) -> None:
    host = Host()
    told: list[tuple[int, int, int]] = []
    event = wire_event(path=b"/", exe=b"/")
    made = host.fast.one_by_one([event, event[: size - 1]], lambda *row: told.append(row))
    assert len(made.block.lines()) == 2 - len(made.undecodable)
    assert len(told) == len(made.block.sums)


def test_a_library_that_is_not_there_or_is_another_is_told(tmp_path: Path) -> None:
    host = Host()
    with pytest.raises(NativeMissing, match=r"none\.so"):
        NativeFast(host.slow, host.clock, library=tmp_path / "none.so")
    (tmp_path / "bad.so").write_bytes(b"no library")
    with pytest.raises(NativeMissing, match=r"bad\.so"):
        NativeFast(host.slow, host.clock, library=tmp_path / "bad.so")


@pytest.mark.skipif(not LIBRARY.exists(), reason="not built")
def test_lines_that_nothing_is_remembered_for_and_long_ones_come_out_whole() -> None:
    host = Host(NativeFast)
    made_of = []

    def slow(raw: bytes) -> Line:
        made_of.append(raw)
        return host.slow(raw)._replace(lasting=False)

    host.fast = NativeFast(slow, host.clock)
    ring = Ring(1 << 20)
    reader = ring.reader()
    events = [wire_event(path=b"/" + b"\xc3\xa9" * 4000, inode=number % 2) for number in range(60)]
    for event in events:
        assert ring.send(event)
    made, _ = read(host, reader)
    assert made.block.lines() == [host.slow(event).text for event in events]
    assert len(made_of) == 60
    assert sum(map(len, made.block.lines())) > 1 << 20


@pytest.mark.skipif(not LIBRARY.exists(), reason="not built")
def test_more_kinds_of_events_than_are_remembered_are_no_matter() -> None:
    host, ring = Host(NativeFast), Ring(1 << 20)
    reader = ring.reader()
    events = [wire_event(hook=1000 + number) for number in range(700)]
    lines = []
    for event in events:
        ring.send(event)
    while reader.backlog():
        lines += read(host, reader)[0].block.lines()
    assert lines == [host.slow(event).text for event in events]


@WAYS
@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(PATH, PATH, U32, U64), min_size=3, max_size=12))
def test_new_objects_of_known_processes_are_spelled_as_the_renderer_does(
    way: type[Fast], objects: list[tuple[bytes, bytes, int, int]]
) -> None:
    host, ring = Host(way), Ring(1 << 16)
    reader = ring.reader()
    events = [
        wire_event(
            path=path,
            exe=exe if number % 3 == 0 else b"/usr/bin/cat",
            inode=inode,
            device=8 << 20 | 1 if number % 4 else device,
            flags=EventFlag.UNLINKED if number % 5 == 0 else 0,
        )
        for number, (path, exe, device, inode) in enumerate(objects)
    ]
    for event in events:
        assert ring.send(fixed(event, 600))
    made, _ = read(host, reader)
    assert made.block.lines() == [host.slow(event).text for event in events]


def test_new_files_are_made_of_parts_and_nothing_else_is() -> None:
    host, ring = Host(), Ring(1 << 16)
    reader = ring.reader()
    made_of: list[bytes] = []
    slow, host_path = host.slow, FakeIndex().host_path

    def counting(raw: bytes) -> Line:
        made_of.append(raw)
        return slow(raw)

    host.fast = Fast(
        counting, host.clock, host_path=lambda _, device, path: host_path(device, path)
    )
    for number in range(20):
        ring.send(wire_event(inode=number))
    read(host, reader)
    assert len(made_of) == 1
    for number in range(20):
        ring.send(wire_event(inode=number, section=Section.EXEC))
    read(host, reader)
    assert len(made_of) == 21
