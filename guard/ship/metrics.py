# SPDX-License-Identifier: Apache-2.0
"""The workers' counts in Prometheus' text form: to a file, and over a UNIX socket.

Knows the form (version 0.0.4) and files; nothing of sinks. No port is opened.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from guard.ship.stats import Stats

# Name, type, help, and the member of Stats.
_METRICS = (
    ("up", "gauge", "1 if the last delivery succeeded, 0 if not", "up"),
    ("read_records_total", "counter", "Records taken from the spool", "read"),
    ("delivered_records_total", "counter", "Records that the receiver took", "delivered"),
    ("delivered_bytes_total", "counter", "Bytes of their bodies, before compression", "bytes"),
    ("refused_records_total", "counter", "Records in the dead-letter file", "refused"),
    ("dropped_records_total", "counter", "Of those, removed to make room", "dropped"),
    ("sends_total", "counter", "Requests that were answered", "sends"),
    ("failures_total", "counter", "Tries that failed", "failures"),
    ("expired_records_total", "counter", "Records evicted from the spool before", "expired"),
    ("damaged_records_total", "counter", "Records that the spool could not read", "damaged"),
    ("in_hand_records", "gauge", "Records read and not acknowledged", "in_hand"),
    ("backlog_records", "gauge", "Records not read yet", "backlog_records"),
    ("backlog_bytes", "gauge", "Bytes of them in the spool", "backlog_bytes"),
    ("last_success_timestamp_seconds", "gauge", "When a delivery last succeeded", "last_success"),
    ("failing_since_timestamp_seconds", "gauge", "Since when it fails, else 0", "failing_since"),
)

# Bytes of a request that are read; what it asks for does not matter.
_REQUEST_LIMIT = 8192
_PATIENCE = 2.0


def render(stats: Mapping[str, Stats]) -> bytes:
    """All counts, one family after the other."""
    lines = []
    for name, kind, meaning, member in _METRICS:
        lines.append(f"# HELP guard_ship_{name} {meaning}.")
        lines.append(f"# TYPE guard_ship_{name} {kind}")
        for sink, one in stats.items():
            value = getattr(one, member)
            shown = f"{value:.3f}" if isinstance(value, float) else f"{int(value)}"
            lines.append(f'guard_ship_{name}{{sink="{sink}"}} {shown}')
    return "\n".join(lines).encode() + b"\n"


def write_file(path: Path, data: bytes) -> None:
    """Replaces the file in one step, readable by all: who scrapes it is another user.

    Raises OSError.
    """
    beside = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(beside, flags, 0o644)
    try:
        os.fchmod(file, 0o644)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)
    os.rename(beside, path)


class MetricsSocket:
    """Answers every connection with the metrics, one at a time, in a thread of its own.

    ``mode`` is the socket's: its group may ask. Raises OSError if the path cannot be bound.
    """

    def __init__(self, path: Path, answer: Callable[[], bytes], mode: int = 0o660) -> None:
        self._path = path
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            if path.is_socket():  # of a run that was killed
                path.unlink()
            # Bound under a name that nobody asks for, so that the mode is right from the start.
            beside = path.with_name(f".{path.name}.new")
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
            self._socket.bind(os.fspath(beside))
            os.chmod(beside, mode)
            self._socket.listen(4)
            os.rename(beside, path)
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._serve, name="guard-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops answering and removes the socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread out of accept
        self._socket.close()
        self._thread.join(_PATIENCE + 1.0)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                if not _alive(self._socket):
                    return
                continue
            # Whoever connects and says nothing holds up other scrapers for this long only.
            with caller, contextlib.suppress(OSError):
                caller.settimeout(_PATIENCE)
                caller.recv(_REQUEST_LIMIT)
                body = self._answer()
                caller.sendall(
                    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
                )


def _alive(listener: socket.socket) -> bool:
    """Whether the listening socket still listens: it does not after ``close`` began."""
    try:
        return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
