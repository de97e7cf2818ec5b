# SPDX-License-Identifier: Apache-2.0
"""Where a worker takes records from: a spool, opened when it is there.

Knows the spool's reader; nothing of sinks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from guard.audit.spool_cursor import Position
from guard.audit.spool_files import SERIES
from guard.audit.spool_reader import Batch, SpoolError, SpoolReader


class NoSpool(Exception):
    """The spool cannot be read now; the message says why."""


class Source(Protocol):
    """What a worker needs of a spool. Every method raises NoSpool."""

    def read(self, max_records: int, max_bytes: int) -> Batch:
        """The next records, none if there are none; reading goes on behind them."""

    def ack(self, end: Position) -> None:
        """What ended there is delivered and need not come again."""

    def backlog(self) -> tuple[int, int]:
        """Records and bytes not read yet."""

    def losses(self) -> tuple[int, int]:
        """Records that expired and that were damaged before this reader could have them."""

    def close(self) -> None:
        """Lets go; nothing is acknowledged by it."""


class SpoolSource:
    """The spool in ``directory``, read with the cursor of this name.

    Is opened by the first call that needs it, and again after every failure
    (from the last acknowledged record on), so a shipper may run before the collector.
    """

    def __init__(self, directory: Path, cursor: str) -> None:
        self._directory = directory
        self._cursor = cursor
        self._reader: SpoolReader | None = None

    def read(self, max_records: int, max_bytes: int) -> Batch:
        """As in Source."""
        reader = self._opened()
        try:
            return reader.read(max_records, max_bytes)
        except OSError as error:
            # What it had taken before the error would be skipped: begin again.
            self.close()
            raise NoSpool(f"{self._directory}: {error.strerror or error}") from None

    def ack(self, end: Position) -> None:
        """As in Source."""
        try:
            self._opened().ack(end)
        except OSError as error:
            raise NoSpool(
                f"{self._directory}: the cursor {self._cursor} cannot be written: "
                f"{error.strerror or error}"
            ) from None

    def backlog(self) -> tuple[int, int]:
        """As in Source."""
        try:
            return self._opened().backlog()
        except OSError as error:
            raise NoSpool(f"{self._directory}: {error.strerror or error}") from None

    def losses(self) -> tuple[int, int]:
        """As in Source."""
        acked = self._opened().acked
        places = [acked.place(series) for series in SERIES]
        return sum(place.expired for place in places), sum(place.damaged for place in places)

    def close(self) -> None:
        """As in Source."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _opened(self) -> SpoolReader:
        if self._reader is None:
            try:
                self._reader = SpoolReader(self._directory, self._cursor)
            except SpoolError as error:
                raise NoSpool(str(error)) from None
            except OSError as error:
                raise NoSpool(f"{self._directory}: {error.strerror or error}") from None
        return self._reader
