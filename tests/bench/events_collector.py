# SPDX-License-Identifier: Apache-2.0
"""The collector that the benchmark of the audit stream measures, in a process of its own.

Run by tests.bench.events:
``python -m tests.bench.events_collector RING STATE DIRECTORY FORMATTER``. It is
the daemon's own loop over the daemon's own parts, without programs to load:
moves what is in the ring into a spool until SIGTERM, then says in JSON what
that took.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

from guard.audit.clock import Clock  # noqa: E402 - importing is part of what is measured
from guard.audit.decode import Counters, Event  # noqa: E402
from guard.audit.enrich import enrichment  # noqa: E402
from guard.audit.fast import Fast, slowly  # noqa: E402
from guard.audit.gather import Gatherer, Inlet, SpoolOutlet  # noqa: E402
from guard.audit.lifecycle import Lifecycle  # noqa: E402
from guard.audit.oplog import make_logger  # noqa: E402
from guard.audit.origin import read_origin  # noqa: E402
from guard.audit.record import Recorder, Resolution  # noqa: E402
from guard.audit.render_json import JsonRenderer  # noqa: E402
from guard.audit.ring import RingReader, map_ring  # noqa: E402
from guard.audit.rings import Rings  # noqa: E402
from guard.audit.sequence import Sequences  # noqa: E402
from guard.audit.sink_file import StdoutSink  # noqa: E402
from guard.audit.spool import Limits, Spool  # noqa: E402
from guard.audit.trail import Trail  # noqa: E402
from guard.daemon import loop  # noqa: E402
from guard.kernel.libbpf import Libbpf  # noqa: E402
from tests.bench.events_source import RING_BYTES, read_counts  # noqa: E402


class Index:
    """One policy; the file systems are at the host's root."""

    denied = Resolution(
        "postgres", "enforce", "no-reports", "/etc/guard/postgres.yaml", 12, "leaked in May", (),
        ("T1005",),
    )  # fmt: skip

    def resolve(self, _event: Event) -> Resolution:
        return self.denied

    def host_path(self, _device: int, path: bytes) -> bytes | None:
        return path


def memory() -> dict[str, int]:
    """Kilobytes: anonymous ones, and all that is resident without the ring's two mappings."""
    told = {"anon": 0, "resident": 0}
    ring = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name and " " in name:
            ring = "bpf-map" in line
        elif name == "Rss" and not ring:
            told["resident"] += int(value.split()[0])
        elif name == "Anonymous" and not ring:
            told["anon"] += int(value.split()[0])
    return told


class Session:
    """What the daemon's loop needs of a session: the ring, its records, and a look each second."""

    def __init__(self, ring: RingReader, state: int, directory: Path, formatter: str) -> None:
        self._libbpf, self._state = Libbpf(), state
        clock = Clock()
        index = Index()
        self._enriched = enrichment(clock)
        recorder = Recorder(clock, lambda _: index, None, self._enriched.identities.target)
        render = JsonRenderer(read_origin("bench@1"), self._enriched.identities).line
        slow = slowly(recorder, render)
        fast: type[Fast] = Fast
        if formatter == "c":
            from guard.audit.native import NativeFast

            fast = NativeFast
        self.spool = Spool(directory, Limits(bytes=2 << 30, segment_bytes=64 << 20))
        lifecycle = Lifecycle(read_origin("bench@1/guard"), clock)
        self.trail = Trail(self.spool, lifecycle, None)
        self.ring = Rings([ring])
        self.collector = Gatherer(
            [Inlet(ring, SpoolOutlet(self.spool, "denials"))],
            fast(slow, clock, lambda: self._enriched.identities.version, recorder.host_path),
            lifecycle,
            clock,
            Sequences(),
            self.trail.tick,
        )

    def settle(self) -> None:
        """As guard.daemon.session does."""
        self._enriched.settle()
        attempts, dropped = read_counts(self._libbpf, self._state)
        self.collector.settle([Counters(attempts, dropped, 0, 0, 0, 0, 0)])


def main() -> None:
    """Collect until SIGTERM."""
    ring, state, directory, formatter = *map(int, sys.argv[1:3]), Path(sys.argv[3]), sys.argv[4]
    loop.hold_signals()
    session = Session(map_ring(ring, RING_BYTES), state, directory, formatter)
    first = 0

    def collect(_limit: int = 0) -> int:
        """The first batch by a way of its own, so that the others are not slower."""
        nonlocal first
        if moved := Gatherer.collect(session.collector):
            first = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            del session.collector.collect
        return moved

    session.collector.collect = collect  # type: ignore[method-assign]
    gc.freeze()
    ready = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    print(json.dumps({"ready": True}), flush=True)
    spent = time.process_time()
    begun = time.monotonic()
    log = make_logger(StdoutSink(2), "warning")
    loop.serve(session, None, log)  # type: ignore[arg-type]
    while session.collector.collect():
        pass
    told = {
        "cpu": time.process_time() - spent,
        "wall": time.monotonic() - begun,
        "start_ms": (ready - started) / 1e6,
        "first_ms": (first - started) / 1e6,
        "memory": memory(),
        "counts": vars_of(session.collector),
    }
    session.settle()
    session.trail.close()
    told["written"] = session.spool.written("denials")
    told["lost"] = session.spool.losses.total()
    print(json.dumps(told), flush=True)
    os._exit(0)


def vars_of(gatherer: Gatherer) -> dict[str, int]:
    """The gatherer's counts by name."""
    counts = gatherer.counts()
    return {name: getattr(counts, name) for name in counts.__slots__}


if __name__ == "__main__":
    main()
