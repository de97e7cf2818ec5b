# SPDX-License-Identifier: Apache-2.0
"""Which sequence numbers are missing, and whether the kernel's counters explain them.

Knows numbers per CPU; nothing of rings, records or sinks.

The kernel takes an event's number before it reserves room, and LSM programs
can be preempted in between, so events of one CPU may arrive in another order
than their numbers. A hole is therefore not yet a loss. What is lost is what
the counter of drops says. A hole that has been open for a whole interval
between two ``settle`` calls, and that even all drops together do not explain,
is called unexplained. Per CPU, at all times:

    attempts = arrived + holes + numbers not reached yet
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from guard.audit.decode import Counters


class Missing(NamedTuple):
    """``lost`` numbers of one CPU will not come; ``between``: the first and last hole
    that was open, None if none was. ``explained``: the kernel counted them.
    """

    cpu: int
    lost: int
    between: tuple[int, int] | None
    explained: bool


@dataclass(slots=True)
class _Cpu:
    started: bool  # False: the next number to arrive is the first
    first: int = 0
    next: int = 0
    arrived: int = 0
    dropped: int = 0  # by the kernel's counter, as last settled
    unexplained: int = 0  # reported as such
    settled: int = 0  # holes that are not followed one by one any more
    mark: int = 0  # next when last settled: holes below it are old
    # Open holes, [begin, end) each, in ascending order.
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def open(self) -> int:
        return sum(self.ends) - sum(self.begins)

    def close_below(self, mark: int) -> None:
        count = bisect_left(self.begins, mark)
        self.settled += sum(self.ends[:count]) - sum(self.begins[:count])
        del self.begins[:count], self.ends[:count]

    def fill(self, number: int) -> None:
        """A number below ``next`` arrived after all."""
        at = bisect_right(self.begins, number) - 1
        if at < 0 or number >= self.ends[at]:
            self.settled -= 1
            return
        begin, end = self.begins[at], self.ends[at]
        kept = [piece for piece in ((begin, number), (number + 1, end)) if piece[0] < piece[1]]
        self.begins[at : at + 1] = [piece[0] for piece in kept]
        self.ends[at : at + 1] = [piece[1] for piece in kept]

    def hull(self) -> tuple[int, int] | None:
        return (self.begins[0], self.ends[-1] - 1) if self.begins else None


class Sequences:
    """Follows every CPU's numbers.

    ``adopted``: each CPU's counters when this object is made, if they and the
    ring are older than it, as when a new daemon takes over pinned maps. Drops
    up to then are the earlier daemon's to report, and each CPU's numbers are
    followed from the first that arrives. None: all begin at 0.
    """

    def __init__(self, adopted: Sequence[Counters] | None = None) -> None:
        self._adopted = adopted
        self._cpus: dict[int, _Cpu] = {}
        self._unnumbered = 0

    def arrived(self, cpu: int, number: int) -> None:
        """A record of this number came out of the ring. Each number comes once at most."""
        state = self._cpus.get(cpu)
        if state is None:
            state = self._begin(cpu)
        if number == state.next:
            state.next = number + 1
        elif not state.started:
            state.first = state.mark = number
            state.next = number + 1
        elif number > state.next:
            state.begins.append(state.next)
            state.ends.append(number)
            state.next = number + 1
        elif number >= state.first:
            state.fill(number)
        else:
            return  # adopted: preempted, and overtaken by the first that we saw
        state.started = True
        state.arrived += 1

    def row(self, cpu: int, first: int, count: int) -> None:
        """Records of these numbers came, one behind the other: as ``arrived`` for each."""
        state = self._cpus.get(cpu)
        if state is not None and state.started and state.next == first:
            state.next += count
            state.arrived += count
            return
        for number in range(first, first + count):
            self.arrived(cpu, number)

    def unnumbered(self) -> None:
        """A record came whose number cannot be read: it is one of the holes."""
        self._unnumbered += 1

    def settle(self, counters: Sequence[Counters] | None, complete: bool = True) -> list[Missing]:
        """What is newly known to be lost. To be called at intervals of a second or so.

        ``counters`` are all CPUs' in order, read after the ring was drained;
        None if they cannot be read, and then holes become unexplained.
        ``complete``: since the last call there was a moment when all rings were
        empty; if not, what is missing may wait in one of them, and holes stay open.
        """
        lost: list[Missing] = []
        for cpu, count in enumerate(counters or ()):
            state = self._cpus.get(cpu) or self._begin(cpu)
            fresh = count.dropped - state.dropped
            if fresh > 0:
                lost.append(Missing(cpu, fresh, state.hull(), True))
                state.dropped = count.dropped
        for cpu, state in sorted(self._cpus.items()) if complete else ():
            hull = state.hull()
            if state.settled + state.open() == state.dropped - self._baseline(cpu):
                state.close_below(state.next)  # the usual case: the drops are the holes
            else:
                state.close_below(state.mark)
            state.mark = state.next
            old = state.settled - (state.dropped - self._baseline(cpu)) - state.unexplained
            if old > 0:
                state.unexplained += old
                known = min(old, self._unnumbered)
                self._unnumbered -= known
                if old > known:
                    lost.append(Missing(cpu, old - known, hull, False))
        return lost

    def holes(self) -> dict[int, int]:
        """Per CPU, how many numbers below the highest that arrived have not arrived."""
        return {cpu: state.settled + state.open() for cpu, state in self._cpus.items()}

    def reached(self) -> dict[int, int]:
        """Per CPU, one more than the highest number that arrived."""
        return {cpu: state.next for cpu, state in self._cpus.items()}

    def _begin(self, cpu: int) -> _Cpu:
        state = self._cpus[cpu] = _Cpu(self._adopted is None, dropped=self._baseline(cpu))
        return state

    def _baseline(self, cpu: int) -> int:
        if self._adopted is None or cpu >= len(self._adopted):
            return 0
        return self._adopted[cpu].dropped
