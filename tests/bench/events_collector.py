# SPDX-License-Identifier: Apache-2.0
"""The collector that the benchmark of the audit stream measures, in a process of its own.

Run by tests.bench.events: ``python -m tests.bench.events_collector RING DIRECTORY FORMATTER``.
Moves what is in the ring into a spool until standard input ends, then says in
JSON what that took.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
import time
from pathlib import Path

started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

from guard.audit.clock import Clock  # noqa: E402 - importing is part of what is measured
from guard.audit.decode import Counters, Event  # noqa: E402
from guard.audit.fast import Fast, slowly  # noqa: E402
from guard.audit.gather import Gatherer, Inlet, SpoolOutlet  # noqa: E402
from guard.audit.lifecycle import Lifecycle  # noqa: E402
from guard.audit.origin import read_origin  # noqa: E402
from guard.audit.pace import rest  # noqa: E402
from guard.audit.record import Recorder, Resolution  # noqa: E402
from guard.audit.render_json import JsonRenderer  # noqa: E402
from guard.audit.ring import map_ring  # noqa: E402
from guard.audit.sequence import Sequences  # noqa: E402
from guard.audit.spool import Limits, Spool  # noqa: E402
from guard.audit.trail import Trail  # noqa: E402
from tests.bench.events_source import RING_BYTES  # noqa: E402

# Blocks in a row before everything else gets its turn, as in the daemon.
BLOCKS = 64
SETTLE_SECONDS = 1.0


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
    """Kilobytes: all that is resident, and without the ring and other shared mappings."""
    told = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile", "RssShmem"):
            told[name] = int(value.split()[0])
    return told


def main() -> None:
    """Collect until standard input ends."""
    ring_fd, directory, formatter = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    clock = Clock()
    index = Index()
    recorder = Recorder(clock, lambda _: index)
    slow = slowly(recorder, JsonRenderer(read_origin("bench@1")).line)
    fast: Fast
    if formatter == "c":
        from guard.audit.native import NativeFast

        fast = NativeFast(slow, clock, host_path=recorder.host_path)
    else:
        fast = Fast(slow, clock, host_path=recorder.host_path)
    limits = Limits(bytes=2 << 30, segment_bytes=64 << 20)
    spool = Spool(directory, limits)
    lifecycle = Lifecycle(read_origin("bench@1/guard"), clock)
    trail = Trail(spool, lifecycle, None)
    ring = map_ring(ring_fd, RING_BYTES)
    gatherer = Gatherer(
        [Inlet(ring, SpoolOutlet(spool, "denials"))], fast, lifecycle, clock, Sequences()
    )
    gc.freeze()
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    poll.register(ring_fd, select.POLLIN)
    first = 0
    ready = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    print(json.dumps({"ready": True}), flush=True)
    due = time.monotonic() + SETTLE_SECONDS
    spent = time.process_time()
    begun = time.monotonic()
    moved, looked = 0, begun
    while True:
        for _ in range(BLOCKS):
            if not (block := gatherer.collect()):
                break
            moved += block
            if not first:
                first = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        else:
            continue
        now = time.monotonic()
        if now >= due:
            trail.tick()
            due = now + SETTLE_SECONDS
        if any(fd == 0 for fd, _ in poll.poll(max(0, int((due - now) * 1000)))):
            break
        emptied = time.monotonic()
        time.sleep(rest(moved, emptied - looked))
        moved, looked = 0, emptied
    while gatherer.collect():
        pass
    told = {
        "cpu": time.process_time() - spent,
        "wall": time.monotonic() - begun,
        "start_ms": (ready - started) / 1e6,
        "first_ms": (first - started) / 1e6,
        "memory": memory(),
        "counts": vars_of(gatherer),
    }
    counts = gatherer.counts()
    gatherer.settle([Counters(counts.received, 0, 0, 0, 0, 0, 0)])
    trail.close()
    told["written"] = spool.written("denials")
    told["lost"] = spool.losses.total()
    print(json.dumps(told), flush=True)
    os._exit(0)


def vars_of(gatherer: Gatherer) -> dict[str, int]:
    """The gatherer's counts by name."""
    counts = gatherer.counts()
    return {name: getattr(counts, name) for name in counts.__slots__}


if __name__ == "__main__":
    main()
