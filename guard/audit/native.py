# SPDX-License-Identifier: Apache-2.0
"""The inner loop of fast.py in C, where it was built: format.c through ctypes.

Knows format.c's functions and their struct. What is not remembered there is
made by Python as without it, so the two make the same bytes (tests/audit/test_native.py).
"""

from __future__ import annotations

import ctypes
import os
import struct
from array import array
from collections.abc import Callable
from ctypes import c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from hashlib import sha256
from mmap import mmap
from pathlib import Path
from zlib import crc32

from guard.audit.chain import Block
from guard.audit.clock import Clock
from guard.audit.decode import DecodeError
from guard.audit.fast import KEY_AT, SIZES_AT, Arrived, Fast, Output
from guard.audit.fragments import HostPath, Line
from guard.audit.ring import HEADER
from guard.wire.layout import EVENT

# Where `make formatter` puts it.
LIBRARY = Path(__file__).parents[1] / "objects" / "format.so"

# As in format.c.
_ABI = 1
_DONE, _UNKNOWN, _SECOND, _ROOM = range(4)

# Lines of a block at first; doubled where one does not fit. A line is at most
# some 60 KB: names of 8 KB, of which every byte may be six in JSON.
_BODY_BYTES = 1 << 18
_BODY_LIMIT = 1 << 24
_SIZES = struct.Struct("<III")

# Records that a block may be asked for at once.
_RECORDS = 4096


class NativeMissing(Exception):
    """The library is not there or is another version's: fast.Fast does without."""


class _Row(ctypes.Structure):
    _fields_ = (("first", c_uint64), ("cpu", c_uint32), ("count", c_uint32))


class _Run(ctypes.Structure):
    _fields_ = (
        ("at", c_void_p),
        ("stride", c_uint32),
        ("left", c_uint32),
        ("fixed", c_uint32),
        ("key", c_uint32),
        ("sizes", c_uint32),
        ("skip", c_uint32),
        ("begin", c_int64),
        ("after", c_int64),
        ("second", c_uint8 * 24),
        ("body", c_void_p),
        ("spine", c_void_p),
        ("body_end", c_void_p),
        ("spine_end", c_void_p),
        ("sums", c_void_p),
        ("rows", c_void_p),
        ("made", c_uint32),
        ("unresolved", c_uint32),
        ("told", c_uint32),
        ("stop", c_uint32),
    )


