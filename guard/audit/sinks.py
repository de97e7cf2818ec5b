# SPDX-License-Identifier: Apache-2.0
"""Where lines go: what a sink is, and one that passes on to several.

Knows lines of bytes, not what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol


class SinkError(Exception):
    """Lines of a batch that a sink did not take; the others of the batch it did.

    ``lost`` counts them and the message says why. The sink stays usable: the
    next batch is tried anew.
    """

    def __init__(self, because: str, lost: int) -> None:
        super().__init__(because)
        self.lost = lost


class Sink(Protocol):
    """A receiver of lines. Lines come without newlines and hold none."""

    def emit(self, batch: Sequence[bytes]) -> None:
        """Takes the lines in order. Raises SinkError if it could not take all."""

    def flush(self) -> None:
        """Returns when what was taken is as safe as this sink makes it. Raises SinkError."""

    def close(self) -> None:
        """Gives the resources back. No call may follow but close, which then does nothing."""


@dataclass(slots=True)
class SinkCounts:
    """What became of the lines given to one sink: offered = taken + lost.

    ``unsafe`` counts the times that flushing or closing failed.
    """

    taken: int = 0
    lost: int = 0
    unsafe: int = 0


class SinkLoss(NamedTuple):
    """Lines that one sink lost since it was last reported."""

    sink: str
    lost: int
    because: str


@dataclass(slots=True)
class _Branch:
    sink: Sink
    counts: SinkCounts
    failing: bool = False
    unreported: int = 0
    because: str = ""
    due: bool = False


class FanOut:
    """A sink that gives every batch to several; what one does is nothing to the others.

    Never raises: failures are counted per sink (``counts``) and told by
    ``losses``.
    """

    def __init__(self, sinks: dict[str, Sink]) -> None:
        self._branches = {name: _Branch(sink, SinkCounts()) for name, sink in sinks.items()}

    def emit(self, batch: Sequence[bytes]) -> None:
        """Gives the batch to each sink and counts what each took and lost."""
        if not batch:
            return
        for branch in self._branches.values():
            lost, because = 0, ""
            try:
                branch.sink.emit(batch)
            except SinkError as error:
                lost, because = error.lost, str(error)
            except Exception as error:  # a sink's bug must not silence the other sinks
                lost, because = len(batch), repr(error)
            branch.counts.taken += len(batch) - lost
            branch.counts.lost += lost
            if lost:
                branch.unreported += lost
                branch.because = because
            # Told at the first failure and when it is over, not with each batch
            # in between: the report itself goes through the failing sink.
            branch.due |= bool(lost) != branch.failing
            branch.failing = bool(lost)

    def flush(self) -> None:
        """Flushes each sink and counts the failures."""
        for branch in self._branches.values():
            try:
                branch.sink.flush()
            except Exception:  # as in emit
                branch.counts.unsafe += 1

    def close(self) -> None:
        """Closes each sink, whatever the others do."""
        for branch in self._branches.values():
            try:
                branch.sink.close()
            except Exception:  # as in emit
                branch.counts.unsafe += 1

    def counts(self) -> dict[str, SinkCounts]:
        """Per sink, what became of all lines so far."""
        return {name: replace(branch.counts) for name, branch in self._branches.items()}

    def losses(self, everything: bool = False) -> list[SinkLoss]:
        """Losses not told yet of sinks that began or ceased to fail since the last call.

        With ``everything`` also of those still failing, as before the end.
        """
        told = []
        for name, branch in self._branches.items():
            if branch.unreported and (branch.due or everything):
                told.append(SinkLoss(name, branch.unreported, branch.because))
                branch.unreported = 0
            branch.due = False
        return told
