# SPDX-License-Identifier: Apache-2.0
"""What the spool could not keep, added up until it can be told.

Knows counts and causes; nothing of files, and not how a loss becomes a record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class SpoolCause(StrEnum):
    """Why a record that reached the spool does not reach a reader."""

    EXPIRED = "expired"  # evicted for room before the reader had it
    TOO_OLD = "too-old"  # evicted for its age before the reader had it
    FULL = "spool-full"  # never stored: no room, and nothing to evict for it
    TORN = "torn"  # half stored when the system went down; cut off and kept aside
    DAMAGED = "damaged"  # stored, and not what it was when it was read


# Causes of records that were given to the spool and never counted as written.
NEVER_WRITTEN = (SpoolCause.FULL, SpoolCause.TORN)


class SpoolLoss(NamedTuple):
    """``records`` lost since the last report of this cause, series and cursor.

    ``cursor``: the reader that does not get them; None: no reader does.
    """

    cause: SpoolCause
    series: str
    cursor: str | None
    records: int
    detail: str | None


class Losses:
    """Adds losses up, all of them (``totals``) and those not told yet (``pending``)."""

    def __init__(self) -> None:
        self._totals: dict[tuple[SpoolCause, str, str | None], int] = {}
        self._told: dict[tuple[SpoolCause, str, str | None], int] = {}
        self._details: dict[tuple[SpoolCause, str, str | None], str | None] = {}

    def add(
        self,
        cause: SpoolCause,
        series: str,
        count: int,
        cursor: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Counts a loss; the newest detail of a cause is the one that is told."""
        key = (cause, series, cursor)
        self._totals[key] = self._totals.get(key, 0) + count
        self._details[key] = detail

    def pending(self) -> list[SpoolLoss]:
        """What was added since it was last ``told``."""
        return [
            SpoolLoss(*key, count - self._told.get(key, 0), self._details[key])
            for key, count in self._totals.items()
            if count > self._told.get(key, 0)
        ]

    def told(self, losses: list[SpoolLoss]) -> None:
        """These are in the stream now, with these counts."""
        for loss in losses:
            key = (loss.cause, loss.series, loss.cursor)
            self._told[key] = self._told.get(key, 0) + loss.records

    def total(
        self,
        cause: SpoolCause | None = None,
        series: str | None = None,
        cursor: str | bool | None = False,
    ) -> int:
        """The sum of what matches; None matches every cause or series, False every cursor."""
        return sum(
            count
            for (its_cause, its_series, its_cursor), count in self._totals.items()
            if cause in (None, its_cause)
            and series in (None, its_series)
            and cursor in (False, its_cursor)
        )
