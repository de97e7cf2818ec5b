# SPDX-License-Identifier: Apache-2.0
"""From two rings to an acknowledged record: the whole law, under every fault at once."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.checkpoint import Line as TrailLine
from guard.audit.decode import Counters
from guard.audit.fast import Fast, slowly
from guard.audit.gather import Gatherer, Inlet, SinksOutlet
from guard.audit.lifecycle import Lifecycle
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.sequence import Sequences
from guard.audit.sinks import FanOut
from guard.audit.spool import Limits, Spool
from guard.audit.spool_files import SERIES, segments
from guard.audit.spool_losses import NEVER_WRITTEN, SpoolCause
from guard.audit.spool_reader import SpoolReader, record_id
from guard.audit.trail import Trail
from guard.audit.verify import verify
from guard.daemon.stream import open_stream
from tests.audit.samples import ORIGIN, FakeIndex, ListSink, Ring, fixed_clock, wire_event
from tests.audit.spools import FaultyDisk, QuickDisk, end, nothing_left, read_all


class Kernel:
    """Two rings, denials first; one row of numbers a processor; drops are counted."""

    def __init__(self, size: int = 4096, cpus: int = 2) -> None:
        self.rings = [Ring(size), Ring(size)]
        self.attempts = [0] * cpus
        self.dropped = [0] * cpus

    def attempt(self, cpu: int, denied: bool, damage: int | None = None) -> None:
        number = self.attempts[cpu]
        self.attempts[cpu] += 1
        error = -13 if denied else 0
        record = wire_event(cpu=cpu, sequence=number, error=error, inode=number % 3)[:damage]
        if not self.rings[0 if denied else 1].send(record):
            self.dropped[cpu] += 1

    def counters(self) -> list[Counters]:
        return [
            Counters(attempts, dropped, 0, 0, 0, 0, 0)
            for attempts, dropped in zip(self.attempts, self.dropped, strict=True)
        ]


class Host:
    """A guard that can be killed and started again over the same rings and spool."""

    def __init__(self, kernel: Kernel, directory: Path, limits: Limits) -> None:
        self.kernel = kernel
        self.directory = directory
        self.limits = limits
        self.now = 0.0
        self.runs = 0
        self.disk = FaultyDisk()
        self.start()

    def start(self) -> None:
        self.runs += 1
        clock = fixed_clock()
        index = FakeIndex()
        origin = dataclasses.replace(ORIGIN, epoch=f"g{self.runs}")
        lifecycle = Lifecycle(origin, clock)
        spool = Spool(self.directory, self.limits, self.disk, lambda: self.now)
        self.trail = Trail(spool, lifecycle, None, lambda: self.now)
        self.gatherer = open_stream(
            [ring.reader() for ring in self.kernel.rings],
            Recorder(clock, lambda _: index),
            JsonRenderer(ORIGIN).line,
            lambda: 0,
            lifecycle,
            clock,
            self.trail,
        )

    def kill(self) -> None:
        """As kill -9: nothing is closed in an orderly way."""
        end(self.trail.spool)
        self.start()


def kinds(lines: list[bytes]) -> tuple[list[bytes], dict[str, int]]:
    """The kernel's events, and what audit.lost records add up to by cause."""
    events, told = [], Counter[str]()
    for line in lines:
        record = json.loads(line)
        if record["event"] == "file.open":
            events.append(line)
        elif record["event"] == "audit.lost":
            told[record["lost"]["cause"]] += record["lost"]["count"]
    return events, dict(told)


def judge(directory: Path) -> list[str]:
    lines = [
        TrailLine(segment.path.name, number, text)
        for series in SERIES
        for segment in segments(directory, series)
        for number, text in enumerate(segment.path.read_bytes().splitlines(), 1)
    ]
    return [one.message for one in verify(lines, (), lambda _: None).findings]


