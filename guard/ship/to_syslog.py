# SPDX-License-Identifier: Apache-2.0
"""Syslog over UDP, TCP and TLS: protocols that acknowledge nothing.

Knows sockets. UDP loses whatever the network loses. Over a stream a batch
counts as delivered when the receiving *host* has acknowledged all its bytes
(the kernel's send queue is empty) and the connection is not closed; what
remains is what the receiving *program* had not read when it died, and nobody
can know that: RELP (to_relp.py) can.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence

from guard.ship.sink import DELIVERED, Message, Outcome, Unavailable
from guard.ship.syslog_frame import octet_counted, syslog_message
from guard.ship.tls import TIMEOUT, Tls, connect, end

# How often the send queue is looked at while it is not empty: an ioctl of under 1 µs.
_LOOK_SECONDS = 0.002


class SyslogUdp:
    """A datagram for each record. ``is_syslog``: the bodies are RFC 5424 messages already."""

    def __init__(self, host: str, port: int, is_syslog: bool) -> None:
        self._where = f"{host}:{port}"
        self._is_syslog = is_syslog
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM
            )[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise Unavailable(f"{self._where}: {error.strerror or error}") from None
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"{self._where}: {error.strerror or error}") from None

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink. A record that is too long for a datagram is refused."""
        refused = {}
        for at, message in enumerate(batch):
            try:
                self._socket.send(syslog_message(message, self._is_syslog))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    refused[at] = "longer than a datagram can be"
                    continue
                because = f"{self._where}: {error.strerror or error}"
                if not at:
                    raise Unavailable(because) from None
                return Outcome(refused, range(at, len(batch)), because=because)
        return Outcome(refused)

    def close(self) -> None:
        """As in Sink."""
        self._socket.close()


class SyslogStream:
    """Octet-counted messages over TCP, or TLS if ``tls``."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: Tls | None,
        is_syslog: bool,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._where = f"{host}:{port}"
        self._is_syslog = is_syslog
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._socket = connect(host, port, tls, timeout)

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        data = b"".join(octet_counted(syslog_message(one, self._is_syslog)) for one in batch)
        try:
            self._hear()
            self._socket.sendall(data)
            self._arrived()
        except OSError as error:
            raise Unavailable(f"{self._where}: {error.strerror or error}") from None
        return DELIVERED

    def close(self) -> None:
        """As in Sink: in the way that loses nothing of what was sent."""
        end(self._socket)

    def _arrived(self) -> None:
        """Returns when the other host has acknowledged every byte. Raises OSError."""
        until = self._clock() + self._timeout
        while _unacknowledged(self._socket):
            if self._clock() > until:
                raise TimeoutError(None, f"not acknowledged in {self._timeout:g} s")
            self._sleep(_LOOK_SECONDS)
        self._hear()

    def _hear(self) -> None:
        """Reads what the receiver says, though syslog says nothing. Raises OSError if it closed.

        TLS 1.3 sends tickets, which must not lie there unread: see tls.end.
        """
        self._socket.setblocking(False)
        try:
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                if not self._socket.recv(65536):
                    raise ConnectionResetError(None, "the receiver closed the connection")
        finally:
            self._socket.settimeout(self._timeout)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes in the send queue: SIOCOUTQ, tcp(7)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
