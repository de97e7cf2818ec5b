# SPDX-License-Identifier: Apache-2.0
"""Events a second that one processor moves from a ring to chained JSON in a file.

Run as root, ``python -m tests.bench.events_capacity [--directory D] [--unique]``,
from the top of the source tree. Source and collector take turns on one
processor: a burst of events into the ring (tests/bench/events.bpf.c), then all
of it through guard's own way into the spool. Only the second is timed, in
processor time, so that other work on the machine costs little; the live rates
are tests.bench.events'.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.fast import Fast, slowly
from guard.audit.gather import Gatherer, Inlet, SpoolOutlet
from guard.audit.lifecycle import Lifecycle
from guard.audit.native import NativeFast
from guard.audit.origin import read_origin
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.ring import map_ring
from guard.audit.sequence import Sequences
from guard.audit.spool import Limits, Spool
from tests.bench.events import TEMPLATES, whole
from tests.bench.events_collector import Index
from tests.bench.events_source import RING_BYTES, Source

BURST = 2_000
LIMITS = Limits(bytes=4 << 30, segment_bytes=64 << 20)


def measure(formatter: str, rounds: int, directory: Path, unique: bool) -> list[float]:
    """Nanoseconds of processor an event, of each round. Raises AssertionError for any loss."""
    shutil.rmtree(directory, ignore_errors=True)
    source = Source(TEMPLATES, BURST, unique)
    clock, index = Clock(), Index()
    recorder = Recorder(clock, lambda _: index)
    slow = slowly(recorder, JsonRenderer(read_origin("bench@1")).line)
    fast = (NativeFast if formatter == "c" else Fast)(slow, clock, host_path=recorder.host_path)
    spool = Spool(directory, LIMITS)
    ring = map_ring(source.ring, RING_BYTES)
    gatherer = Gatherer(
        [Inlet(ring, SpoolOutlet(spool, "denials"))],
        fast,
        Lifecycle(read_origin("bench@1/guard"), clock),
        clock,
        Sequences(),
    )
    gc.freeze()
    took = []
    for _ in range(rounds):
        source.run()
        begun = time.thread_time_ns()
        while gatherer.collect():
            pass
        took.append((time.thread_time_ns() - begun) / BURST)
    attempts, dropped = source.counts()
    assert (attempts, dropped) == (rounds * BURST, 0)
    assert gatherer.counts().recorded == spool.written("denials") == attempts
    spool.close()
    assert whole(directory)
    ring.close()
    return took


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--directory", type=Path, default=Path("build/bench/spool"))
    parser.add_argument("--unique", action="store_true", help="a path of its own in every event")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {0})
    for formatter in ("python", "c"):
        took = measure(formatter, arguments.rounds, arguments.directory, arguments.unique)
        settled = sorted(took[len(took) // 5 :])
        low, middle = settled[len(settled) // 10], statistics.median(settled)
        print(
            f"{formatter:7} {middle:6,.0f} ns an event, tenth of rounds {low:6,.0f}: "
            f"{1e9 / middle:10,.0f} and {1e9 / low:10,.0f} events/s"
        )
    shutil.rmtree(arguments.directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
