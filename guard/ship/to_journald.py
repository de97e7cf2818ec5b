# SPDX-License-Identifier: Apache-2.0
"""Records into systemd's journal, each with fields that journalctl can search by.

The native protocol (systemd.io, "Native Journal Protocol"): one datagram per
record, or, where that is too large for the socket, a sealed memory file passed
over it. The journal acknowledges nothing. A datagram that was taken waits in a
socket that systemd keeps open while journald restarts; journald itself drops
what is over a unit's rate limit (LogRateLimitIntervalSec= in the shipper's unit).
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guard.audit.reading import Level, get, level
from guard.ship.sink import DELIVERED, Message, Outcome, Unavailable

SOCKET = "/run/systemd/journal/socket"

_PRIORITIES = {Level.INFORMATION: b"6", Level.NOTICE: b"5", Level.WARNING: b"4", Level.ERROR: b"3"}
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

# Seconds to wait for journald to read on before the batch is tried again later.
_PATIENCE = 10.0

# Field of the journal -> where the flat record has it.
FIELDS = {
    b"GUARD_EVENT": ("event",),
    b"GUARD_VERDICT": ("verdict",),
    b"GUARD_REASON": ("reason",),
    b"GUARD_POLICY": ("policy", "name"),
    b"GUARD_RULE": ("rule", "id"),
    b"GUARD_PATH": ("object", "path"),
    b"GUARD_ADDRESS": ("object", "address"),
    b"GUARD_PORT": ("object", "port"),
    b"GUARD_EXE": ("process", "exe"),
    b"GUARD_COMM": ("process", "comm"),
    b"GUARD_USER": ("process", "user"),
    b"GUARD_UNIT": ("process", "unit"),
    b"OBJECT_PID": ("process", "pid"),
}


class Journald:
    """Sends to the journal's socket."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"{path}: {error.strerror}") from None

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        for at, message in enumerate(batch):
            try:
                self._entry(entry(message))
            except OSError as error:
                if not at:
                    raise Unavailable(f"{self._path}: {error.strerror or error}") from None
                because = f"{self._path}: {error.strerror or error}"
                return Outcome(again=range(at, len(batch)), because=because)
        return DELIVERED

    def close(self) -> None:
        """As in Sink."""
        self._socket.close()

    def _entry(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._by_file(data)

    def _by_file(self, data: bytes) -> None:
        file = os.memfd_create("guard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))
            self._socket.sendmsg([], [passed])
        finally:
            os.close(file)


def entry(message: Message) -> bytes:
    """A record as the journal's fields: MESSAGE is the body in the sink's format."""
    return b"".join(_fields(message))


def _fields(message: Message) -> Iterator[bytes]:
    record = message.record
    yield _field(b"MESSAGE", message.body)
    yield _field(b"PRIORITY", _PRIORITIES[level(record)])
    yield _field(b"SYSLOG_IDENTIFIER", b"guard")
    yield _field(b"GUARD_ID", message.id.encode())
    for name, members in FIELDS.items():
        value = _exact(record, members)
        if value is not None:
            yield _field(name, value)
    tags = get(record, "rule", "tags")
    for tag in tags if isinstance(tags, list) else ():
        yield _field(b"GUARD_TAG", str(tag).encode("utf-8", "replace"))


def _exact(record: Mapping[str, Any], members: tuple[str, ...]) -> bytes | None:
    """A member's value; of a name that is not UTF-8 its very bytes, which the journal can hold."""
    *groups, last = members
    exact = get(record, *groups, f"{last}_hex")
    if isinstance(exact, str):
        try:
            return bytes.fromhex(exact)
        except ValueError:
            pass
    value = get(record, *members)
    return None if value is None else str(value).encode("utf-8", "replace")


def _field(name: bytes, value: bytes) -> bytes:
    """Always with the length before the value: then no byte of it can begin another field."""
    return b"%b\n%b%b\n" % (name, len(value).to_bytes(8, "little"), value)
