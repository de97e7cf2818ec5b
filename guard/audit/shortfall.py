# SPDX-License-Identifier: Apache-2.0
"""What did not arrive from the kernel, or arrived and was no event: counted and told.

Knows numbers, counters and the record of a loss; nothing of rings and sinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.audit.decode import Counters, DecodeError
from guard.audit.lifecycle import Lifecycle
from guard.audit.loss import LossCause
from guard.audit.sequence import Sequences


@dataclass(slots=True)
class Counts:
    """Since the collector began. What became of lines then, sinks and spools count.

    ``received`` records from the ring; of those ``undecodable`` made no line
    and ``recorded`` did, ``unresolved`` among them with the policy unknown.
    ``own`` lines are guard's about itself. ``dropped`` and ``unexplained`` are
    losses before the ring, as reported in audit.lost.
    """

    received: int = 0
    undecodable: int = 0
    recorded: int = 0
    unresolved: int = 0
    own: int = 0
    dropped: int = 0
    unexplained: int = 0


class Shortfall:
    """Follows the numbers of one set of kernel counters. ``counts`` is kept up to date."""

    def __init__(self, sequences: Sequences, lifecycle: Lifecycle, counts: Counts) -> None:
        self._sequences = sequences
        self._lifecycle = lifecycle
        self._counts = counts
        self._told = 0
        self._why = ""

    def undecodable(self, error: DecodeError, numbered: bool) -> None:
        """A record was no event. ``numbered``: its number was told to the sequences already."""
        self._counts.undecodable += 1
        self._why = str(error)
        if numbered:
            return
        if error.cpu is None or error.sequence is None:
            self._sequences.unnumbered()
        else:
            self._sequences.arrived(error.cpu, error.sequence)

    def settle(self, counters: Sequence[Counters] | None, complete: bool = True) -> list[bytes]:
        """The records of what is newly known to be lost (``Sequences.settle``)."""
        lines = []
        for missing in self._sequences.settle(counters, complete):
            if missing.explained:
                cause = LossCause.RING_FULL
                self._counts.dropped += missing.lost
            else:
                cause = LossCause.UNEXPLAINED
                self._counts.unexplained += missing.lost
            lines.append(self._lifecycle.lost(cause, missing.lost, missing.cpu, missing.between))
        fresh = self._counts.undecodable - self._told
        if fresh:
            self._told += fresh
            lines.append(self._lifecycle.lost(LossCause.UNDECODABLE, fresh, detail=self._why))
        return lines
