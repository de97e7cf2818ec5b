# SPDX-License-Identifier: Apache-2.0
"""Reads one series of the spool, batch by batch, whatever is missing or broken in it.

Knows segments and seals; nothing of cursors' files, of the other series, or of
what records say. It never writes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from guard.audit.chain import BATCH_LIMIT, MARK, Seal, crc_of, holds, read_seal, without_seal
from guard.audit.spool_cursor import Place
from guard.audit.spool_files import segments
from guard.audit.spool_heads import read_heads

# Read at a time; a batch of 128 records is about 100 KB.
_CHUNK = 1 << 18


class Record(NamedTuple):
    """A record's ordinal in its series, and its line."""

    ordinal: int
    line: bytes


class SeriesReader:
    """Goes through a series from a place on. ``place`` is behind the record last taken."""

    def __init__(self, directory: Path, series: str, place: Place | None) -> None:
        self._directory = directory
        self._series = series
        self._file = -1
        self._opened = -1  # the number of the segment that _file is
        self._batch: list[Record] = []  # of the batch under way, what was not taken, last first
        self._end = 0  # the ordinal behind the batch under way
        self._after = 0  # the offset behind it
        self.place = place if place is not None else self._oldest()

    def amid_batch(self) -> bool:
        """Whether some of a batch's records were taken and some were not."""
        return bool(self._batch)

    def take(self) -> bytes | None:
        """The next record's line; None if there is none yet. Raises OSError."""
        while not self._batch:
            if not self._load():
                return None
        record = self._batch.pop()
        place = self.place
        place = place._replace(
            damaged=place.damaged + record.ordinal - place.next, next=record.ordinal + 1
        )
        self.place = place if self._batch else self._pass_batch(place)
        return record.line

    def peek_size(self) -> int:
        """Bytes of the line that ``take`` gives next; 0 if there is none yet. Raises OSError."""
        while not self._batch:
            if not self._load():
                return 0
        return len(self._batch[-1].line)

    def backlog(self) -> tuple[int, int]:
        """Records and bytes from the place on to the series' end. Raises OSError."""
        found = segments(self._directory, self._series)
        size = 0
        end = self.place.next
        for segment in found:
            try:
                there = segment.path.stat().st_size
            except FileNotFoundError:
                continue  # evicted meanwhile
            end = max(end, segment.first)
            if segment.first == self.place.segment:
                size += max(0, there - self.place.offset)
            elif segment.first > self.place.segment:
                size += there
        if found:
            last = last_seal(found[-1].path)
            if last is not None:
                end = max(end, last.seal.first + last.seal.records)
        return end - self.place.next, size

    def go(self, place: Place) -> None:
        """Goes on from another place."""
        self._batch = []
        self.place = place

    def close(self) -> None:
        """Closes the segment that is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = self._opened = -1

    def _oldest(self) -> Place:
        found = segments(self._directory, self._series)
        first = found[0].first if found else 0
        return Place(since=first, next=first, segment=first)

    def _load(self) -> bool:
        """Makes the next batch the one under way; whether anything moved."""
        # Listed before the segment is read: who is followed by another is written no more.
        numbers = [segment.first for segment in segments(self._directory, self._series)]
        if not self._open(numbers):
            return False
        data, seal, size = self._next_batch()
        if seal is None:
            later = [number for number in numbers if number > self._opened]
            if not later:
                return False
            self._skip_to(later[0], expired=False)
            return True
        self._after = self.place.offset + size
        self._end = seal.first + seal.records
        place = self.place
        good = [record for record in intact(data, seal) if record.ordinal >= place.next]
        if good:
            self._batch = good[::-1]
        else:
            self.place = self._pass_batch(place)
        return True

    def _pass_batch(self, place: Place) -> Place:
        end = max(self._end, place.next)
        return place._replace(
            damaged=place.damaged + end - place.next, next=end, offset=self._after
        )

    def _open(self, numbers: list[int]) -> bool:
        """Has the place's segment open, or the next that is there; False: there is none."""
        place = self.place
        if self._file >= 0 and self._opened == place.segment:
            if os.fstat(self._file).st_nlink:
                return True
            self.close()  # evicted: what it still holds is counted as expired
        self.close()
        for number in sorted({place.segment, *numbers}):
            if number < place.segment:
                continue
            path = self._directory / f"{self._series}-{number:020}.ndjson"
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            self._file, self._opened = file, number
            if number != place.segment:
                self._skip_to(number, expired=True)
                self._opened = number
            return True
        head = read_heads(self._directory).get(self._series)
        if head is not None and head.first > place.next:  # all of the series was evicted
            self._skip_to(head.first, expired=True)
        return False

    def _skip_to(self, number: int, expired: bool) -> None:
        place = self.place
        missed = max(0, number - place.next)
        self.place = place._replace(
            next=max(number, place.next),
            expired=place.expired + (missed if expired else 0),
            damaged=place.damaged + (0 if expired else missed),
            segment=number,
            offset=0,
        )

    def _next_batch(self) -> tuple[list[bytes], Seal | None, int]:
        """The lines up to and with the next seal, the seal, and how many bytes that is."""
        data = b""
        looked = 0
        while True:
            at = data.find(MARK, looked)
            end = data.find(b"\n", at) if at >= 0 else -1
            if end >= 0:
                lines = data[:end].split(b"\n")
                seal = read_seal(lines[-1])
                if seal is not None and seal.series == self._series:
                    return lines, seal, end + 1
                looked = end
                continue
            looked = at if at >= 0 else max(0, len(data) - len(MARK))
            more = os.pread(self._file, _CHUNK, self.place.offset + len(data))
            if not more:
                return [], None, 0
            data += more