class NativeFast(Fast):
    """Fast with C inside. Raises NativeMissing."""

    def __init__(
        self,
        slow: Callable[[bytes], Line],
        clock: Clock,
        version: Callable[[], object] = lambda: None,
        host_path: HostPath | None = None,
        library: Path = LIBRARY,
    ) -> None:
        super().__init__(slow, clock, version, host_path)
        self._library = _load(library)
        # Seeded, so that nobody can choose names that fall into one place.
        self._table = self._library.guard_format_new(int.from_bytes(os.urandom(8), "little"))
        if not self._table:
            raise MemoryError
        self._rows = (_Row * _RECORDS)()
        self._sums = array("I", bytes(4 * _RECORDS))
        self._run = _Run(
            fixed=EVENT.size,
            key=KEY_AT,
            sizes=SIZES_AT,
            rows=ctypes.addressof(self._rows),
        )
        self._pointer = ctypes.byref(self._run)
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._body = bytearray(_BODY_BYTES)
        self._spine = bytearray(_BODY_BYTES)

    def close(self) -> None:
        """Gives the memory back."""
        if self._table:
            self._library.guard_format_free(self._table)
            self._table = None

    def block(self, memory: mmap, at: int, stride: int, count: int, arrived: Arrived) -> Output:
        """As Fast's. The block is good until the next call."""
        if (version := self._version_of()) != self._version:
            self._version = version
            self._clear()
            self._fragments.forget()
        run = self._run
        broken: list[DecodeError] = []
        count = min(count, _RECORDS)
        run.at, run.stride, run.left = _address(memory) + at, stride, count
        run.made = run.unresolved = run.told = 0
        run.sums = self._sums.buffer_info()[0]
        run.skip = 0
        run.begin = run.after = 0  # the clock may have been set
        self._aim(0, 0)
        step = self._library.guard_format_run
        while True:
            step(self._table, self._pointer)
            stop = run.stop
            if stop == _DONE:
                break
            where = at + (count - run.left) * stride
            if stop == _UNKNOWN:
                self._learn(memory[where : where + stride - HEADER], broken)
            elif stop == _SECOND:
                moment = int.from_bytes(memory[where + 8 : where + 16], "little")
                begin, text = self._clock.second(moment)
                run.begin, run.after = begin, begin + 1_000_000_000
                ctypes.memmove(run.second, text.encode("ascii"), 20)
            else:
                self._grow()
        for row in self._rows[: run.told]:
            arrived(row.cpu, row.first, row.count)
        body = memoryview(self._body)[: run.body - _address(self._body)]
        spine = memoryview(self._spine)[: run.spine - _address(self._spine)]
        sums = self._sums[: run.made]
        return Output(Block(body, sums, spine), run.unresolved, broken)

    def _aim(self, body: int, spine: int) -> None:
        """The next bytes go so far behind the buffers' beginnings."""
        run = self._run
        first, other = _address(self._body), _address(self._spine)
        run.body, run.body_end = first + body, first + len(self._body)
        run.spine, run.spine_end = other + spine, other + len(self._spine)

    def _grow(self) -> None:
        """Both buffers twice as large, with what is in them."""
        run = self._run
        if len(self._body) >= _BODY_LIMIT:
            raise MemoryError(f"lines of more than {_BODY_LIMIT} bytes in one block")
        body, spine = run.body - _address(self._body), run.spine - _address(self._spine)
        self._body, self._spine = self._body * 2, self._spine * 2
        self._aim(body, spine)

    def _learn(self, record: bytes, broken: list[DecodeError]) -> None:
        """Has Python make the line of a record, for this and all with the same bytes."""
        try:
            found = self._fragments.make(record)
        except DecodeError as error:
            broken.append(error)
            self._run.skip = 1
            return
        sizes = _SIZES.unpack_from(record, SIZES_AT)
        key = record[KEY_AT : EVENT.size + sum(sizes)]
        library, table = self._library, self._table
        form = self._numbers.get((found.kind, found.origin), -1)
        if form < 0:
            form = self._form(found.kind, found.origin)
        rest = found.rest + b"\n"
        crc, digest = crc32(found.rest), sha256(found.rest).digest()
        known = (key, len(key), form, rest, len(rest), crc, digest)
        if form < 0 or library.guard_format_put(table, *known, not found.resolved, found.lasting):
            raise MemoryError

    def _form(self, kind: bytes, origin: bytes) -> int:
        """The library's number of a form; negative: there is no memory."""
        shape = (kind, len(kind), origin, len(origin))
        number: int = self._library.guard_format_form(self._table, *shape)
        if number < 0:  # more kinds of events than there are: what is remembered of them goes
            self._clear()
            number = self._library.guard_format_form(self._table, *shape)
        self._numbers[kind, origin] = number
        return number

    def _clear(self) -> None:
        self._library.guard_format_clear(self._table)
        self._numbers.clear()


class _PyBuffer(ctypes.Structure):
    """Py_buffer, as in CPython's stable interface from 3.11 on."""

    _fields_ = (
        ("buf", c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", c_void_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    )


def _address(memory: mmap | bytearray) -> int:
    """Where an object's bytes are; ctypes' own way wants them to be writable."""
    view = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(memory), ctypes.byref(view), 0)
    try:
        return int(view.buf)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
        version = library.guard_format_abi()
    except (OSError, AttributeError) as error:
        raise NativeMissing(f"{path}: {error}") from None
    if version != _ABI:
        raise NativeMissing(f"{path} is of version {version}, not {_ABI}")
    u32, octets = c_uint32, ctypes.c_char_p
    library.guard_format_new.restype = c_void_p
    library.guard_format_new.argtypes = (c_uint64,)
    library.guard_format_clear.argtypes = (c_void_p,)
    library.guard_format_free.argtypes = (c_void_p,)
    library.guard_format_form.restype = c_int32
    library.guard_format_form.argtypes = (c_void_p, octets, u32, octets, u32)
    library.guard_format_put.restype = c_int32
    library.guard_format_put.argtypes = (
        *(c_void_p, octets, u32, u32, octets, u32, u32, octets),
        *(u32, u32),
    )
    library.guard_format_run.argtypes = (c_void_p, c_void_p)
    return library
