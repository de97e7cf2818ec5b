# SPDX-License-Identifier: Apache-2.0
"""The event source of the audit stream's benchmark: a tc program, run by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from guard.kernel.libbpf import Libbpf
from guard.wire.layout import EVENT
from tests.audit.samples import wire_event

SOURCE = Path(__file__).with_name("events.bpf.c")
BUILD = Path("build/bench")
CLANG = ("clang", "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall")
RING_BYTES = 16 << 20
# As in events.bpf.c.
NAMES = 128
PROCESSES = 16

_STATE = struct.Struct("<QQIIII")
_KEY = bytes(4)


def build() -> Path:
    """Compile the source."""
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / "events.bpf.o"
    multiarch = subprocess.run(
        ["cc", "-print-multiarch"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(
        [*CLANG, f"-I/usr/include/{multiarch}", "-c", str(SOURCE), "-o", str(target)],
        check=True,
    )
    return target


def events(count: int) -> list[bytes]:
    """Denied and audited opens of ``count`` files by 16 processes."""
    made = []
    for number in range(count):
        denied = number % 2
        path = f"/srv/data/projects/team-{number % 7}/reports/{number:08}"
        made.append(
            wire_event(
                path=path.encode(),
                exe=b"/usr/lib/postgresql/15/bin/postgres",
                comm=b"postgres",
                inode=1_000_000 + number,
                pid=1000 + number % PROCESSES,
                tid=1000 + number % PROCESSES,
                denied=denied,
                by_rule=denied,
                enforced=denied,
                error=-13 * denied,
                audited=1 - denied,
            )
        )
    return made


class Source:
    """Loaded; ``ring`` and ``state`` are its maps' descriptors. Needs root."""

    def __init__(self, templates: int, burst: int, unique: bool) -> None:
        self._libbpf = libbpf = Libbpf()
        handle = libbpf.object_open(str(build()))
        libbpf.object_load(handle)
        self._program = libbpf.program_fd(libbpf.object_program(handle, "events"))
        self.ring = libbpf.map_fd(libbpf.object_map(handle, "ring"))
        self.state = libbpf.map_fd(libbpf.object_map(handle, "sources"))
        table = libbpf.map_fd(libbpf.object_map(handle, "templates"))
        size = EVENT.size + NAMES
        for number, event in enumerate(events(templates)):
            libbpf.map_update(table, number.to_bytes(4, "little"), event.ljust(size, b"\0"), "t")
        self._write(_STATE.pack(0, 0, burst, templates, unique, 0))

    def run(self) -> None:
        """One burst of events."""
        self._libbpf.test_run(self._program, bytes(64))

    def counts(self) -> tuple[int, int]:
        """Events so far, and how many of them the ring had no room for."""
        return read_counts(self._libbpf, self.state)

    def _write(self, value: bytes) -> None:
        self._libbpf.map_update(self.state, _KEY, value, "state")


def read_counts(libbpf: Libbpf, state: int) -> tuple[int, int]:
    """``Source.counts`` for whoever has the descriptor."""
    value = libbpf.map_lookup(state, _KEY, _STATE.size, "state")
    assert value is not None
    attempts, dropped, *_ = _STATE.unpack(value)
    return attempts, dropped
