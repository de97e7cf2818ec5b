# SPDX-License-Identifier: Apache-2.0
"""Numbers of an event → words: which operation, which verbs, which object.

Knows wire.h's enums, whose names in lower case the words are, and the
kernel's numbers of socket families and protocols. No host, no policies.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import IntEnum
from ipaddress import ip_address
from typing import TypeVar

from guard.audit.decode import Event
from guard.audit.objects import (
    ExecObject,
    FileObject,
    Hash,
    KernelObject,
    NetObject,
    Object,
    Target,
)
from guard.wire.layout import EventFlag, Hook, KernelOp, NetVerb, PathVerb, Reason, Section

# Where the hook's own name would mislead or be two words for one thing. All
# others are called by what stands behind the first word of their name.
_OPERATIONS = {
    Hook.BPRM_CREDS_FOR_EXEC: "program",
    Hook.BPRM_CHECK_SECURITY: "program",
    Hook.BPRM_COMMITTED_CREDS: "program",
    Hook.MMAP_FILE: "map",
    Hook.FILE_MPROTECT: "map",
    Hook.SOCKET_SENDMSG: "send",
    Hook.UNIX_STREAM_CONNECT: "connect",
    Hook.UNIX_MAY_SEND: "send",
    Hook.PATH_MKNOD: "bind",
    Hook.SCTP_BIND_CONNECT: "connect",
}

# include/uapi/linux/in.h. Protocols without a word here are shown as numbers.
_PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
    255: "raw",
    262: "mptcp",
}

# What these say is said by the object itself.
_UNSAID = EventFlag.NET_OBJECT | EventFlag.ABSTRACT | EventFlag.ANY_PORT

_NET_OBJECT = int(EventFlag.NET_OBJECT)
_ABSTRACT = int(EventFlag.ABSTRACT)
_ANY_PORT = int(EventFlag.ANY_PORT)
_FILE, _EXEC, _NET, _KERNEL = (int(section) for section in Section)
_WITH_PORTS = (socket.AF_INET, socket.AF_INET6)

_T = TypeVar("_T")
_MEMO_SIZE = 512


class Memo(dict[int, _T]):
    """Remembers a function of integers that are few in practice; forgets if they are not."""

    def __init__(self, function: Callable[[int], _T]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, number: int) -> _T:
        if len(self) >= _MEMO_SIZE:
            self.clear()
        value = self[number] = self._function(number)
        return value


class Words:
    """The words of events. They come with every event, so they are remembered."""

    def __init__(self) -> None:
        self.reason = Memo(_reason)
        self.flags = Memo(_flags)
        self._path_verbs = Memo(_path_verbs)
        self._net_verbs = Memo(_net_verbs)
        self._operations = Memo(_operation)
        self._kinds = Memo(_kind)

    def kind(self, event: Event) -> str:
        """``file.open``, ``net.connect``, ``kernel.ptrace``: the section, a dot, the operation."""
        if event.section == _KERNEL:
            return f"kernel.{self._operations[event.operation]}"
        return self._kinds[event.section << 16 | event.hook]

    def verbs(self, event: Event) -> tuple[str, ...]:
        """What was asked for; in the kernel section, the operation."""
        if event.section == _KERNEL:
            return (self._operations[event.operation],)
        if event.flags & _NET_OBJECT:
            return self._net_verbs[event.verbs]
        return self._path_verbs[event.verbs]

    def object(
        self,
        event: Event,
        path: bytes,
        second: bytes | None,
        found: Hash | None,
        target: Target | None,
    ) -> Object:
        """What it was done to. ``path`` and ``second`` are the event's, as they are to be
        shown; ``found`` and ``target`` what is known of a program or a process.
        """
        match event.section:
            case Section.EXEC:
                return ExecObject(path, event.device, event.inode, found)
            case Section.NET:
                return _socket(event, path)
            case Section.KERNEL:
                # An empty list of names is also the root's.
                where = path if event.path != b"/" else None
                return KernelObject(self._operations[event.operation], target, where)
            case _:
                return FileObject(path, event.device, event.inode, second)


def word(member: IntEnum) -> str:
    """``path-cut`` for PATH_CUT."""
    return member.name.lower().replace("_", "-")


def _socket(event: Event, path: bytes) -> NetObject:
    family = _family(event.family or socket.AF_UNIX)
    if event.flags & _ABSTRACT:
        return NetObject(family, _type(event.type), None, None, None, abstract=event.path)
    if not event.flags & _NET_OBJECT:
        kind = _type(event.type)
        return NetObject(family, kind, None, None, None, path, event.device, event.inode)
    address = _address(event.address)
    port = None
    if event.family in _WITH_PORTS and not event.flags & _ANY_PORT:
        port = event.port
    return NetObject(family, _type(event.type), protocol_word(event.protocol), address, port)


def _address(raw: bytes) -> str | None:
    if not raw:
        return None
    # Another size than 4 or 16 is a bug of ours, and no reason to lose the record.
    return str(ip_address(raw)) if len(raw) in (4, 16) else raw.hex()


def _family(number: int) -> str:
    try:
        return socket.AddressFamily(number).name.removeprefix("AF_").lower()
    except ValueError:
        return str(number)


def _type(number: int) -> str | None:
    if not number:
        return None
    try:
        return socket.SocketKind(number).name.removeprefix("SOCK_").lower()
    except ValueError:
        return str(number)


def protocol_word(number: int) -> str | None:
    """IPPROTO_* in a word, or as a number; None for 0."""
    return _PROTOCOLS.get(number, str(number)) if number else None


def _kind(number: int) -> str:
    section, hook = number >> 16, number & 0xFFFF
    try:
        named = Hook(hook)
        gate = Section(section).name.lower()
    except ValueError:
        return f"hook.{hook}"
    first, _, rest = named.name.lower().partition("_")
    if first == "task":
        # Forks: no section's, refused when there is no memory for a label.
        gate = first
    return f"{gate}.{_OPERATIONS.get(named, (rest or first).replace('_', '-'))}"


def _operation(number: int) -> str:
    try:
        return KernelOp(number).name.lower()
    except ValueError:
        return f"operation-{number}"


def _path_verbs(mask: int) -> tuple[str, ...]:
    return _bits(mask, {1 << verb: word(verb) for verb in PathVerb})


def _net_verbs(mask: int) -> tuple[str, ...]:
    return _bits(mask, {1 << verb: word(verb) for verb in NetVerb})


def _flags(mask: int) -> tuple[str, ...]:
    return _bits(mask & ~_UNSAID, {int(flag): word(flag) for flag in EventFlag})


def _bits(mask: int, words: dict[int, str]) -> tuple[str, ...]:
    """The words of the bits that are set, lowest first; ``bit-N`` where there is no word."""
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(words.get(1 << bit, f"bit-{bit}") for bit in bits)


def _reason(number: int) -> str:
    try:
        return word(Reason(number))
    except ValueError:
        return f"reason-{number}"
