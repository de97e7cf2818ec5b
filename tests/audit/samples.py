# SPDX-License-Identifier: Apache-2.0
"""What the audit tests share: events as the kernel would write them, rings in
plain memory, and fakes for what the daemon injects.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence

from guard.audit.clock import Clock
from guard.audit.decode import Event
from guard.audit.origin import Origin
from guard.audit.record import Resolution
from guard.audit.ring import BUSY, DISCARD, RingReader
from guard.audit.sinks import SinkError
from guard.wire.layout import EVENT

SECOND = 1_000_000_000
ORIGIN = Origin("web-1", "0123456789abcdef0123456789abcdef", "b0071d", "e1")

EVENT_VALUES: dict[str, object] = {
    "sequence": 7,
    "boot_ns": 5 * SECOND + 42_000,
    "policies": 0b11,
    "denied": 0b01,
    "by_rule": 0b01,
    "enforced": 0b01,
    "audited": 0,
    "killed": 0,
    "section": 0,
    "operation": 0,
    "target": 0,
    "suppressed": 0,
    "family": 0,
    "type": 0,
    "protocol": 0,
    "port": 0,
    "inode": 1234,
    "exe_inode": 77,
    "cgroup": 2**60 + 1,
    "start_ns": 3 * SECOND,
    "generation": 4,
    "hook": 0,
    "verbs": 0b011,
    "reason": 0,
    "cpu": 1,
    "flags": 0,
    "error": -13,
    "device": 8 << 20 | 1,
    "exe_device": 8 << 20 | 2,
    "pid": 100,
    "tid": 101,
    "parent": 1,
    "uid": 33,
    "gid": 34,
}


def backwards(path: bytes) -> bytes:
    """A path as the kernel writes it: names leaf first, each followed by '/'."""
    return b"".join(name + b"/" for name in reversed(path.split(b"/")[1:]) if path != b"/")


def wire_event(
    path: bytes = b"/etc/shadow",
    exe: bytes = b"/usr/bin/cat",
    comm: bytes = b"cat",
    class_id: Sequence[int] = (1, 2, 3, 4),
    second: bytes = b"",
    address: bytes = b"",
    abstract: bytes | None = None,
    **values: object,
) -> bytes:
    """The bytes of one event. ``path``, ``second`` and ``exe`` are absolute; ``abstract``,
    if given, stands in the path's place as it is; other fields are as in wire.h.
    """
    names = backwards(path) if abstract is None else abstract
    exe_names = backwards(exe)
    second_names = backwards(second) if second else b""
    fields = {
        **EVENT_VALUES,
        **values,
        "path_size": len(names),
        "second_size": len(second_names),
        "exe_size": len(exe_names),
        "address_size": len(address),
    }
    record = bytearray(EVENT.size)
    for name, value in fields.items():
        field = EVENT.fields[name]
        struct.pack_into("<" + field.code, record, field.offset, value)
    struct.pack_into("<4I", record, EVENT.fields["class_id"].offset, *class_id)
    struct.pack_into("16s", record, EVENT.fields["comm"].offset, comm)
    struct.pack_into("16s", record, EVENT.fields["address"].offset, address)
    return bytes(record) + names + second_names + exe_names


class Ring:
    """The kernel's end of a ring in plain memory, data twice as the mapping shows it."""

    PAGE = 4096

    def __init__(self, size: int = 4096, start: int = 0) -> None:
        self.size = size
        self.consumer = mmap.mmap(-1, self.PAGE)
        self.producer = mmap.mmap(-1, self.PAGE + 2 * size)
        struct.pack_into("=Q", self.consumer, 0, start)
        struct.pack_into("=Q", self.producer, 0, start)

    def reader(self) -> RingReader:
        views = memoryview(self.consumer), memoryview(self.producer).toreadonly()
        return RingReader(*views, page=self.PAGE)

    def consumed(self) -> int:
        return int.from_bytes(self.consumer[:8], "little")

    def produced(self) -> int:
        return int.from_bytes(self.producer[:8], "little")

    def reserve(self, data: bytes) -> int | None:
        """Writes a record that is not committed; its position, None if there is no room."""
        at = self.produced()
        step = (len(data) + 8 + 7) & ~7
        if at + step - self.consumed() > self.size:
            return None
        self._write(at, struct.pack("=II", len(data) | BUSY, 0) + data)
        struct.pack_into("=Q", self.producer, 0, at + step)
        return at

    def commit(self, at: int, discard: bool = False) -> None:
        length = struct.unpack_from("=I", self.producer, self.PAGE + at % self.size)[0]
        length &= ~BUSY
        self._write(at, struct.pack("=I", length | (DISCARD if discard else 0)))

    def send(self, data: bytes) -> bool:
        at = self.reserve(data)
        if at is not None:
            self.commit(at)
        return at is not None

    def _write(self, at: int, data: bytes) -> None:
        first = at % self.size
        for begin, part in ((first, data[: self.size - first]), (0, data[self.size - first :])):
            for base in (self.PAGE, self.PAGE + self.size):
                self.producer[base + begin : base + begin + len(part)] = part


class FakeIndex:
    """One policy with one rule; file systems of device 8:1 and 8:2 are at the host's root."""

    resolution = Resolution(
        "nginx",
        "enforce",
        "no-shadow",
        "nginx.yaml",
        12,
        "credential theft",
        ("base",),
        ("T1003.008",),
    )

    def resolve(self, event: Event) -> Resolution:
        if event.denied >> 2:
            raise KeyError(event.denied)
        return self.resolution

    def host_path(self, device: int, path: bytes) -> bytes | None:
        return path if device in (8 << 20 | 1, 8 << 20 | 2) else None


class ListSink:
    """Keeps lines; refuses the last ``refuse`` of each batch while that is not zero."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.refuse = 0
        self.closed = False

    def emit(self, batch: Sequence[bytes]) -> None:
        lost = min(self.refuse, len(batch))
        self.lines += batch[: len(batch) - lost]
        if lost:
            raise SinkError("refused", lost)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def fixed_clock() -> Clock:
    """Boot was at 2026-03-16 09:05:00 UTC; now is ten seconds later."""
    boot = 1_773_651_900 * SECOND
    return Clock(lambda: (boot + 10 * SECOND, 10 * SECOND))
