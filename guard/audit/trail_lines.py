# SPDX-License-Identifier: Apache-2.0
"""The lines of a trail, wherever it lies: a spool, files, standard input; and as it grows.

Knows files and the spool's names; judges and changes nothing.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from guard.audit.chain import read_seal, without_seal
from guard.audit.checkpoint import Line
from guard.audit.spool_files import SERIES, segments
from guard.audit.spool_reader import require_spool

_TIME = re.compile(rb'"time":"([^"]{0,40})"')
_CHUNK = 1 << 20
# How often a growing trail is looked at.
LOOK_SECONDS = 0.25


def file_lines(path: Path) -> Iterator[Line]:
    """A file's lines; the last one even if it has no end. Raises OSError."""
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            yield Line(str(path), number, text.removesuffix(b"\n"))


def spool_files(directory: Path) -> dict[str, list[Path]]:
    """A spool's segments by series, oldest first. Raises SpoolError and OSError."""
    require_spool(directory)
    return {series: [segment.path for segment in segments(directory, series)] for series in SERIES}


def stored(directory: Path) -> Iterator[Line]:
    """A spool's lines as they are stored, series by series. Raises SpoolError and OSError."""
    for paths in spool_files(directory).values():
        yield from _one_by_one(paths)


def by_time(directory: Path) -> Iterator[Line]:
    """A spool's lines, the series merged by their records' times."""
    return heapq.merge(*map(_one_by_one, spool_files(directory).values()), key=time_of)


def bare(text: bytes) -> bytes:
    """The record without its batch's seal."""
    seal = read_seal(text)
    return text if seal is None else without_seal(text, seal)


class Tail:
    """What is and comes in some files: a spool's segments, or one log and its successors.

    ``files`` names the files that there are now, in their order. What is in
    them already comes with the first call.
    """

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files
        self._known: dict[tuple[int, int], int] = {}

    def fresh(self) -> Iterator[Line]:
        """Whole lines that came since the last call. Raises OSError."""
        for path in self._files():
            try:
                file = open(path, "rb")  # noqa: SIM115 - closed below
            except FileNotFoundError:
                continue  # evicted, or rotated right now
            with file:
                status = os.fstat(file.fileno())
                key = status.st_dev, status.st_ino
                at = self._known.get(key, 0)
                if at > status.st_size:
                    at = 0  # cut off and begun anew
                file.seek(at)
                for text in file:
                    if not text.endswith(b"\n"):
                        break
                    at += len(text)
                    yield Line(str(path), 0, text[:-1])
                self._known[key] = at


def follow_spool(directory: Path) -> Tail:
    """A tail of a spool. Raises SpoolError and OSError."""
    require_spool(directory)
    return Tail(
        lambda: [segment.path for series in SERIES for segment in segments(directory, series)]
    )


def _one_by_one(paths: Iterable[Path]) -> Iterator[Line]:
    for path in paths:
        try:
            yield from file_lines(path)
        except FileNotFoundError:
            continue  # evicted meanwhile


def time_of(line: Line) -> bytes:
    """The record's time, for sorting; empty if it has none."""
    found = _TIME.search(line.text)
    return found[1] if found else b""
