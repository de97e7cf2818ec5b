# SPDX-License-Identifier: Apache-2.0
"""Several rings as one source: denials have a ring of their own, and are read first.

What is only recorded may fill its ring without a denial being lost. Knows
nothing of what records hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.audit.ring import RingReader


class Rings:
    """Implements guard.audit.collect.Source over rings, the most important first."""

    def __init__(self, rings: Sequence[RingReader]) -> None:
        self._rings = tuple(rings)

    def each(self) -> tuple[RingReader, ...]:
        """The rings themselves."""
        return self._rings

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when there are records."""
        return tuple(ring.fileno() for ring in self._rings)

    def drain(self, limit: int) -> list[bytes]:
        """Up to ``limit`` records, those of the first ring before all others."""
        records: list[bytes] = []
        for ring in self._rings:
            if len(records) < limit:
                records += ring.drain(limit - len(records))
        return records

    def release(self) -> None:
        """Let go of everything drained."""
        for ring in self._rings:
            ring.release()

    @property
    def blocked(self) -> bool:
        """Whether records may wait behind one that its producer has not committed."""
        return any(ring.blocked for ring in self._rings)

    def backlog(self) -> int:
        """Bytes in all rings that were not drained."""
        return sum(ring.backlog() for ring in self._rings)

    def close(self) -> None:
        """Unmap all rings."""
        for ring in self._rings:
            ring.close()
