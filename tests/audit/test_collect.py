# SPDX-License-Identifier: Apache-2.0
"""The conservation law, under every fault that can be injected here."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.clock import Clock
from guard.audit.collect import Collector
from guard.audit.decode import Counters
from guard.audit.lifecycle import Lifecycle
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.sequence import Sequences
from guard.audit.shortfall import Counts
from guard.audit.sinks import FanOut, Sink
from tests.audit.samples import ORIGIN, FakeIndex, ListSink, Ring, fixed_clock, wire_event


class Kernel:
    """Gives out numbers, drops what has no room, counts: as lsm/report.h does."""

    def __init__(self, size: int = 2048, cpus: int = 2) -> None:
        self.ring = Ring(size)
        self.attempts = [0] * cpus
        self.dropped = [0] * cpus

    def attempt(self, cpu: int, damage: int | None = None) -> None:
        """``damage``: keep only so many bytes of the record."""
        record = wire_event(cpu=cpu, sequence=self.attempts[cpu])[:damage]
        self.attempts[cpu] += 1
        if not self.ring.send(record):
            self.dropped[cpu] += 1

    def counters(self) -> list[Counters]:
        return [
            Counters(attempts, dropped, 0, 0, 0, 0, 0)
            for attempts, dropped in zip(self.attempts, self.dropped, strict=True)
        ]


def collector(kernel: Kernel, **sinks: Sink) -> tuple[Collector, FanOut, Lifecycle]:
    clock = fixed_clock()
    fan = FanOut(sinks)
    lifecycle = Lifecycle(ORIGIN, clock)
    index = FakeIndex()
    made = Collector(
        kernel.ring.reader(),
        Recorder(clock, lambda _generation: index),
        JsonRenderer(ORIGIN).line,
        fan,
        lifecycle,
        clock,
        Sequences(),
    )
    return made, fan, lifecycle


def lost(sink: ListSink) -> dict[str, int]:
    """By cause, what the audit.lost records in a sink add up to."""
    told: Counter[str] = Counter()
    for line in sink.lines:
        members = json.loads(line)
        if members["event"] == "audit.lost":
            told[members["lost"]["cause"]] += members["lost"]["count"]
    return dict(told)


def test_a_quiet_ring_is_moved_and_nothing_is_told() -> None:
    kernel, sink = Kernel(), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    for _ in range(3):
        kernel.attempt(0)
    assert collect.collect() == 3
    assert collect.collect() == 0
    collect.settle(kernel.counters())
    assert [json.loads(line)["seq"] for line in sink.lines] == [0, 1, 2]
    assert kernel.ring.consumed() == kernel.ring.produced()
    assert collect.counts() == Counts(received=3, recorded=3)


def test_a_full_ring_is_told_in_band_per_cpu_with_its_place() -> None:
    kernel, sink = Kernel(), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    for _ in range(20):
        kernel.attempt(1)
    collect.collect()
    kernel.attempt(1)
    collect.collect()
    collect.settle(kernel.counters())
    (line,) = [json.loads(line) for line in sink.lines if b"audit.lost" in line]
    assert kernel.dropped[1] > 0
    assert line["lost"] == {
        "cause": "ring-full",
        "count": kernel.dropped[1],
        "cpu": 1,
        "first_seq": 20 - kernel.dropped[1],
        "last_seq": 19,
        "sink": None,
        "detail": None,
    }


def test_the_ring_keeps_a_batch_until_the_sinks_had_it() -> None:
    kernel = Kernel()
    consumed_at_emit: list[int] = []

    class Watching(ListSink):
        def emit(self, _batch: object) -> None:
            consumed_at_emit.append(kernel.ring.consumed())

    collect, _, _ = collector(kernel, s=Watching())
    kernel.attempt(0)
    collect.collect()
    assert consumed_at_emit == [0]
    assert kernel.ring.consumed() == kernel.ring.produced()


def test_undecodable_records_are_told_with_a_reason() -> None:
    kernel, sink = Kernel(), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    kernel.attempt(0, damage=20)
    kernel.attempt(0, damage=-1)
    kernel.attempt(0)
    collect.collect()
    for _ in range(3):
        collect.settle(kernel.counters())
    assert lost(sink) == {"undecodable": 2}
    assert collect.counts() == Counts(received=3, undecodable=2, recorded=1, own=1)


def test_a_dead_sinks_losses_are_told_to_the_living() -> None:
    kernel, dead, alive = Kernel(), ListSink(), ListSink()
    collect, fan, lifecycle = collector(kernel, dead=dead, alive=alive)
    dead.refuse = 10**6
    kernel.attempt(0)
    collect.collect()
    collect.settle(kernel.counters())
    kernel.attempt(0)
    collect.collect()
    collect.finish(kernel.counters(), lifecycle.stopped("test", enforcing=True))
    counts = fan.counts()
    assert dead.lines == []
    assert counts["dead"].lost == counts["alive"].taken == len(alive.lines) == 5
    # All but the last report itself and the farewell beside it.
    assert lost(alive) == {"sink": counts["dead"].lost - 2}
    assert json.loads(alive.lines[-1])["event"] == "guard.stopped"


def test_finish_empties_the_ring() -> None:
    kernel, sink = Kernel(1 << 16), ListSink()
    collect, _, lifecycle = collector(kernel, s=sink)
    for _ in range(200):
        kernel.attempt(0)
    collect.finish(kernel.counters(), lifecycle.stopped("test", enforcing=False))
    assert len(sink.lines) == 201
    assert kernel.ring.consumed() == kernel.ring.produced()


def test_events_of_a_forgotten_generation_are_counted_and_recorded() -> None:
    kernel, sink = Kernel(), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    kernel.ring.send(wire_event(cpu=0, sequence=0, denied=0b100))
    collect.collect()
    assert collect.counts() == Counts(received=1, recorded=1, unresolved=1)
    assert json.loads(sink.lines[0])["policy"]["name"] is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("attempt"), st.integers(0, 1)),
        st.tuples(st.just("flood"), st.integers(0, 1)),
        st.tuples(st.just("damage"), st.sampled_from([0, 20, 183, 184, -1])),
        st.tuples(st.just("refuse"), st.sampled_from([0, 1, 100])),
        st.tuples(st.just("collect"), st.integers(1, 8)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(STEPS)
def test_attempts_are_delivered_or_counted_by_cause(steps: list[tuple[str, int]]) -> None:
    kernel, good, bad = Kernel(), ListSink(), ListSink()
    collect, fan, lifecycle = collector(kernel, good=good, bad=bad)
    for what, value in steps:
        if what == "attempt":
            kernel.attempt(value)
        elif what == "flood":
            for _ in range(12):
                kernel.attempt(value)
        elif what == "damage":
            kernel.attempt(0, damage=value)
        elif what == "refuse":
            bad.refuse = value
        elif what == "collect":
            collect.collect(value)
        else:
            collect.settle(kernel.counters())
    collect.finish(kernel.counters(), lifecycle.stopped("test", enforcing=True))
    collect.settle(kernel.counters())

    counts, sinks = collect.counts(), fan.counts()
    events = [line for line in good.lines if b'"file.open"' in line]
    told = lost(good)
    # The law, from the kernel's side to each sink's.
    assert sum(kernel.attempts) == counts.received + sum(kernel.dropped)
    assert counts.received == counts.recorded + counts.undecodable
    for name, sink in (("good", good), ("bad", bad)):
        assert counts.recorded + counts.own == sinks[name].taken + sinks[name].lost
        assert sinks[name].taken == len(sink.lines)
    # And as a reader of the good sink's lines alone can see it.
    assert sum(kernel.attempts) == len(events) + told.get("ring-full", 0) + told.get(
        "undecodable", 0
    )
    assert "unexplained" not in told
    assert len(set(events)) == len(events)


def test_what_waits_behind_a_record_under_way_is_not_missing() -> None:
    """Its producer was preempted for seconds: no number is called unexplained for it."""
    kernel, sink = Kernel(), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    kernel.attempt(0)
    kernel.attempt(1)
    # Numbered first, and then overtaken: its place in the ring is behind its follower's.
    kernel.ring.send(wire_event(cpu=0, sequence=2))
    under_way = kernel.ring.reserve(wire_event(cpu=0, sequence=1))
    kernel.attempts[0] += 2
    assert under_way is not None
    for _ in range(4):
        collect.collect()
        collect.settle(kernel.counters())
    kernel.ring.commit(under_way)
    for _ in range(4):
        collect.collect()
        collect.settle(kernel.counters())
    assert [json.loads(line)["event"] for line in sink.lines] == ["file.open"] * 4


def test_what_was_never_seen_because_the_ring_was_never_emptied_is_not_missing() -> None:
    kernel, sink = Kernel(16384), ListSink()
    collect, _, _ = collector(kernel, s=sink)
    for number in (0, 2, 3):
        kernel.ring.send(wire_event(cpu=0, sequence=number))
    for _ in range(8):
        kernel.ring.send(wire_event(cpu=1, sequence=kernel.attempts[1]))
        kernel.attempts[1] += 1
    kernel.ring.send(wire_event(cpu=0, sequence=1))  # far behind those that overtook it
    kernel.attempts[0] = 4
    for _ in range(5):
        collect.collect(limit=2)
        collect.settle(kernel.counters())
    assert lost(sink) == {}
    while collect.collect():
        pass
    for _ in range(3):
        collect.settle(kernel.counters())
    assert lost(sink) == {}
    assert len(sink.lines) == 12


def test_a_clock_that_was_set_is_a_record_of_its_own() -> None:
    kernel, sink = Kernel(), ListSink()
    wall = [1_773_652_000_000_000_000]
    clock = Clock(lambda: (wall[0], 10_000_000_000))
    collect = Collector(
        kernel.ring.reader(),
        Recorder(clock, lambda _: FakeIndex()),
        JsonRenderer(ORIGIN).line,
        FanOut({"s": sink}),
        Lifecycle(ORIGIN, clock),
        clock,
        Sequences(),
    )
    collect.settle(kernel.counters())
    assert sink.lines == []
    wall[0] -= 3_600_000_000_000
    collect.settle(kernel.counters())
    collect.settle(kernel.counters())
    (told,) = map(json.loads, sink.lines)
    assert (told["event"], told["milliseconds"]) == ("clock.stepped", -3_600_000)
    assert told["boot_ns"] == "10000000000"
