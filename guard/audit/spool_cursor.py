# SPDX-License-Identifier: Apache-2.0
"""How far one reader of the spool has got, kept on disk.

Knows the cursor file's form; nothing of segments. One JSON object, replaced as
a whole (written beside, flushed, renamed), so a crash leaves the old or the new.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from guard.audit.spool_files import SERIES, cursor_names, cursor_path

# A cursor has some 400 bytes, and a host a handful of sinks.
SIZE_LIMIT = 1 << 14
CURSORS_LIMIT = 64


class Place(NamedTuple):
    """How far a reader is in one series. All but ``offset`` count records of the series.

    ``since`` is the first record that was the reader's at all, ``next`` the
    first that it has not had. Between them, ``expired`` were evicted before it
    could have them and ``damaged`` could not be read; the rest it has had.
    ``segment`` is the number of the file in which ``next`` is looked for and
    ``offset`` the byte there at which the batch holding it begins.
    """

    since: int = 0
    next: int = 0
    expired: int = 0
    damaged: int = 0
    segment: int = 0
    offset: int = 0

    def had(self) -> int:
        """Records that the reader was given: what is acknowledged, once this place is."""
        return self.next - self.since - self.expired - self.damaged


class Position(NamedTuple):
    """A place in every series: what ``SpoolReader.ack`` takes. Otherwise opaque to readers."""

    denials: Place
    others: Place

    def place(self, series: str) -> Place:
        """The place in one series, by the series' name."""
        return self[SERIES.index(series)]

    def moved(self, series: str, place: Place) -> Position:
        """This position with one series' place changed."""
        return self._replace(**{series: place})

    def covers(self, other: Position) -> bool:
        """Whether in no series this is behind the other."""
        return all(mine.next >= its.next for mine, its in zip(self, other, strict=True))


class CursorUnreadable(Exception):
    """A cursor file that does not hold a position."""


def encode(position: Position) -> bytes:
    """The cursor file of a position."""
    told = {name: place._asdict() for name, place in zip(SERIES, position, strict=True)}
    return json.dumps({"guard_cursor": 1, **told}, indent=1).encode() + b"\n"


def decode(data: bytes) -> Position:
    """The position that a cursor file holds. Raises CursorUnreadable, and nothing else."""
    try:
        told = json.loads(data)
        if told["guard_cursor"] != 1:
            raise CursorUnreadable(f"cursor format {told['guard_cursor']!r}")
        return Position(*(_place(told[name]) for name in SERIES))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CursorUnreadable(f"not a cursor: {error}") from None


def load(path: Path) -> Position | None:
    """The position at a path; None if there is no file. Raises CursorUnreadable and OSError.

    The collector reads what readers wrote, and may trust none of them: nothing
    but a small regular file is read, and a FIFO or a link is waited for or
    followed by nobody.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CursorUnreadable("a symbolic link") from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > SIZE_LIMIT:
            raise CursorUnreadable("not a small regular file")
        return decode(os.read(file, SIZE_LIMIT))
    finally:
        os.close(file)


def load_all(directory: Path) -> dict[str, Position]:
    """The positions of a spool's first cursors that can be read, by name. Never raises."""
    found: dict[str, Position] = {}
    with contextlib.suppress(OSError):
        for name in cursor_names(directory)[:CURSORS_LIMIT]:
            with contextlib.suppress(CursorUnreadable, OSError):
                position = load(cursor_path(directory, name))
                if position is not None:
                    found[name] = position
    return found


def store(path: Path, position: Position) -> None:
    """Replaces the cursor file and returns when the disk has it. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        data = encode(position)
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    finally:
        os.close(file)
    os.rename(beside, path)
    sync_directory(path.parent)


def put_aside(path: Path) -> Path:
    """Renames an unreadable cursor so that it is out of the way; returns its new path."""
    for number in range(1, 10_000):
        away = path.with_name(f".{path.name}.unreadable-{number}")
        with contextlib.suppress(FileExistsError):
            os.link(path, away)
            path.unlink()
            return away
    raise OSError(f"{path}: too many unreadable cursors beside it")


def sync_directory(path: Path) -> None:
    """Returns when the disk knows the directory's names as they are. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _place(told: dict[str, int]) -> Place:
    place = Place(**told)
    if any(type(value) is not int or value < 0 for value in place) or place.had() < 0:
        raise ValueError("a count that cannot be")
    return place
