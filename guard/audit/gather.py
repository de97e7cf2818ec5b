# SPDX-License-Identifier: Apache-2.0
"""The way of records from several rings into the spool, a block at a time.

collect.py's law and face, for a host: events are read where they lie and lines
go out in blocks (fast.py), denials before others and each kind to an outlet of
its own. Knows no map, no thread and no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from guard.audit.chain import Block, block
from guard.audit.clock import Clock
from guard.audit.clock_watch import ClockWatch
from guard.audit.decode import Counters
from guard.audit.fast import ROOM, Fast
from guard.audit.lifecycle import Lifecycle
from guard.audit.ring import RingReader
from guard.audit.sequence import Sequences
from guard.audit.shortfall import Counts, Shortfall
from guard.audit.sinks import FanOut
from guard.audit.spool import Spool

# Records in a block. Fewer cost a system call and a seal each (100: some 15 %
# slower, measured); more would only hold the ring's room for longer.
BATCH = 400


class Outlet(Protocol):
    """Where blocks go. It counts what it cannot take and never raises."""

    def put(self, lines: Block) -> None:
        """Takes a block of at least one line."""


class SpoolOutlet:
    """A series of the spool."""

    def __init__(self, spool: Spool, series: str) -> None:
        self._spool = spool
        self._series = series

    def put(self, lines: Block) -> None:
        """Appends the block to the series."""
        self._spool.append_block(self._series, lines)


class SinksOutlet:
    """Sinks that take lines."""

    def __init__(self, sinks: FanOut) -> None:
        self._sinks = sinks

    def put(self, lines: Block) -> None:
        """Gives the lines to each sink."""
        self._sinks.emit(lines.lines())


@dataclass(slots=True)
class Inlet:
    """A ring, where its lines go, and what came out of it so far."""

    ring: RingReader
    outlet: Outlet
    counts: Counts = field(default_factory=Counts)


class Gatherer:
    """Moves what is in the rings to their outlets and says what is missing.

    ``inlets`` in the order of their importance: denials first. All rings share
    the kernel's counters, so ``sequences`` are followed across them. guard's
    own records go to the first outlet. ``tick`` is what else is due about once
    a second; it is called by ``settle``.
    """

    def __init__(
        self,
        inlets: Sequence[Inlet],
        fast: Fast,
        lifecycle: Lifecycle,
        clock: Clock,
        sequences: Sequences,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._tick = tick
        self.inlets = tuple(inlets)
        self._fast = fast
        self._watch = ClockWatch(clock, lifecycle)
        self._sequences = sequences
        self._counts = Counts()
        self._emptied = False
        self._shortfall = Shortfall(sequences, lifecycle, self._counts)

    def collect(self, limit: int = BATCH) -> int:
        """Moves one block at most, of the first ring that has any; 0: all are empty.

        The ring gets its room back only after the outlet had the block: if the
        process dies in between, the next one delivers it again.
        """
        for inlet in self.inlets:
            if moved := self._move(inlet, limit):
                return moved
        if not any(inlet.ring.blocked for inlet in self.inlets):
            self._emptied = True
        return 0

    def settle(self, counters: Sequence[Counters] | None) -> None:
        """Reports what was lost since the last call, as audit.lost records.

        ``counters``: every CPU's, read after the rings were last drained; None
        if they cannot be read. Reads the wall clock's offset anew as well.
        """
        lines = self._watch.settle()
        # A number that is missing may wait in the ring whose turn comes last.
        complete, self._emptied = self._emptied, False
        self.tell([*lines, *self._shortfall.settle(counters, complete)])
        self._tick()

    def tell(self, lines: Sequence[bytes]) -> None:
        """Sends guard's own lines (Lifecycle's) the same way as denials."""
        self._counts.own += len(lines)
        if lines:
            self.inlets[0].outlet.put(block(lines))

    def finish(self, counters: Sequence[Counters] | None, last: bytes) -> None:
        """Empties the rings, reports every loss so far and sends ``last``.

        What producers put into the rings meanwhile may stay there for a successor.
        """
        for inlet in self.inlets:
            # At least what is there now, and not for ever beside a busy producer.
            ahead = inlet.ring.backlog()
            while ahead > 0 and self._move(inlet, BATCH):
                ahead -= BATCH * ROOM
        self._emptied = not any(inlet.ring.backlog() for inlet in self.inlets)
        self.settle(counters)
        self.tell([last])

    def counts(self) -> Counts:
        """The counts of all rings together, as they are now."""
        return replace(self._counts)

    def _move(self, inlet: Inlet, limit: int) -> int:
        ring = inlet.ring
        memory = ring.memory
        fast = self._fast
        at, stride, count = ring.stretch(limit) if memory is not None else (0, 0, 0)
        if memory is not None and stride >= ROOM:
            out = fast.block(memory, at, stride, count, self._sequences.row)
            ring.take(count * stride)
            for error in out.undecodable:
                self._shortfall.undecodable(error, numbered=True)
        else:
            records = ring.drain(limit)
            count = len(records)
            out = fast.one_by_one(records, self._sequences.row)
            for error in out.undecodable:
                self._shortfall.undecodable(error, numbered=False)
        made = len(out.block.sums)
        if made:
            inlet.outlet.put(out.block)
        # Also where every record was a discarded one: they take room as well.
        ring.release()
        for counts in (self._counts, inlet.counts):
            counts.received += count
            counts.recorded += made
            counts.unresolved += out.unresolved
        inlet.counts.undecodable += len(out.undecodable)
        return count
