# SPDX-License-Identifier: Apache-2.0
"""A wall clock that was set is told, in one jump or in many small ones; one that is kept is not."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from guard.audit.clock import Clock
from guard.audit.clock_watch import STEP_NS, ClockWatch
from guard.audit.lifecycle import Lifecycle
from tests.audit.samples import ORIGIN


class Set:
    """A clock that tests set, and its watch."""

    def __init__(self) -> None:
        self.offset, self.boot = 1_773_652_000_000_000_000, 10_000_000_000
        clock = Clock(lambda: (self.boot + self.offset, self.boot))
        self.watch = ClockWatch(clock, Lifecycle(ORIGIN, clock))

    def after(self, step: int) -> list[int]:
        """The records, in milliseconds, a second after the clock was moved so far."""
        self.boot += 1_000_000_000
        self.offset += step
        return [json.loads(line)["milliseconds"] for line in self.watch.settle()]


def test_time_that_passes_is_no_step() -> None:
    clock = Set()
    assert [clock.after(0) for _ in range(3)] == [[], [], []]


def test_a_step_is_told_once() -> None:
    clock = Set()
    assert clock.after(86_400 * STEP_NS) == [86_400_000]
    assert clock.after(0) == []
    assert clock.after(-1_500_000_000) == [-1500]


def test_the_record_has_the_new_time() -> None:
    clock = Set()
    clock.offset += 60 * STEP_NS
    (line,) = clock.watch.settle()
    assert json.loads(line)["time"] == "2026-03-16T09:07:50.000000Z"


@given(st.lists(st.integers(-STEP_NS + 1, STEP_NS - 1), max_size=40))
def test_small_steps_are_told_when_they_add_up(steps: list[int]) -> None:
    """What is not told is never as much as a second; nobody walks a clock away unseen."""
    clock = Set()
    told = 0
    for step in steps:
        told += sum(clock.after(step))
    # Each record is cut to milliseconds.
    assert abs(sum(steps) / 1e6 - told) < STEP_NS / 1e6 + len(steps)
