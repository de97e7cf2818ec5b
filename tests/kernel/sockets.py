# SPDX-License-Identifier: Apache-2.0
"""Sockets as processes use and misuse them: raw addresses, and calls for ``attempt``.

Traffic stays on the loopback interface. Knows nothing of policies' meaning.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence

from tests.kernel.harness import TREE, Attempt, Enforcer, Record

UNSPEC, INET, INET6 = socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6
UNIX = socket.AF_UNIX
STREAM, DGRAM, RAW, SEQPACKET = (
    socket.SOCK_STREAM,
    socket.SOCK_DGRAM,
    socket.SOCK_RAW,
    socket.SOCK_SEQPACKET,
)
# include/linux/socket.h, uapi/linux/in.h
FASTOPEN = 0x20000000
UDPLITE, SCTP, MPTCP = 136, 132, 262
# What a network that is up but has no listener answers.
REACHED = frozenset((0, errno.ECONNREFUSED))

_C = ctypes.CDLL(None, use_errno=True)


def inet(address: str, port: int, family: int = INET) -> bytes:
    """struct sockaddr_in, with any family in it."""
    return (
        struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)
    )


def inet6(address: str, port: int, family: int = INET6) -> bytes:
    """struct sockaddr_in6."""
    packed = socket.inet_pton(INET6, address)
    return struct.pack("=H", family) + struct.pack("!HI", port, 0) + packed + bytes(4)


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def connect(sock: socket.socket, address: bytes) -> None:
    """connect(2) with these very bytes."""
    _done(_C.connect(sock.fileno(), address, len(address)))


def bind(sock: socket.socket, address: bytes) -> None:
    """bind(2) with these very bytes."""
    _done(_C.bind(sock.fileno(), address, len(address)))


def send(sock: socket.socket, address: bytes | None, flags: int = 0, data: bytes = b"x") -> None:
    """sendto(2) with these very bytes."""
    _done(
        _C.sendto(
            sock.fileno(), data, len(data), flags, address, 0 if address is None else len(address)
        )
    )


def make(family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket. Made by a test before the label, or by an attempt under it."""
    return socket.socket(family, kind, protocol)


@contextlib.contextmanager
def listening(family: int = INET, kind: int = STREAM, protocol: int = 0) -> Iterator[int]:
    """The port of a listener on the family's loopback address, made by nobody's subject."""
    with make(family, kind, protocol) as sock:
        sock.bind(("127.0.0.1" if family == INET else "::1", 0))
        sock.listen(8)
        yield sock.getsockname()[1]


@contextlib.contextmanager
def receiving(family: int = INET) -> Iterator[socket.socket]:
    """A datagram socket on the loopback address; on all addresses for IPv6."""
    with make(family, DGRAM) as sock:
        sock.bind(("127.0.0.1" if family == INET else "::", 0))
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket) -> int:
    """How many datagrams are waiting."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(100)
            count += 1
    return count


def loopback_up() -> None:
    """The guest's loopback interface, which nobody else turned on."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def net(
    *rules: str,
    default: str = "allow",
    name: str = "p",
    mode: str = "enforce",
    subject: str = TREE,
) -> str:
    """A policy with a net section alone; rules one a line from FIRST_RULE_LINE on."""
    lines = ["version: 1", f"name: {name}", f"mode: {mode}", f"subject: {subject}", "net:"]
    lines += [f"  default: {default}", *(["  rules:"] if rules else [])]
    return "\n".join([*lines, *(f"    - {rule}" for rule in rules)]) + "\n"


def told(record: Record) -> tuple[object, ...]:
    """Verbs, verdict, errno, policy and rule of a record."""
    rule = record["rule"]
    return (
        record["verbs"],
        record["verdict"],
        record["error"],
        record["policy"]["name"],
        rule["id"] if rule else None,
    )


def spoken(record: Record) -> dict[str, object]:
    """What a record says of its socket, less what it does not say and the file's numbers."""
    found = record["object"]
    assert found["kind"] == "net"
    return {
        key: value
        for key, value in found.items()
        if key not in ("kind", "device", "inode") and value is not None
    }


def prove(
    enforcer: Enforcer,
    deny: str,
    act: object,
    arguments: Sequence[object],
    beside: Sequence[object],
    *,
    verb: str,
    reached: frozenset[int] = frozenset((0,)),
    **said: object,
) -> Attempt:
    """A denial of ``act(*arguments)`` by the rule ``deny`` (id it) with its twins.

    ``beside``: the neighbour's arguments; ``reached``: what the call comes to when
    nothing denies it; ``said``: what the record says of the socket.
    """
    assert callable(act)
    enforcer.enforce(net(deny), net(deny, name="q", mode="audit"))
    free = enforcer.attempt(act, *arguments, label=None)
    assert free.errno in reached and free.records == [], free
    watched = enforcer.attempt(act, *arguments, label=0b10)
    assert watched.errno in reached, watched
    assert told(watched.record) == ([verb], "would-deny", None, "q", "it")
    assert spoken(watched.record) == said
    neighbour = enforcer.attempt(act, *beside, label=0b01)
    assert neighbour.errno in reached and neighbour.records == [], neighbour
    denied = enforcer.attempt(act, *arguments, label=0b01)
    assert denied.errno == errno.EACCES, denied
    assert told(denied.record) == ([verb], "denied", "EACCES", "p", "it")
    assert spoken(denied.record) == said
    assert denied.record["reason"] == "policy"
    assert denied.record["process"]["pid"] == denied.pid
    return denied
