# SPDX-License-Identifier: Apache-2.0
"""The host's network interfaces as rtnetlink tells them, and word of their changes.

Reads only. Message layouts: rtnetlink(7), include/uapi/linux/{if_link,netdev}.h.
Knows nothing of policies and nothing of what is attached by whom.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from guard.errors import HostError

# include/uapi/linux/netlink.h
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED_MASK = 0x3FFF  # NLA_TYPE_MASK

# include/uapi/linux/rtnetlink.h
_RTM_GETLINK = 18
_RTM_NEWLINK = 16
_RTMGRP_LINK = 1
_IFINFO = struct.Struct("=BxHiII")
_IFF_UP = 1

# include/uapi/linux/if_link.h
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_XDP = 3, 4, 18, 43
_INFO_KIND = 1
_XDP_ATTACHED, _XDP_PROG, _XDP_DRV, _XDP_SKB, _XDP_HW = 2, 4, 5, 6, 7

# include/uapi/linux/genetlink.h and netdev.h (kernels from 6.3)
_GENERIC, _CTRL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 16, 3, 1, 2
_DEV_GET, _DEV_IFINDEX, _DEV_FEATURES = 1, 1, 3

# A dump of one interface with all its statistics stays well below this.
_RECEIVE = 1 << 17


class XdpMode(enum.Enum):
    """Where an interface runs its XDP program, by the number in IFLA_XDP_ATTACHED."""

    NONE = 0
    NATIVE = 1
    GENERIC = 2
    OFFLOADED = 3
    SEVERAL = 4


class XdpFeature(enum.IntFlag):
    """What a driver says that its native mode can do: enum netdev_xdp_act."""

    BASIC = 1
    REDIRECT = 2
    TRANSMIT = 4
    ZERO_COPY = 8
    OFFLOAD = 16
    FRAGMENTS = 32
    TRANSMIT_FRAGMENTS = 64


class Interface(NamedTuple):
    """One interface of this network namespace. ``programs``: ids of XDP programs on it."""

    index: int  # type: ignore[assignment]  # a tuple's index method is not wanted here
    name: str
    mtu: int
    up: bool
    kind: str | None
    mode: XdpMode
    programs: tuple[int, ...]


def interfaces() -> dict[str, Interface]:
    """Every interface by name, as they are now. Raises HostError."""
    request = _HEADER.pack(
        _HEADER.size + _IFINFO.size, _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0
    ) + _IFINFO.pack(0, 0, 0, 0, 0)
    found = {}
    for kind, body in _ask(socket.NETLINK_ROUTE, request):
        if kind == _RTM_NEWLINK:
            one = parse_link(body)
            found[one.name] = one
    return found


def parse_link(body: bytes) -> Interface:
    """An interface from the body of one RTM_NEWLINK message. Raises ValueError."""
    if len(body) < _IFINFO.size:
        raise ValueError("a link message without its head")
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    fields = dict(attributes(body[_IFINFO.size :]))
    told = dict(attributes(fields.get(_IFLA_LINKINFO, b"")))
    xdp = dict(attributes(fields.get(_IFLA_XDP, b"")))
    kind = told.get(_INFO_KIND)
    ids = {_u32(xdp[which]) for which in (_XDP_DRV, _XDP_SKB, _XDP_HW, _XDP_PROG) if which in xdp}
    return Interface(
        index,
        _text(fields.get(_IFLA_IFNAME, b"")),
        _u32(fields.get(_IFLA_MTU, b"")),
        bool(flags & _IFF_UP),
        _text(kind) if kind is not None else None,
        XdpMode(xdp.get(_XDP_ATTACHED, b"\0")[0]),
        tuple(sorted(ids - {0})),
    )


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a row of them, each as type and payload. Raises ValueError."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size or at + size > len(data):
            raise ValueError("an attribute that is longer than its message")
        yield kind & _NESTED_MASK, data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3


def xdp_features(index: int) -> XdpFeature | None:
    """What the interface's driver says of its native mode; None where the kernel does not tell."""
    try:
        family = _attribute(_generic(_CTRL, _GETFAMILY, _FAMILY_NAME, b"netdev\0"), _FAMILY_ID)
        if family is None:
            return None
        number = struct.unpack("=H", family[:2])[0]
        told = _attribute(
            _generic(number, _DEV_GET, _DEV_IFINDEX, struct.pack("=I", index)), _DEV_FEATURES
        )
    except HostError:
        return None
    return None if told is None else XdpFeature(struct.unpack("=Q", told[:8])[0])


class LinkWatch:
    """Word that some interface came, went or changed. ``fileno`` is readable when one did."""

    def __init__(self) -> None:
        self._socket = _open(socket.NETLINK_ROUTE, _RTMGRP_LINK)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Take all notices away; whether there was any. What changed is asked anew."""
        seen = False
        while True:
            try:
                self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return seen
            except OSError as error:
                # Notices were lost because nobody read them: that is one, too.
                if error.errno != errno.ENOBUFS:
                    raise
            seen = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _attribute(answers: Iterator[tuple[int, bytes]], wanted: int) -> bytes | None:
    for _, body in answers:
        for kind, data in attributes(body[4:]):  # after struct genlmsghdr
            if kind == wanted:
                return data
    return None


def _generic(family: int, command: int, kind: int, value: bytes) -> Iterator[tuple[int, bytes]]:
    payload = struct.pack("=BBH", command, 1, 0)
    padded = value + bytes(-len(value) % 4)
    payload += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + padded
    head = _HEADER.pack(_HEADER.size + len(payload), family, _NLM_F_REQUEST, 1, 0)
    return _ask(_GENERIC, head + payload)


def _open(protocol: int, groups: int = 0) -> socket.socket:
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        made.bind((0, groups))
    except OSError as error:
        raise HostError(f"the kernel cannot be asked about interfaces: {error.strerror}") from None
    return made


def _ask(protocol: int, request: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message of an answer. Raises HostError when it is an error."""
    dump = bool(_HEADER.unpack_from(request)[2] & _NLM_F_DUMP)
    with contextlib.closing(_open(protocol)) as asked:
        asked.settimeout(5)  # the kernel answers at once; a hang would be worse than an error
        asked.send(request)
        while True:
            try:
                data = asked.recv(_RECEIVE)
            except OSError as error:
                raise HostError(f"the kernel does not tell about interfaces: {error}") from None
            at = 0
            while at + _HEADER.size <= len(data):
                size, kind, _, _, _ = _HEADER.unpack_from(data, at)
                if size < _HEADER.size:
                    raise HostError("the kernel's answer about interfaces makes no sense")
                body = data[at + _HEADER.size : at + size]
                at += (size + 3) & ~3
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    if number:
                        raise HostError(f"the kernel refuses to tell: {os.strerror(number)}")
                    return
                yield kind, body
            if not dump:
                return


def _u32(data: bytes) -> int:
    return int.from_bytes(data[:4], "little" if struct.pack("=H", 1)[0] else "big")


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