def test_each_ring_has_its_series_and_its_counts(tmp_path: Path) -> None:
    kernel = Kernel()
    host = Host(kernel, tmp_path / "s", Limits())
    for _ in range(3):
        kernel.attempt(0, denied=True)
        kernel.attempt(1, denied=False)
    kernel.attempt(1, denied=False)
    gatherer = host.gatherer
    while gatherer.collect():
        pass
    gatherer.settle(kernel.counters())
    reader = SpoolReader(tmp_path / "s", "one")
    lines = read_all(reader)
    assert [json.loads(line)["verdict"] for line in lines] == ["denied"] * 3 + ["would-deny"] * 4
    assert [inlet.counts.recorded for inlet in gatherer.inlets] == [3, 4]
    assert gatherer.counts().received == 7
    assert [ring.consumed() == ring.produced() for ring in kernel.rings] == [True, True]


def test_a_flood_of_what_is_only_recorded_costs_no_denial(tmp_path: Path) -> None:
    kernel = Kernel(size=2048)
    host = Host(kernel, tmp_path / "s", Limits(bytes=200_000, segment_bytes=8_000))
    reader = SpoolReader(tmp_path / "s", "one")
    for number in range(400):
        for _ in range(20):
            kernel.attempt(0, denied=False)
        if number % 8 == 0:
            kernel.attempt(0, denied=True)
        host.gatherer.collect()
        if number % 50 == 0:
            host.now += 1
            host.gatherer.settle(kernel.counters())
    while host.gatherer.collect():
        pass
    host.gatherer.settle(kernel.counters())
    events, told = kinds(read_all(reader))
    denied = [line for line in events if b'"verdict":"denied"' in line]
    assert len(denied) == 50
    assert told["ring-full"] == sum(kernel.dropped) > 0
    place = reader.acked.others
    # Every attempt is delivered, or counted by the cause that took it.
    assert sum(kernel.attempts) == len(events) + sum(kernel.dropped) + place.expired


def test_what_waits_in_another_ring_is_not_missing(tmp_path: Path) -> None:
    kernel = Kernel()
    host = Host(kernel, tmp_path / "s", Limits())
    kernel.attempt(0, denied=False)
    kernel.attempt(0, denied=True)
    host.gatherer.collect()  # the denial, whose number is the second
    for _ in range(4):
        host.gatherer.settle(kernel.counters())
    while host.gatherer.collect():
        pass
    for _ in range(4):
        host.gatherer.settle(kernel.counters())
    events, told = kinds(read_all(SpoolReader(tmp_path / "s", "one")))
    assert (len(events), told) == (2, {})


