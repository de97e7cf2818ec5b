# SPDX-License-Identifier: Apache-2.0
"""What the kernel tests that work below the command line share: an instance of
guard's own in the kernel, switched from one policy set to the next, and C
programs under its policies. Knows nothing of what a test asserts.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from guard.audit.decode import Counters, Decoder, Event
from guard.audit.decode import counters as decode_counters
from guard.audit.ring import map_ring
from guard.audit.rings import Rings
from guard.kernel import engine, features, pins
from guard.kernel.engine import Engine
from guard.kernel.labels import Label
from guard.kernel.libbpf import Libbpf
from guard.plan.encode import Tables, encode
from guard.plan.host import HostPlan, build_host_plan
from guard.plan.mounts import parse_mountinfo
from guard.policy.model import Policy

SOURCES = Path(__file__).with_name("lab")
MOUNTINFO = Path("/proc/self/mountinfo")


def compile_program(name: str, into: Path) -> Path:
    """The C program ``name`` of the folder lab/, compiled with whatever compiler is here."""
    compiler = next(found for one in ("cc", "clang", "gcc") if (found := shutil.which(one)))
    program = into / name
    subprocess.run(
        [compiler, "-O1", "-Wall", "-pthread", "-o", program, SOURCES / f"{name}.c"], check=True
    )
    return program


def host_plan(policies: Sequence[Policy]) -> HostPlan:
    """The policies compiled for this machine's mounts as they are now."""
    return build_host_plan(policies, parse_mountinfo(MOUNTINFO.read_bytes()))


@dataclass
class Lab:
    """An instance in the kernel and the only reader of its ring."""

    engine: Engine
    ring: Rings
    generation: int = 1
    plan: HostPlan | None = None
    _event: Decoder = field(default_factory=Decoder)

    def put(self, plan: HostPlan) -> None:
        """Switch to a plan, as the next generation."""
        self.plan = plan
        self.generation += 1
        self.engine.switch(encode(plan, self.generation))

    def label(self, pid: int, mask: int) -> None:
        self.engine.labels.set(pid, Label(mask))

    def events(self) -> list[Event]:
        """What is in the rings now, in the order of time."""
        raws: list[bytes] = []
        while more := self.ring.drain(256):
            raws += more
            self.ring.release()
        self.ring.release()
        found = [self._event.event(raw) for raw in raws]
        return sorted(found, key=lambda event: event.boot_ns)

    def counters(self) -> list[Counters]:
        """Each CPU's counters."""
        return [decode_counters(raw) for raw in self.engine.counters()]


@contextmanager
def loaded(
    name: str, bits: int = 18, ring_bytes: int = engine.RING_BYTES, first: Tables | None = None
) -> Iterator[Lab]:
    """An instance with no policy in force, of the size class ``bits``; gone afterwards."""
    pins.require_bpffs(MOUNTINFO.read_text(errors="surrogateescape"))
    libbpf = Libbpf()
    found = features.probe(libbpf, os.uname().release)
    tables = first or encode(host_plan([]), 1)
    chosen = engine.choose_gates(found, [])
    running = engine.load(libbpf, found, name, tables, bits, chosen, ring_bytes=ring_bytes)
    try:
        ring = Rings([map_ring(running.maps[pin], ring_bytes) for pin in engine.RINGS])
        try:
            yield Lab(running, ring)
        finally:
            ring.close()
    finally:
        pins.remove(running.instance)
        running.close()


@contextmanager
def tmpfs(at: Path) -> Iterator[Path]:
    """A file system of its own at ``at``, so that it has a device of its own."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "guard-lab", at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)
        at.rmdir()


class Attempts:
    """A process that opens paths under a label (lab/attempts.c)."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1
        )
        self.pid = self._process.pid

    def __enter__(self) -> Attempts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def open_all(self, wanted: Sequence[tuple[int, bytes]]) -> list[int]:
        """Open each (flags, path) in order; the errno of each, 0 for success."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(struct.pack("=I", len(wanted)))
        for flags, path in wanted:
            stdin.write(struct.pack("=II", flags, len(path)) + path)
        stdin.flush()
        assert stdout.read(1) == b"r"
        stdin.write(b"!")
        stdin.flush()
        answer = stdout.read(4 * len(wanted))
        return list(struct.unpack(f"={len(wanted)}i", answer))


class Tally(NamedTuple):
    """What became of one path's opens."""

    attempts: int
    opened: int
    denied: int
    absent: int
    other: int


class Openers:
    """Processes that open, rename and fork beside each other (lab/openers.c).

    ``nice``: how far they stand back behind the test that they run beside.
    """

    def __init__(self, program: Path, *roles: str, nice: int = 0) -> None:
        self._process = subprocess.Popen(
            ["nice", "-n", str(nice), program, *roles],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"
        self.pid = self._process.pid

    def go(self) -> None:
        """Begin; what they do is under the label that ``pid`` has now."""
        assert self._process.stdin
        self._process.stdin.write(b"g")
        self._process.stdin.flush()

    def stop(self) -> list[Tally]:
        """End them all; each path's counts, in the order of the roles."""
        output, _ = self._process.communicate()
        assert self._process.returncode == 0, self._process.returncode
        return [Tally(*map(int, line.split())) for line in output.splitlines()]

    def __enter__(self) -> Openers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.communicate()