def intact(lines: list[bytes], seal: Seal) -> list[Record]:
    """Of the lines up to and with a sealed one, the records that are as they were written."""
    if seal.records > BATCH_LIMIT or len(seal.crc) != 8 * seal.records:
        return []
    sums = seal.sums()
    mine = lines[-seal.records :]
    own = [crc_of(line) for line in mine[:-1]]
    own.append(crc_of(without_seal(mine[-1], seal)))
    if own == sums:
        return [Record(seal.first + at, line) for at, line in enumerate(mine)]
    # Some are broken, or newlines came or went: what matches, in order, is whole.
    found = []
    at = 0
    for line, crc in zip(mine, own, strict=True):
        if crc in sums[at:]:
            at = sums.index(crc, at) + 1
            found.append(Record(seal.first + at - 1, line))
    return found


def is_sound(path: Path, series: str) -> bool:
    """Whether a segment is nothing but whole batches, each as its hash says."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    lines: list[bytes] = []
    for line in data.split(b"\n")[:-1]:
        lines.append(line)
        seal = read_seal(line)
        if seal is None:
            continue
        lines[-1] = without_seal(line, seal)
        if seal.series != series or seal.records != len(lines) or not holds(seal, lines):
            return False
        lines = []
    return not lines and data.endswith(b"\n")


class LastSeal(NamedTuple):
    """A segment's last seal, and the offset behind its line."""

    seal: Seal
    end: int


def last_seal(path: Path) -> LastSeal | None:
    """The last whole batch's seal in a segment; None if there is none. Raises OSError."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        data = b""
        while len(data) < size:
            take = min(max(_CHUNK, len(data)), size - len(data))
            file.seek(size - len(data) - take)
            data = file.read(take) + data
            begins = size - len(data)
            at = data.rfind(b"\n") + 1
            while (at := data.rfind(MARK, 0, at)) >= 0:
                begin = data.rfind(b"\n", 0, at) + 1
                if begin == 0 and begins:
                    break  # the line's beginning is not here yet
                end = data.index(b"\n", at)
                seal = read_seal(data[begin:end])
                if seal is not None:
                    return LastSeal(seal, begins + end + 1)
    return None
