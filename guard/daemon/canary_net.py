# SPDX-License-Identifier: Apache-2.0
"""What a canary does at each hook of the net gate: a call that reaches the hook and,
not denied there, changes nothing that outlives it and sends nothing off this host.

Run in a process of its own. Each function raises PermissionError exactly where
the hook denies; other OSErrors are what the call comes to after the hook.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable

from guard.kernel.syscalls import Calls
from guard.wire.layout import Hook

# The discard service (RFC 863): to connect a datagram socket sends nothing.
_NOBODY = ("127.0.0.1", 9)


def _create(_: Calls) -> None:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()


def _bind(_: Calls) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((_NOBODY[0], 0))


def _make_node(_: Calls) -> None:
    directory = tempfile.mkdtemp(prefix="guard-canary-")
    try:
        os.mknod(os.path.join(directory, "socket"), stat.S_IFSOCK | 0o600)
    finally:
        shutil.rmtree(directory)


def _waiting() -> socket.socket:
    """A listener with a name that the kernel makes up (autobind, unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind("")
    sock.listen(1)
    return sock


def _listen(_: Calls) -> None:
    _waiting().close()


def _accept(_: Calls) -> None:
    with _waiting() as sock:
        sock.accept()


def _connect(_: Calls) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_NOBODY)


def _reach(_: Calls) -> None:
    with _waiting() as sock, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(sock.getsockname())


def _pair(kind: int, receive: bool) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with one, other:
        if receive:
            one.recv(1, socket.MSG_DONTWAIT)
        else:
            one.send(b"x")


DRIVERS: dict[Hook, Callable[[Calls], object]] = {
    Hook.SOCKET_CREATE: _create,
    Hook.SOCKET_BIND: _bind,
    Hook.PATH_MKNOD: _make_node,
    Hook.SOCKET_LISTEN: _listen,
    Hook.SOCKET_ACCEPT: _accept,
    Hook.SOCKET_CONNECT: _connect,
    Hook.SOCKET_SENDMSG: lambda _: _pair(socket.SOCK_STREAM, False),
    Hook.SOCKET_RECVMSG: lambda _: _pair(socket.SOCK_STREAM, True),
    Hook.UNIX_STREAM_CONNECT: _reach,
    Hook.UNIX_MAY_SEND: lambda _: _pair(socket.SOCK_DGRAM, False),
}
"""For each hook of the net gate but SCTP's, which takes a module that hosts seldom load."""
