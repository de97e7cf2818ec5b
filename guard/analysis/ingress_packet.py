# SPDX-License-Identifier: Apache-2.0
"""What a frame says, read the plain way: the reference for the filter's own parser.

Written from the RFCs and docs/manual/ingress.md, and sharing nothing with
lsm/xdp. Knows nothing of rules.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

# What docs/manual/ingress.md promises to read; more is a fault of its own.
TAGS = 2
EXTENSIONS = 6

_TAG_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_EXTENSION_TYPES = frozenset({0, 43, 44, 60, 135, 139, 140})
_FRAGMENT_HEADER = 44
_TCP = 6
_ICMP = frozenset({1, 58})
PORTED = frozenset({6, 17, 33, 132, 136})


class Fault(enum.Enum):
    """Why a frame could not be read to its end."""

    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TAGS = "tags"
    EXTENSIONS = "extensions"
    TINY_FRAGMENT = "tiny_fragment"


class Part(enum.Enum):
    """Whether a packet is a fragment, and which."""

    WHOLE = "whole"
    FIRST = "first"
    LATER = "later"


@dataclass(slots=True)
class Packet:
    """A frame's fields. None is what could not be read, or what is not there.

    ``family`` is None where the frame is no IP packet as far as it was read;
    ``protocol`` None where an IPv6 chain ends unseen. ``transport`` says whether
    the transport header was read (of protocols that have one worth reading).
    """

    ethertype: int | None = None
    vlan: int = 0
    family: int | None = None
    source: int | None = None
    destination: int | None = None
    protocol: int | None = None
    part: Part = Part.WHOLE
    fragment_id: int = 0
    length: int = 0
    hops: int = 0
    transport: bool = False
    source_port: int | None = None
    destination_port: int | None = None
    tcp_flags: int | None = None
    icmp_type: int | None = None
    fault: Fault | None = None


class _Stop(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise _Stop(Fault.TRUNCATED)
    return int.from_bytes(data[at : at + size], "big")


def read(frame: bytes) -> Packet:
    """The packet in an Ethernet frame; never raises."""
    packet = Packet()
    try:
        _frame(frame, packet)
    except _Stop as stop:
        packet.fault = stop.fault
    return packet


def _frame(frame: bytes, packet: Packet) -> None:
    at = 12
    ethertype = _number(frame, at, 2)
    tags = 0
    while ethertype in _TAG_TYPES:
        if tags == TAGS:
            raise _Stop(Fault.TAGS)
        tags += 1
        tag = _number(frame, at + 2, 2)
        ethertype = _number(frame, at + 4, 2)
        if not packet.vlan:
            packet.vlan = tag % 4096
        at += 4
    packet.ethertype = ethertype
    payload = frame[at + 2 :]
    if ethertype == 0x0800:
        packet.family = 4
        _ip4(payload, packet)
    elif ethertype == 0x86DD:
        packet.family = 6
        _ip6(payload, packet)


def _ip4(data: bytes, packet: Packet) -> None:
    if len(data) < 20:
        raise _Stop(Fault.TRUNCATED)
    version, words = divmod(data[0], 16)
    if version != 4 or words < 5:
        raise _Stop(Fault.MALFORMED)
    packet.source = _number(data, 12, 4)
    packet.destination = _number(data, 16, 4)
    packet.protocol = data[9]
    packet.hops = data[8]
    packet.length = _number(data, 2, 2)
    packet.fragment_id = _number(data, 4, 2)
    offset = _number(data, 6, 2)
    if offset % 0x2000:
        packet.part = Part.LATER
    elif offset & 0x2000:
        packet.part = Part.FIRST
    if packet.length < 4 * words:
        raise _Stop(Fault.MALFORMED)
    if packet.length > len(data):
        raise _Stop(Fault.TRUNCATED)
    if packet.part is Part.LATER:
        if offset % 0x2000 == 1 and packet.protocol == _TCP:
            raise _Stop(Fault.TINY_FRAGMENT)
        return
    _transport(data[4 * words : packet.length], packet)


def _ip6(data: bytes, packet: Packet) -> None:
    if len(data) < 40:
        raise _Stop(Fault.TRUNCATED)
    if data[0] >> 4 != 6:
        raise _Stop(Fault.MALFORMED)
    source = _number(data, 8, 16)
    packet.length = 40 + _number(data, 4, 2)
    packet.hops = data[7]
    if source >> 32 == 0xFFFF:
        # An IPv4 address in IPv6 form: on no wire.
        raise _Stop(Fault.MALFORMED)
    packet.source, packet.destination = source, _number(data, 24, 16)
    if packet.length > len(data):
        raise _Stop(Fault.TRUNCATED)
    body = data[40 : packet.length]
    following = data[6]
    for _ in range(EXTENSIONS):
        if following not in _EXTENSION_TYPES:
            break
        if len(body) < 8:
            raise _cut(packet)
        kind, following = following, body[0]
        if kind != _FRAGMENT_HEADER:
            body = body[8 * (body[1] + 1) :] if len(body) >= 8 * (body[1] + 1) else b""
            continue
        offset = _number(body, 2, 2)
        packet.fragment_id = _number(body, 4, 4)
        body = body[8:]
        if offset >> 3:
            packet.part = Part.LATER
            if following in _EXTENSION_TYPES:
                return
            packet.protocol = following
            if offset >> 3 == 1 and following == _TCP:
                raise _Stop(Fault.TINY_FRAGMENT)
            return
        if offset & 1:
            packet.part = Part.FIRST
    if following in _EXTENSION_TYPES:
        raise _Stop(Fault.EXTENSIONS)
    packet.protocol = following
    _transport(body, packet)


def _cut(packet: Packet) -> _Stop:
    return _Stop(Fault.TINY_FRAGMENT if packet.part is Part.FIRST else Fault.TRUNCATED)


def _transport(body: bytes, packet: Packet) -> None:
    if packet.protocol == _TCP:
        if len(body) < 20:
            raise _cut(packet)
        if body[12] >> 4 < 5:
            raise _Stop(Fault.MALFORMED)
        if 4 * (body[12] >> 4) > len(body):
            raise _cut(packet)
        packet.tcp_flags = body[13]
    elif (packet.protocol in PORTED or packet.protocol in _ICMP) and len(body) < 8:
        raise _cut(packet)
    if packet.protocol in PORTED:
        packet.source_port = _number(body, 0, 2)
        packet.destination_port = _number(body, 2, 2)
    elif packet.protocol in _ICMP:
        packet.icmp_type = body[0]
    packet.transport = True