def test_sinks_that_take_lines_are_an_outlet_too() -> None:
    kernel, sink = Kernel(), ListSink()
    fan = FanOut({"one": sink})
    clock = fixed_clock()
    index = FakeIndex()
    slow = slowly(Recorder(clock, lambda _: index), JsonRenderer(ORIGIN).line)
    gatherer = Gatherer(
        [Inlet(ring.reader(), SinksOutlet(fan)) for ring in kernel.rings],
        Fast(slow, clock),
        Lifecycle(ORIGIN, clock),
        clock,
        Sequences(),
    )
    kernel.attempt(0, denied=False)
    kernel.attempt(0, denied=True)
    gatherer.finish(kernel.counters(), b'{"event":"guard.stopped"}')
    assert [json.loads(line)["event"] for line in sink.lines] == [
        "file.open",
        "file.open",
        "guard.stopped",
    ]
    assert fan.counts()["one"].taken == 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("denied"), st.integers(0, 1)),
        st.tuples(st.just("audited"), st.integers(0, 1)),
        st.tuples(st.just("flood"), st.integers(0, 1)),
        st.tuples(st.just("damage"), st.sampled_from([0, 20, 239, 240, -1])),
        st.tuples(st.just("collect"), st.integers(1, 9)),
        st.tuples(st.just("settle"), st.integers(0, 60)),
        st.tuples(st.just("read"), st.integers(1, 20)),
        st.tuples(st.just("crash reader"), st.just(0)),
        st.tuples(st.just("full"), st.integers(0, 3000)),
        st.tuples(st.just("room"), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(STEPS)
@nothing_left()
def test_attempts_are_acknowledged_spooled_or_counted_by_cause(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    kernel = Kernel()
    directory = tmp_path_factory.mktemp("law") / "s"
    host = Host(kernel, directory, Limits(bytes=24_000, segment_bytes=6_000))
    gatherer, spool = host.gatherer, host.trail.spool
    reader = SpoolReader(directory, "siem")
    got: list[bytes] = []
    for what, value in steps:
        if what in ("denied", "audited"):
            kernel.attempt(value, denied=what == "denied")
        elif what == "flood":
            for _ in range(15):
                kernel.attempt(value, denied=False)
        elif what == "damage":
            kernel.attempt(0, denied=True, damage=value)
        elif what == "collect":
            gatherer.collect(value)
        elif what == "settle":
            host.now += value
            gatherer.settle(kernel.counters())
        elif what == "read":
            batch = reader.read(value, 1 << 20)
            got += batch.records
            reader.ack(batch.end)
        elif what == "crash reader":
            reader = SpoolReader(directory, "siem")
        elif what == "full":
            host.disk.room = value
        else:
            host.disk.room = None
    host.disk.room = None
    while gatherer.collect():
        pass
    for _ in range(3):  # what telling itself costs is told the next time
        gatherer.settle(kernel.counters())
    got += read_all(reader)

    counts = gatherer.counts()
    # The law, from the kernel to what a reader has acknowledged.
    assert sum(kernel.attempts) == counts.received + sum(kernel.dropped)
    assert counts.received == counts.recorded + counts.undecodable
    never = {
        series: sum(spool.losses.total(cause, series) for cause in NEVER_WRITTEN)
        for series in SERIES
    }
    assert sum(map(spool.written, SERIES)) + sum(never.values()) >= counts.recorded + counts.own
    for series in SERIES:
        place = reader.acked.place(series)
        assert spool.written(series) == place.had() + place.expired
        assert place.damaged == 0
    assert len(got) == sum(reader.acked.place(series).had() for series in SERIES)
    ids = [record_id(line) for line in kinds(got)[0]]
    assert len(set(ids)) == len(ids)
    # And as a reader alone can see it, unless it lost some of the telling.
    events, told = kinds(got)
    if reader.acked.denials.expired == 0 and never["denials"] == 0:
        expired = spool.losses.total(SpoolCause.EXPIRED, cursor="siem")
        # A reader may have in hand what is evicted, and deliver it all the same.
        delivered = expired - reader.acked.others.expired
        assert told.get("expired", 0) == expired
        assert 0 <= delivered <= len(got)
        assert told.get("spool", 0) == never["others"]
        assert sum(kernel.attempts) == (
            len(events)
            + told.get("ring-full", 0)
            + told.get("undecodable", 0)
            + told.get("expired", 0)
            - delivered
            + told.get("spool", 0)
        )
        assert "unexplained" not in told
    assert judge(directory) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=12))
@nothing_left()
def test_a_collector_killed_before_it_releases_delivers_again_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, int]]
) -> None:
    kernel = Kernel(size=1 << 15)
    directory = tmp_path_factory.mktemp("kill") / "s"
    host = Host(kernel, directory, Limits())
    host.disk = QuickDisk()  # type: ignore[assignment]
    for attempts, collected in lives:
        for number in range(attempts):
            kernel.attempt(number % 2, denied=number % 3 == 0)
        gatherer = host.gatherer
        for _ in range(collected):
            gatherer.collect(2)
        # Killed between the spool's write and the ring's release: it is as if never taken.
        for inlet in gatherer.inlets:
            inlet.ring.release = lambda: None  # type: ignore[method-assign]
        gatherer.collect(2)
        host.kill()
    gatherer = host.gatherer
    while gatherer.collect():
        pass
    lines = kinds(read_all(SpoolReader(directory, "one")))[0]
    ids = {record_id(line) for line in lines}
    assert len(ids) == sum(kernel.attempts)  # at least once each; the id tells repeats
    assert judge(directory) == []
