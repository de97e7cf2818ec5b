# SPDX-License-Identifier: Apache-2.0
"""The hash chain: batches of lines, each sealed over the one before it.

Knows lines of JSON and SHA-256; nothing of files, rings or what lines say.

A batch is one or more lines. Its last line carries, as its last member, the
seal of the whole batch::

    {…record…}
    {…record…,"chain":{"series":"denials","n":17,"first":4711,"records":2,
     "crc":"1c2d3e4f5a6b7c8d","prev":"<64 hex>","hash":"<64 hex>"}}

(on one line). ``series`` names the chain, ``n`` counts its batches and
``first`` its records from 0; ``crc`` is a CRC-32 of each record, eight hex
digits each (``crc_of``); ``prev`` is the hash of batch ``n - 1``, 64 zeros for the first.
``hash`` is the SHA-256 of the member's own text from ``"series"`` up to and
with ``prev``, a newline, and for each record: its bytes before ``SPLIT``, a
newline, and the SHA-256 (32 bytes) of its bytes from there on, all of it as it
was without the seal.

One hash for a batch and not for a record, and of a digest where records repeat
each other, because hashing would be half of what a record costs otherwise
(952 bytes: 524 ns; so: 160). The CRCs are there to name the record that was
changed, the hash to make changing it futile.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

GENESIS = "0" * 64

# Records that one batch may hold: bounds what a reader has to hold in memory.
BATCH_LIMIT = 4096

# Before a seal. In a JSON string the quotes would be escaped, so the text can
# stand nowhere else than where a member begins.
MARK = b',"chain":{"series":"'

# What comes before differs from record to record: time and number.
SPLIT = b',"verdict":'

_SEAL = re.compile(
    rb',"chain":\{("series":"([a-z-]{1,32})","n":(\d{1,18}),"first":(\d{1,18}),"records":(\d{1,9}),'
    rb'"crc":"([0-9a-f]*)","prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}\}'
)


class Head(NamedTuple):
    """Where a chain stands: the next batch's number and first record, and the last one's hash."""

    n: int = 0
    first: int = 0
    hash: str = GENESIS


class Seal(NamedTuple):
    """What a batch's last line says about the batch, unverified.

    ``text`` is what the hash covers of it; ``at`` the offset in that line
    where the member begins, so ``line[:at] + b"}"`` is the record without it.
    """

    series: str
    n: int
    first: int
    records: int
    crc: bytes
    prev: str
    hash: str
    text: bytes
    at: int

    def sums(self) -> list[int]:
        """The CRC of each record."""
        return [int(self.crc[at : at + 8], 16) for at in range(0, len(self.crc), 8)]

    def head(self) -> Head:
        """Where the chain stands after this batch."""
        return Head(self.n + 1, self.first + self.records, self.hash)


class Block(NamedTuple):
    """Lines on their way into a batch: each with a newline behind it, and what a seal is made of.

    ``sums`` are the values of ``crc_of`` and ``spine`` is what the hash
    covers, for the lines in ``body``.
    """

    body: bytes | memoryview
    sums: Sequence[int]
    spine: bytes | memoryview

    def lines(self) -> list[bytes]:
        """The lines without newlines."""
        return bytes(self.body)[:-1].split(b"\n") if self.body else []


def block(lines: Sequence[bytes]) -> Block:
    """A block of lines, which come without newlines and hold none."""
    return Block(
        b"".join(line + b"\n" for line in lines), [crc_of(line) for line in lines], spine(lines)
    )


def spine(lines: Iterable[bytes]) -> bytes:
    """What a batch's hash covers of its lines."""
    parts = []
    for line in lines:
        head, split, tail = line.partition(SPLIT)
        parts += [head, b"\n", sha256(split + tail).digest()]
    return b"".join(parts)


def seal(series: str, records: Block, head: Head) -> tuple[memoryview, bytes, Head]:
    """The batch as it is to be stored, in two parts, and the chain's new head.

    The block holds one or more JSON objects with at least one member each. In
    two parts, because joining them would cost as much as writing them.
    """
    # Byte order: big-endian, so that the hex digits of one record are its CRC as printed.
    sums = array("I", records.sums)
    sums.byteswap()
    text = b'"series":"%b","n":%d,"first":%d,"records":%d,"crc":"%b","prev":"%b"' % (
        series.encode(),
        head.n,
        head.first,
        len(sums),
        sums.tobytes().hex().encode(),
        head.hash.encode(),
    )
    body = memoryview(records.body)
    digest = _digest(text, records.spine)
    tail = b',"chain":{%b,"hash":"%b"}}\n' % (text, digest.encode())
    return body[:-2], tail, Head(head.n + 1, head.first + len(sums), digest)


def read_seal(line: bytes) -> Seal | None:
    """The seal that a line (without newline) carries; None if it has none or a broken one."""
    at = line.rfind(MARK)
    if at < 0:
        return None
    found = _SEAL.fullmatch(line, at)
    if found is None:
        return None
    text, series, n, first, records, crc, prev, own = found.groups()
    return Seal(
        series.decode(),
        int(n),
        int(first),
        int(records),
        crc,
        prev.decode(),
        own.decode(),
        text,
        at,
    )


def without_seal(line: bytes, found: Seal) -> bytes:
    """The record as it was before it was sealed."""
    return line[: found.at] + b"}"


def crc_of(line: bytes) -> int:
    """A record's CRC-32, of its bytes from ``SPLIT`` on and then those before.

    In that order because what follows is the same in many records, so that
    whoever makes them can remember its CRC and go on from there.
    """
    at = line.find(SPLIT)
    return crc32(line[:at], crc32(line[at:])) if at > 0 else crc32(line)


def holds(found: Seal, lines: Sequence[bytes]) -> bool:
    """Whether the hash is that of these lines, the last without its seal."""
    return _digest(found.text, spine(lines)) == found.hash


def _digest(text: bytes, covered: bytes | memoryview) -> str:
    hashed = sha256(text)
    hashed.update(b"\n")
    hashed.update(covered)
    return hashed.hexdigest()
