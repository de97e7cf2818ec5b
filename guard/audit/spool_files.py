# SPDX-License-Identifier: Apache-2.0
"""The spool's directory: what lies where, and what the names mean.

Knows paths and names; nothing of what segments hold.

::

    spool/
      format                        "guard-spool 1": whose this is
      denials-<first record>.ndjson segments of sealed batches (chain.py)
      others-<first record>.ndjson
      cursors/<sink>                how far each reader got (spool_reader.py)
      heads                         where chains go on whose segments are all gone
      ages                          when segments were closed, for the limit of age
      aside/                        what could not be read: never deleted by guard

A segment's number is the ordinal of its first record in its series, counted
since the spool was made, in 20 digits, so that names sort as numbers do.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

FORMAT_FILE = "format"
FORMAT = b"guard-spool 1\n"
CURSORS = "cursors"
ASIDE = "aside"
HEADS = "heads"
AGES = "ages"

# In the order in which a reader wants them; the reverse is the order of eviction.
DENIALS = "denials"
OTHERS = "others"
SERIES = (DENIALS, OTHERS)

_SEGMENT = re.compile(r"(denials|others)-(\d{20})\.ndjson")
_CURSOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Segment(NamedTuple):
    """One file of a series. ``first`` is the ordinal of its first record."""

    series: str
    first: int
    path: Path


def segment_path(directory: Path, series: str, first: int) -> Path:
    """Where the segment of a series that begins with this record lies."""
    return directory / f"{series}-{first:020}.ndjson"


def segments(directory: Path, series: str) -> list[Segment]:
    """The series' segments, oldest first. Raises OSError if the directory cannot be read."""
    found = []
    for name in os.listdir(directory):
        match = _SEGMENT.fullmatch(name)
        if match and match[1] == series:
            found.append(Segment(series, int(match[2]), directory / name))
    return sorted(found)


def cursor_path(directory: Path, name: str) -> Path:
    """Where the cursor of this name lies. Raises ValueError for a name that cannot be a file's."""
    if not _CURSOR.fullmatch(name):
        raise ValueError(
            f"{name!r} is no cursor name: letters, digits, '_', '.' and '-', the first a letter "
            f"or digit, 64 at most"
        )
    return directory / CURSORS / name


def cursor_names(directory: Path) -> list[str]:
    """The names of the cursors that are there. Raises OSError."""
    return sorted(name for name in os.listdir(directory / CURSORS) if _CURSOR.fullmatch(name))
