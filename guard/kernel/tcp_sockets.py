# SPDX-License-Identifier: Apache-2.0
"""The TCP sockets of this network namespace, as proc(5) tells them. Reads only."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")

LISTEN = "listen"
ESTABLISHED = "established"

# include/net/tcp_states.h
_STATES = {
    1: ESTABLISHED,
    2: "syn-sent",
    3: "syn-recv",
    4: "fin-wait-1",
    5: "fin-wait-2",
    6: "time-wait",
    7: "close",
    8: "close-wait",
    9: "last-ack",
    10: LISTEN,
    11: "closing",
    12: "new-syn-recv",
}


class TcpSocket(NamedTuple):
    """One socket: its two ends, addresses as text, its state in words and its inode."""

    local: str
    local_port: int
    remote: str
    remote_port: int
    state: str
    inode: str


def tcp_sockets(proc: Path = PROC) -> Iterator[TcpSocket]:
    """Every TCP socket: /proc/net/tcp and tcp6. Lines that are not understood are left out."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                with contextlib.suppress(ValueError, IndexError, OSError):
                    state = _STATES.get(int(words[3], 16), words[3])
                    yield TcpSocket(*_end(words[1]), *_end(words[2]), state, words[9])


def _end(text: str) -> tuple[str, int]:
    """An address and port as /proc/net/tcp writes them: words of host order, in hexadecimal."""
    digits, _, port = text.partition(":")
    raw = b"".join(
        struct.pack("=I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8)
    )
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
