# SPDX-License-Identifier: Apache-2.0
"""Events in a ring's memory → the same lines as record.py and render_json.py make, sooner.

Knows which bytes of an event are different in every one (its number, its
moment, its processor) and that the line is a function of the others; how a
line is made, and what it says, it learns from the lines that the renderer
makes. So it cannot differ from the renderer, which is also its test oracle.

Remembered are, by all other bytes of an event, names included, the line but for
number and moment (here), and by what was decided and who asked, the line but
for the object as well (fragments.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import chain
from mmap import mmap
from operator import itemgetter
from typing import NamedTuple
from zlib import crc32

from guard.audit.chain import Block, block
from guard.audit.clock import Clock
from guard.audit.decode import DecodeError, Decoder
from guard.audit.fragments import Fragments, HostPath, Line, Parts
from guard.audit.record import Record, Recorder
from guard.audit.ring import HEADER
from guard.wire.layout import EVENT

# Entries of one generation of a cache; there are two. An entry is about 1.5 KB.
LINES = 2048

# How far apart records are at least that ``Fast.block`` can read in place.
ROOM = EVENT.size + HEADER

_VARYING = ("sequence", "boot_ns", "cpu")
_FIELDS = EVENT.fields
_SIZE = EVENT.size
# Where the bytes begin of which the rest of a line is a function.
KEY_AT = _FIELDS["cpu"].offset + _FIELDS["cpu"].size
# The sizes of its names: three u32.
SIZES_AT = _FIELDS["path_size"].offset
_HEAD = struct.Struct("<QQI")
# A moment that no second is near: the first one is looked up.
_NEVER = -(1 << 62)
_SECOND = 1_000_000_000


# In a form, where the second's text is to stand. No JSON holds a NUL.
_TIME = b"\0"

# Of a line: its form up to SPLIT, from SPLIT on, the latter's CRC and digest, whether unresolved.
_Known = tuple[bytes, bytes, int, bytes, bool]


_REST, _CRC, _DIGEST, _DOUBTFUL = map(itemgetter, range(1, 5))

# Told of numbers that came: the processor, the first, and how many in a row.
Arrived = Callable[[int, int, int], None]


class Output(NamedTuple):
    """What came of a stretch: ``block`` of lines, and how many of them are unresolved.

    ``undecodable``: per record that is no event, why not.
    """

    block: Block
    unresolved: int
    undecodable: list[DecodeError]


def slowly(recorder: Recorder, render: Callable[[Record], bytes]) -> Callable[[bytes], Line]:
    """One record's line, by decoder, recorder and renderer. It raises DecodeError."""
    decode = Decoder().event

    def slow(record: bytes) -> Line:
        made = recorder.record(decode(record))
        # A stack is not in the event's bytes either.
        return Line(render(made), made.lasting and made.stack is None, made.resolved)

    return slow


