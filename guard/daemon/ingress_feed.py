# SPDX-License-Identifier: Apache-2.0
"""The attendant's records, told to whoever of root's processes listens.

An abstract UNIX socket: it is of the network namespace that the filter is in,
and goes with the process. Who does not read fast enough is let go.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from guard.errors import HostError

# Listeners at once; more is a mistake.
_MOST = 16

# struct ucred, unix(7)
_CREDENTIALS = struct.Struct("=3i")


def _name(instance: str) -> str:
    return f"\0guard-ingress-{instance}"


class Feed:
    """The telling end."""

    def __init__(self, instance: str) -> None:
        """Where another process has the name, nobody is told: its listeners stay its own."""
        self._listen = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listen.setblocking(False)
        try:
            self._listen.bind(_name(instance))
        except OSError:
            # Whoever attended before may still be on its way out.
            self._listen.close()
            self._listen = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            self._listen.listen(_MOST)
        self._listeners: list[socket.socket] = []

    def fileno(self) -> int:
        """Readable when somebody wants to listen."""
        return self._listen.fileno()

    def welcome(self) -> None:
        """Take in who wants to listen; only root may."""
        while len(self._listeners) < _MOST:
            try:
                one, _ = self._listen.accept()
            except OSError:
                return
            raw = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(raw)[1] != 0:
                one.close()
                continue
            one.setblocking(False)
            self._listeners.append(one)

    def tell(self, lines: Sequence[bytes]) -> None:
        """Send lines to all who listen."""
        if not lines or not self._listeners:
            return
        data = b"\n".join(lines) + b"\n"
        for one in list(self._listeners):
            try:
                whole = one.send(data) == len(data)
            except OSError:
                whole = False
            if not whole:
                self._listeners.remove(one)
                one.close()

    def close(self) -> None:
        """End it."""
        for one in (*self._listeners, self._listen):
            one.close()


def subscribe(instance: str, pid: int) -> Iterator[dict[str, Any]]:
    """Records of the attendant ``pid`` as they come, until it ends. Raises HostError.

    Anybody may have taken the name before it: only that process is listened to.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as ask:
        try:
            ask.connect(_name(instance))
        except OSError as error:
            raise HostError(
                f"whoever attends the filter does not answer: {error.strerror}",
                remedy="its log has the records",
            ) from None
        raw = ask.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(raw)[:2] != (pid, 0):
            raise HostError(
                "another process has taken the name under which the filter's records are told",
                remedy=f"its pid is {_CREDENTIALS.unpack(raw)[0]}; the attendant's log has them",
            )
        with ask.makefile("rb") as stream:
            for text in stream:
                record = json.loads(text)
                assert isinstance(record, dict)
                yield record
