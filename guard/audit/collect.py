# SPDX-License-Identifier: Apache-2.0
"""The way of a record: ring → event → record → line → sinks, in batches, counted.

The only module that knows this whole order. Knows no map, no thread and no
timer: the daemon calls ``collect`` when the ring is readable and ``settle``
about once a second.

The law that the counts obey, asserted in tests under injected faults:

    attempts (kernel) = received + dropped (kernel), once all has arrived
    received          = undecodable + recorded
    recorded + own    = taken + lost, for each sink
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from guard.audit.clock import Clock
from guard.audit.clock_watch import ClockWatch
from guard.audit.decode import Counters, DecodeError, Decoder
from guard.audit.lifecycle import Lifecycle
from guard.audit.loss import LossCause
from guard.audit.record import Record, Recorder
from guard.audit.ring import HEADER
from guard.audit.sequence import Sequences
from guard.audit.shortfall import Counts, Shortfall
from guard.audit.sinks import FanOut

# Records in a batch. Lines of 128 stay below 128 KB, beyond which every batch
# would be a fresh mapping to the allocator (measured: 512 a batch cost twice).
BATCH = 128


class Source(Protocol):
    """Where records come from: guard.audit.ring.RingReader."""

    def drain(self, limit: int) -> list[bytes]:
        """Up to ``limit`` records, oldest first, that stay in the ring until released."""

    def release(self) -> None:
        """Lets go of everything drained."""

    def backlog(self) -> int:
        """Bytes in the ring that were not drained."""

    @property
    def blocked(self) -> bool:
        """Whether the last ``drain`` left records behind one that is not committed."""


class Collector:
    """Moves what is in the ring to the sinks and says what is missing."""

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        render: Callable[[Record], bytes],
        sinks: FanOut,
        lifecycle: Lifecycle,
        clock: Clock,
        sequences: Sequences,
    ) -> None:
        self._source = source
        self._event = Decoder().event
        self._record = recorder.record
        self._render = render
        self._sinks = sinks
        self._lifecycle = lifecycle
        self._watch = ClockWatch(clock, lifecycle)
        self._arrived = sequences.arrived
        self._counts = Counts()
        self._emptied = False
        self._shortfall = Shortfall(sequences, lifecycle, self._counts)

    def collect(self, limit: int = BATCH) -> int:
        """Moves one batch; returns how many records it was, so 0 means the ring is empty.

        The ring gets its room back only after the sinks had the batch: if the
        process dies in between, the next one delivers it again.
        """
        raws = self._source.drain(limit)
        if len(raws) < limit and not self._source.blocked:
            self._emptied = True
        lines = []
        unresolved = 0
        arrived = self._arrived
        for raw in raws:
            try:
                event = self._event(raw)
            except DecodeError as error:
                self._shortfall.undecodable(error, numbered=False)
                continue
            arrived(event.cpu, event.sequence)
            record = self._record(event)
            if not record.resolved:
                unresolved += 1
            lines.append(self._render(record))
        self._sinks.emit(lines)
        # Also where every record was a discarded one: they take room as well.
        self._source.release()
        counts = self._counts
        counts.received += len(raws)
        counts.recorded += len(lines)
        counts.unresolved += unresolved
        return len(raws)

    def settle(self, counters: Sequence[Counters] | None) -> None:
        """Reports what was lost since the last call, as audit.lost records.

        ``counters``: every CPU's, read after the ring was last drained; None
        if they cannot be read. Reads the wall clock's offset anew as well.
        """
        # A number that is missing may still wait in the ring.
        complete, self._emptied = self._emptied, False
        lines = self._watch.settle()
        lines += self._shortfall.settle(counters, complete)
        lines += self._sink_losses(everything=False)
        self.tell(lines)

    def tell(self, lines: Sequence[bytes]) -> None:
        """Sends guard's own lines (Lifecycle's) the same way as all others."""
        self._counts.own += len(lines)
        self._sinks.emit(lines)

    def finish(self, counters: Sequence[Counters] | None, last: bytes) -> None:
        """Empties the ring, reports every loss so far, sends ``last`` and flushes.

        What producers put into the ring meanwhile may stay there for a successor.
        """
        # At least what is there now, and not for ever beside a busy producer.
        for _ in range(self._source.backlog() // HEADER // BATCH + 1):
            if not self.collect():
                break
        self.settle(counters)
        self.tell([*self._sink_losses(everything=True), last])
        self._sinks.flush()

    def counts(self) -> Counts:
        """The counts as they are now."""
        return replace(self._counts)

    def _sink_losses(self, everything: bool) -> list[bytes]:
        return [
            self._lifecycle.lost(LossCause.SINK, loss.lost, sink=loss.sink, detail=loss.because)
            for loss in self._sinks.losses(everything)
        ]
