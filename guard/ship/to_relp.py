# SPDX-License-Identifier: Apache-2.0
"""Syslog over RELP, which acknowledges every message after it was processed.

The protocol of librelp (relp.html in its documentation), the client's half:
frames ``TXNR SP COMMAND SP DATALEN [SP DATA] LF``, answers ``TXNR rsp LEN CODE TEXT``.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Sequence

from guard.ship.sink import Message, Outcome, Unavailable
from guard.ship.syslog_frame import syslog_message
from guard.ship.tls import TIMEOUT, Tls, connect, end

# Messages that may wait for their answer at once: librelp's own window.
WINDOW = 128

# Of an answer: its own text is short; the offer of the server is some hundred bytes.
_ANSWER_LIMIT = 65536

# Transaction numbers begin anew after this one: the protocol's limit.
_LAST_NUMBER = 999_999_999

_FRAME = re.compile(rb"(\d{1,9}) ([a-zA-Z]{1,32}) (\d{1,9})(?: |(?=\n))")
_CODE = re.compile(rb"(\d{3})(?: ([^\n]*))?")
_OFFER = b"relp_version=0\nrelp_software=guard\ncommands=syslog"


class Relp:
    """A RELP session over TCP, or TLS if ``tls``."""

    def __init__(
        self, host: str, port: int, tls: Tls | None, is_syslog: bool, timeout: float = TIMEOUT
    ) -> None:
        self._where = f"{host}:{port}"
        self._is_syslog = is_syslog
        self._number = 0
        self._rest = b""
        self._socket = connect(host, port, tls, timeout)
        try:
            number = self._write(b"open", _OFFER)
            answered, code, text = self._answer()
            if answered != number or code != 200:
                raise Unavailable(f"{self._where}: RELP session refused: {code} {text}")
        except Unavailable:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            raise self._unavailable(error) from None

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        waiting: dict[int, int] = {}
        refused: dict[int, str] = {}
        because = ""
        try:
            for at, message in enumerate(batch):
                while len(waiting) >= WINDOW:
                    self._settle(waiting, refused)
                data = syslog_message(message, self._is_syslog)
                waiting[self._write(b"syslog", data)] = at
            while waiting:
                self._settle(waiting, refused)
            return Outcome(refused)
        except OSError as error:
            because = str(self._unavailable(error))
        except Unavailable as error:
            because = str(error)
        # The session is broken; of what has no answer nobody knows.
        raise Unavailable(because)

    def close(self) -> None:
        """As in Sink."""
        with contextlib.suppress(OSError, Unavailable):
            self._write(b"close", b"")
            self._answer()
        end(self._socket, patience=1.0)

    def _settle(self, waiting: dict[int, int], refused: dict[int, str]) -> None:
        """Takes one answer in."""
        number, code, text = self._answer()
        at = waiting.pop(number, None)
        if at is None:
            raise Unavailable(f"{self._where}: an answer to message {number}, which nobody sent")
        if code != 200:
            refused[at] = f"{code} {text}"

    def _write(self, command: bytes, data: bytes) -> int:
        self._number = self._number % _LAST_NUMBER + 1
        body = b" " + data if data else b""
        self._socket.sendall(b"%d %b %d%b\n" % (self._number, command, len(data), body))
        return self._number

    def _answer(self) -> tuple[int, int, str]:
        """The next answer's message number, code and text. Raises OSError and Unavailable."""
        while True:
            found = _FRAME.match(self._rest)
            if found is not None:
                number, command, size = int(found[1]), found[2], int(found[3])
                if size > _ANSWER_LIMIT:
                    raise Unavailable(f"{self._where}: an answer of {size} bytes")
                whole = found.end() + size + 1
                if len(self._rest) >= whole:
                    data = self._rest[found.end() : whole - 1]
                    self._rest = self._rest[whole:]
                    if command == b"rsp":
                        return self._coded(number, data)
                    raise Unavailable(f"{self._where}: the receiver closed the session")
            elif len(self._rest) > 64:
                raise Unavailable(f"{self._where}: not RELP: {self._rest[:32]!r}")
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionResetError(None, "the receiver closed the connection")
            self._rest += more

    def _coded(self, number: int, data: bytes) -> tuple[int, int, str]:
        found = _CODE.match(data)
        if found is None:
            raise Unavailable(f"{self._where}: an answer without a code: {data[:32]!r}")
        return number, int(found[1]), (found[2] or b"").decode("utf-8", "replace")

    def _unavailable(self, error: OSError) -> Unavailable:
        if isinstance(error, socket.timeout):
            return Unavailable(f"{self._where}: no answer in time")
        return Unavailable(f"{self._where}: {error.strerror or error}")