class Fast:
    """Makes blocks of lines.

    ``slow`` makes one line from one record, or raises DecodeError. ``version``
    gives something that is another when the same events get other lines, as
    when a user's name changes. ``host_path`` is what the recorder asks of its
    index; with it, lines of files that are new cost less.
    """

    def __init__(
        self,
        slow: Callable[[bytes], Line],
        clock: Clock,
        version: Callable[[], object] = lambda: None,
        host_path: HostPath | None = None,
    ) -> None:
        if tuple(_FIELDS)[:3] != _VARYING:
            raise AssertionError("struct guard_event has changed: what varies must come first")
        self._slow = slow
        self._fragments = Fragments(slow, host_path)
        self._clock = clock
        self._version_of = version
        self._version = version()
        self._new: dict[bytes, _Known] = {}
        self._old: dict[bytes, _Known] = {}
        self._forms: dict[bytes, bytes] = {}
        self._unpackers: dict[int, struct.Struct] = {}

    def block(
        self,
        memory: mmap,
        at: int,
        stride: int,
        count: int,
        arrived: Callable[[int, int, int], None],
    ) -> Output:
        """The lines of ``count`` records, ``stride`` apart, the first at offset ``at``.

        ``stride`` has room for an event at least. Tells ``arrived`` of each row
        of numbers of one processor: the processor, the first, and how many.
        """
        if (version := self._version_of()) != self._version:
            self._version = version
            self._new, self._old = {}, {}
            self._fragments.forget()
        heads: list[bytes] = []
        rests: list[_Known] = []
        broken: list[DecodeError] = []
        begin = after = _NEVER  # the second of wall time that ``second`` is the text of
        second = b""
        kind, form = None, b""
        head, rest, get = heads.append, rests.append, self._new.get
        processor, first, due = -1, 0, 0  # the row of numbers under way
        limit = stride - HEADER  # a record is at most so long
        key_at, keyed = at + KEY_AT, at + _SIZE
        unpacker = self._unpackers.get(stride) or self._unpacker(stride)
        view = memoryview(memory)[at : at + count * stride]
        for number, moment, cpu, path, other, exe in unpacker.iter_unpack(view):
            if number != due or cpu != processor:
                if due > first:
                    arrived(processor, first, due - first)
                processor, first = cpu, number
            due = number + 1
            key = memory[key_at : keyed + path + other + exe]
            found = get(key)
            if found is None:
                record_at = key_at - KEY_AT
                found = self._find(memory[record_at : record_at + limit], key, broken)
                get = self._new.get
                if found is None:
                    key_at += stride
                    keyed += stride
                    continue
            key_at += stride
            keyed += stride
            if not begin <= moment < after:
                begin, text = self._clock.second(moment)
                after = begin + _SECOND
                second = text.encode("ascii")
                kind = None
            this = found[0]
            if this is not kind:
                kind = this
                form = kind.replace(_TIME, second)
            head(form % ((moment - begin) // 1000, moment, cpu, number))
            rest(found)
        if due > first:
            arrived(processor, first, due - first)
        view.release()
        return Output(_joined(heads, rests), sum(map(_DOUBTFUL, rests)), broken)

    def one_by_one(self, records: Iterable[bytes], arrived: Arrived) -> Output:
        """The lines of records of any size. ``undecodable`` ones are not told to ``arrived``."""
        lines: list[bytes] = []
        broken: list[DecodeError] = []
        unresolved = 0
        for record in records:
            try:
                line = self._slow(record)
            except DecodeError as error:
                broken.append(error)
                continue
            number, _, cpu = _HEAD.unpack_from(record)
            arrived(cpu, number, 1)
            lines.append(line.text)
            unresolved += not line.resolved
        return Output(block(lines), unresolved, broken)

    def _find(self, record: bytes, key: bytes, broken: list[DecodeError]) -> _Known | None:
        """What the cache does not have at hand; None if the record is no event."""
        found = self._old.get(key)
        if found is None:
            try:
                made = self._fragments.make(record)
            except DecodeError as error:
                broken.append(error)
                return None
            found = self._known(made)
            if not made.lasting:
                return found
        if len(self._new) >= LINES:
            self._old, self._new = self._new, {}
        self._new[key] = found
        return found

    def _known(self, made: Parts) -> _Known:
        kind, origin = made.kind.replace(b"%", b"%%"), made.origin.replace(b"%", b"%%")
        form = kind + _TIME + b'%06dZ","boot_ns":"%d' + origin + b'%d,"seq":%d'
        form = self._forms.setdefault(form, form)  # one object each: told apart by identity
        digest = b"\n" + sha256(made.rest).digest()
        return form, made.rest + b"\n", crc32(made.rest), digest, not made.resolved

    def _unpacker(self, stride: int) -> struct.Struct:
        form = f"<QQI{SIZES_AT - KEY_AT}xIII"
        made = self._unpackers[stride] = struct.Struct(f"{form}{stride - struct.calcsize(form)}x")
        return made


def _joined(heads: list[bytes], rests: list[_Known]) -> Block:
    """The block of lines whose beginnings and rests these are."""
    flat = chain.from_iterable
    return Block(
        b"".join(flat(zip(heads, map(_REST, rests), strict=True))),
        list(map(crc32, heads, map(_CRC, rests))),
        b"".join(flat(zip(heads, map(_DIGEST, rests), strict=True))),
    )
