# SPDX-License-Identifier: Apache-2.0
"""Lines of new objects from remembered parts: who did it, what was decided, and why.

For fast.py: knows how the renderer spells a file, and what else of a line
depends on the file: nothing. That is not taken on trust: a part is remembered
only from a line whose object came out as this module spells it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from guard.audit.chain import SPLIT
from guard.audit.decode import rooted
from guard.audit.text import member
from guard.wire.layout import EVENT, EventFlag, Section

# Pairs of decision and process that are remembered, about 1.2 KB each; then all anew.
PARTS = 2048

_AT = {name: field.offset for name, field in EVENT.fields.items()}
_SIZE = EVENT.size
# What was decided, and who asked: two rows of bytes.
_DECISION = slice(_AT["suppressed"], _AT["inode"])
_PROCESS = slice(_AT["exe_inode"], _SIZE)
_FIXED = struct.Struct("<I")
_OBJECT = struct.Struct("<QIIIII")  # inode, device, target, three sizes
_FILE = int(Section.FILE)
# With any other flag the path is not simply where the host has the file.
_PLAIN = ~(EventFlag.EXE_CUT | EventFlag.NO_EXE | EventFlag.UNLINKED) & 0xFFFFFFFF

HostPath = Callable[[int, int, bytes], bytes | None]
"""Of a generation and a device, where the host has a path; None: nowhere."""


class Line(NamedTuple):
    """A whole line made the slow way, and whether another event may be given its rest.

    ``lasting`` is False for what depends on more than the event's bytes.
    ``resolved`` is False if no policy could be told.
    """

    text: bytes
    lasting: bool
    resolved: bool


class Parts(NamedTuple):
    """A line without what is new in every event: number, moment and processor.

    ``kind`` up to the time; ``origin`` from behind ``boot_ns`` up to the
    processor; ``rest`` from SPLIT on. ``lasting`` and ``resolved`` as in Line.
    """

    kind: bytes
    origin: bytes
    rest: bytes
    lasting: bool
    resolved: bool


def parts(line: Line) -> Parts:
    """Takes a decision's line apart."""
    text = line.text
    time_at = text.index(b'"time":"') + 8
    origin_at = text.index(b'"', text.index(b'"boot_ns":"', time_at) + 11)
    cpu_at = text.index(b',"cpu":', origin_at) + 7
    rest = text[text.index(SPLIT, cpu_at) :]
    return Parts(text[:time_at], text[origin_at:cpu_at], rest, line.lasting, line.resolved)


class _Known(NamedTuple):
    kind: bytes
    origin: bytes
    before: bytes  # the object
    after: bytes
    resolved: bool


class Fragments:
    """Makes parts of records. ``slow`` makes one line, or raises DecodeError.

    ``host_path`` None: every line is made the slow way.
    """

    def __init__(self, slow: Callable[[bytes], Line], host_path: HostPath | None) -> None:
        self._slow = slow
        self._host_path = host_path
        self._known: dict[bytes, _Known] = {}

    def forget(self) -> None:
        """What lines say has changed for the same events."""
        self._known.clear()

    def make(self, record: bytes) -> Parts:
        """The parts of one record's line. Raises DecodeError."""
        told = self._object(record)
        if told is None:
            return parts(self._slow(record))
        key, text = told
        known = self._known.get(key)
        if known is None:
            return self._learn(record, key, text)
        kind, origin, before, after, resolved = known
        return Parts(kind, origin, before + text + after, True, resolved)

    def _learn(self, record: bytes, key: bytes, text: bytes) -> Parts:
        made = parts(self._slow(record))
        at = made.rest.find(b',"object":') + 10
        if made.lasting and at >= 10 and made.rest.startswith(text, at):
            if len(self._known) >= PARTS:
                self._known.clear()
            before, after = made.rest[:at], made.rest[at + len(text) :]
            self._known[key] = _Known(made.kind, made.origin, before, after, made.resolved)
        return made

    def _object(self, record: bytes) -> tuple[bytes, bytes] | None:
        """What the rest of the line depends on, and the object; None: it is no plain file."""
        host_path = self._host_path
        if (
            host_path is None
            or len(record) < _SIZE
            or _FIXED.unpack_from(record, _AT["section"])[0] != _FILE
            or _FIXED.unpack_from(record, _AT["flags"])[0] & _PLAIN
        ):
            return None
        inode, device, _, path, second, exe = _OBJECT.unpack_from(record, _AT["inode"])
        end = _SIZE + path + exe
        if second or end > len(record):
            return None
        try:
            placed = host_path(
                _FIXED.unpack_from(record, _AT["generation"])[0],
                device,
                rooted(record[_SIZE : _SIZE + path], 0),
            )
        except ValueError:
            return None
        if placed is None:
            return None
        key = record[_DECISION] + record[_PROCESS] + record[_SIZE + path : end]
        text = (
            f'{{"kind":"file",{member("path", placed)},'
            f'"device":"{device >> 20}:{device & 0xFFFFF}","inode":"{inode}"}}'
        )
        return key, text.encode("ascii")
