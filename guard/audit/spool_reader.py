# SPDX-License-Identifier: Apache-2.0
"""The reading end of the spool: what a shipper takes records from.

Knows cursors and the order of the series; nothing of sinks, and nothing of what
records say but the names that make their id.

The spool's directory belongs to the collector, which alone writes segments
and removes them. A reader needs to read it and to write ``cursors/``. Several
readers, in one process or in several, each have a cursor of their own name;
two of one name at once are a mistake that this module does not notice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from guard.audit.spool_cursor import CursorUnreadable, Position, load, put_aside, store
from guard.audit.spool_files import FORMAT, FORMAT_FILE, SERIES, cursor_path
from guard.audit.spool_series import SeriesReader

# How often ``wait`` looks: a look is two directory listings, some 20 µs.
LOOK_SECONDS = 0.05


class SpoolError(Exception):
    """The directory is not a spool that this version reads; the message says why."""


class Batch(NamedTuple):
    """Some records in the order in which they are to be delivered, and the position behind them.

    ``records`` are lines of flat JSON without newlines, all intact by their
    CRC. Empty: nothing is there yet, but ``end`` may still be further than
    before, by records that expired or were damaged; acknowledge it as well.
    """

    records: list[bytes]
    end: Position


class SpoolReader:
    """Reads the spool in ``directory`` for the sink ``cursor``.

    Delivery is at least once: reading goes on where the last acknowledged
    position was, so after a crash what was read and not acknowledged comes
    again. ``record_id`` tells such a record from a new one. A new cursor begins
    with the oldest record there is.

    Denials come before others, and each series in its own order; a batch of
    the hash chain is not interleaved with another series.

    Raises SpoolError if the directory is not a spool, ValueError for a cursor
    name that no file can have, OSError if something cannot be read. A cursor
    file that is unreadable is renamed (``.NAME.unreadable-N``), told by
    ``unreadable_cursor``, and reading begins at the oldest record.
    """

    def __init__(
        self,
        directory: Path,
        cursor: str,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_spool(directory)
        self._path = cursor_path(directory, cursor)
        self._sleep = sleep
        self._clock = clock
        self.unreadable_cursor: Path | None = None
        acked = None
        try:
            acked = load(self._path)
        except CursorUnreadable:
            self.unreadable_cursor = put_aside(self._path)
        self._series = [
            SeriesReader(directory, name, acked and acked.place(name)) for name in SERIES
        ]
        self._acked = acked or self.position
        if acked is None:  # from now on, what expires unread is this reader's loss
            store(self._path, self._acked)

    @property
    def position(self) -> Position:
        """Behind the last record that ``read`` gave."""
        return Position(*(series.place for series in self._series))

    @property
    def acked(self) -> Position:
        """The last position that was acknowledged; where a successor would begin.

        Its ``place(series).had()``, ``.expired`` and ``.damaged`` are this
        cursor's side of the law: written = had + expired + damaged + backlog.
        """
        return self._acked

    def read(self, max_records: int, max_bytes: int) -> Batch:
        """The next records: at most ``max_records``, together at most ``max_bytes``.

        One record is given even if it alone is longer than ``max_bytes``.
        Never waits. Raises OSError.
        """
        records: list[bytes] = []
        size = 0
        while len(records) < max_records:
            series = self._turn()
            if series is None:
                break
            size += series.peek_size()
            if records and size > max_bytes:
                break
            line = series.take()
            if line is not None:
                records.append(line)
        return Batch(records, self.position)

    def ack(self, position: Position) -> None:
        """Records up to ``position`` (a ``Batch.end``) are delivered and need not come again.

        Durable when it returns. A position that is not ahead of the last one
        changes nothing. Raises OSError; the old position then stays.
        """
        if position == self._acked or not position.covers(self._acked):
            return
        store(self._path, position)
        self._acked = position

    def rewind(self) -> None:
        """Reading goes on behind the last acknowledged record, as a successor's would."""
        for series, name in zip(self._series, SERIES, strict=True):
            series.go(self._acked.place(name))

    def backlog(self) -> tuple[int, int]:
        """Records not read yet, and about how many bytes they are. Raises OSError."""
        found = [series.backlog() for series in self._series]
        return sum(one[0] for one in found), sum(one[1] for one in found)

    def wait(self, timeout: float) -> bool:
        """Waits until there is something to read; False: ``timeout`` seconds passed without."""
        until = self._clock() + timeout
        while self._turn() is None:
            left = until - self._clock()
            if left <= 0:
                return False
            self._sleep(min(left, LOOK_SECONDS))
        return True

    def close(self) -> None:
        """Closes the files. The cursor stays where it was acknowledged."""
        for series in self._series:
            series.close()

    def _turn(self) -> SeriesReader | None:
        """Whose record is next."""
        for series in self._series:
            if series.amid_batch():
                return series
        for series in self._series:
            if series.peek_size():
                return series
        return None


def require_spool(directory: Path) -> None:
    """Raises SpoolError unless the directory is a spool of this format."""
    try:
        found = (directory / FORMAT_FILE).read_bytes()
    except FileNotFoundError:
        raise SpoolError(f"{directory} is no spool: it has no file {FORMAT_FILE!r}") from None
    except OSError as error:
        raise SpoolError(f"{directory}: {error.strerror}") from error
    if found != FORMAT:
        raise SpoolError(
            f"{directory} is a spool of another format: {found[:40]!r}, not {FORMAT!r}"
        )


def record_id(line: bytes) -> str:
    """What is the same when a record comes again, and unique otherwise.

    ``host/boot/epoch/cpu/seq``, cpu ``-`` for guard's own records. Raises
    ValueError if the line is not a record.
    """
    try:
        told = json.loads(line)
        host = told["host"]
        cpu = "-" if told["cpu"] is None else told["cpu"]
        return f"{host['id']}/{host['boot']}/{told['epoch']}/{cpu}/{told['seq']}"
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: no {error}") from None
