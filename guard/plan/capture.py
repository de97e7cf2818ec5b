# SPDX-License-Identifier: Apache-2.0
"""Packets of a capture file: pcap and pcapng, both byte orders, Ethernet and raw IP.

Formats: draft-ietf-opsawg-pcap and -pcapng; link types: tcpdump.org/linktypes.
Reads bytes that it is given and knows nothing of what they are judged by.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from guard.errors import GuardError

# The magic number, as read little-endian: byte order and fractions of a second.
_PCAP = {
    0xA1B2C3D4: ("<", 1_000_000),
    0xD4C3B2A1: (">", 1_000_000),
    0xA1B23C4D: ("<", 1_000_000_000),
    0x4D3CB2A1: (">", 1_000_000_000),
}
_PCAPNG = 0x0A0D0D0A  # the same in both byte orders
_BYTE_ORDER = 0x1A2B3C4D

_INTERFACE, _SIMPLE, _ENHANCED, _OLD = 1, 3, 6, 2  # block types

ETHERNET = 1
_RAW = frozenset((12, 14, 101, 228, 229))  # an IP packet without a frame
_COOKED, _COOKED_2 = 113, 276
_COOKED_HEAD = {_COOKED: (16, 14), _COOKED_2: (20, 0)}  # size, and where the ethertype is

# A frame that raw IP is put into, so that the filter meets what it meets on a wire.
_MACS = bytes(6) + b"\x02" + bytes(5)

MOST = 1 << 18
"""Bytes of one packet: more than any interface gives, and what snaplen is in practice."""


class CaptureError(GuardError):
    """A file that is no capture, or is damaged; the message says at which byte."""


class Packet(NamedTuple):
    """A frame as the filter would see it, and ``size``, what it had on the wire.

    ``data`` is shorter where the capture was cut.
    """

    number: int
    data: bytes
    size: int


def packets(data: bytes) -> Iterator[Packet]:
    """The packets of a capture, in order, numbered from 1. Raises CaptureError."""
    if len(data) < 4:
        raise CaptureError("the file is too short for a capture")
    magic = int.from_bytes(data[:4], "little")
    if magic == _PCAPNG:
        found = _blocks(data)
    elif magic in _PCAP:
        found = _records(data, _PCAP[magic][0])
    else:
        raise CaptureError(
            f"the file is no capture: it begins with {data[:4].hex(' ')}",
            remedy="pcap and pcapng are read, as tcpdump -w writes them; unpack .gz files first",
        )
    for number, (link, size, content) in enumerate(found, 1):
        yield Packet(number, _frame(link, content, number), size)


def _records(data: bytes, order: str) -> Iterator[tuple[int, int, bytes]]:
    if len(data) < 24:
        raise CaptureError("the file ends inside its own header")
    link = struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF
    record = struct.Struct(f"{order}4I")
    at = 24
    while at < len(data):
        if at + record.size > len(data):
            raise CaptureError(f"the file ends inside a packet's header, at byte {at}")
        _, _, kept, size = record.unpack_from(data, at)
        at += record.size
        if kept > MOST or at + kept > len(data):
            raise CaptureError(f"the file is cut or damaged: a packet of {kept} bytes at byte {at}")
        yield link, size, data[at : at + kept]
        at += kept


def _blocks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    order = "<"
    links: list[int] = []
    at = 0
    while at < len(data):
        if at + 12 > len(data):
            raise CaptureError(f"the file ends inside a block's header, at byte {at}")
        kind = struct.unpack_from(f"{order}I", data, at)[0]
        if kind == _PCAPNG:
            order = _byte_order(data, at)
            links = []
        size = struct.unpack_from(f"{order}I", data, at + 4)[0]
        if size < 12 or size % 4 or at + size > len(data):
            raise CaptureError(f"the file is cut or damaged: a block of {size} bytes at byte {at}")
        body = data[at + 8 : at + size - 4]
        if kind == _INTERFACE:
            links.append(_unpack(f"{order}H", body, 0, at)[0])
        elif kind in (_ENHANCED, _OLD, _SIMPLE):
            yield _packet(kind, body, order, links, at)
        at += size


def _packet(
    kind: int, body: bytes, order: str, links: list[int], at: int
) -> tuple[int, int, bytes]:
    if kind == _SIMPLE:
        (size,) = _unpack(f"{order}I", body, 0, at)
        interface, head, kept = 0, 4, min(size, len(body) - 4)
    elif kind == _ENHANCED:
        interface, _, _, kept, size = _unpack(f"{order}5I", body, 0, at)
        head = 20
    else:
        interface, _, _, _, kept, size = _unpack(f"{order}HHIIII", body, 0, at)
        head = 20
    if interface >= len(links):
        raise CaptureError(f"a packet of an interface that the file does not describe, byte {at}")
    if kept > MOST or head + kept > len(body):
        raise CaptureError(f"the file is cut or damaged: a packet of {kept} bytes at byte {at}")
    return links[interface], size, body[head : head + kept]


def _byte_order(data: bytes, at: int) -> str:
    for order in "<>":
        if struct.unpack_from(f"{order}I", data, at + 8)[0] == _BYTE_ORDER:
            return order
    raise CaptureError(f"a section without a byte order, at byte {at}")


def _unpack(form: str, data: bytes, start: int, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, start)
    except struct.error:
        raise CaptureError(f"the file is damaged: a block too short at byte {at}") from None


def _frame(link: int, content: bytes, number: int) -> bytes:
    if link == ETHERNET:
        return content
    if link in _RAW:
        version = content[0] >> 4 if content else 4
        return _MACS + (b"\x86\xdd" if version == 6 else b"\x08\x00") + content
    if link in _COOKED_HEAD:
        size, place = _COOKED_HEAD[link]
        return _MACS + content[place : place + 2] + content[size:]
    raise CaptureError(
        f"packet {number} is of link type {link}, which has no Ethernet frame to judge",
        remedy="capture on an Ethernet interface, or on any (tcpdump -i any)",
    )
