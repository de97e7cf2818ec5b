# SPDX-License-Identifier: Apache-2.0
"""What a record costs beyond its event: enrichment, and its renderings to other formats.

Run as ``python -m tests.bench.records [rounds]`` from the top of the source
tree. Prints least and median processor time of a thread over the rounds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from guard.audit import identity
from guard.audit.clock import Clock
from guard.audit.decode import Decoder
from guard.audit.devices import LocalDevices
from guard.audit.enrich import enrichment
from guard.audit.hashes import Hashes
from guard.audit.record import Recorder
from guard.audit.render_cef import render_cef
from guard.audit.render_ecs import render_ecs
from guard.audit.render_json import JsonRenderer
from guard.audit.render_ocsf import render_ocsf
from guard.audit.render_rfc5424 import render_rfc5424
from tests.audit.records import FixedIdentity, decisions
from tests.audit.samples import ORIGIN, FakeIndex, fixed_clock, wire_event

CALLS = 2000


def microseconds(call: Callable[[], object], rounds: int) -> str:
    """Least and median time of one call."""
    times = []
    for _ in range(rounds):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            call()
        times.append((time.thread_time_ns() - began) / CALLS / 1000)
    return f"{min(times):9.2f} {statistics.median(times):9.2f}"


def main(rounds: int) -> None:
    """Print a line for each."""
    identity.LOOKUPS = 10**9  # all are looked up: this is what the limit is for
    clock = Clock()
    pieces = enrichment(clock).identities
    pid, parent = os.getpid(), os.getppid()
    start = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    fresh = itertools.count()
    own = os.fsencode(Path(sys.executable).resolve())
    status = os.stat(own)
    device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    hashes = Hashes(clock.wall_ns, LocalDevices())
    index = FakeIndex()
    recorder = Recorder(fixed_clock(), lambda _generation: index)
    plain, told = JsonRenderer(ORIGIN), JsonRenderer(ORIGIN, FixedIdentity())
    event = Decoder().event(wire_event())
    record = decisions(FixedIdentity())["open"]
    cases: dict[str, Callable[[], object]] = {
        "identity, known process": lambda: pieces.fragment(pid, start, parent, 0, 0, 1, 1, 1),
        "identity, new process": lambda: pieces.fragment(
            pid, start, parent, 0, 0, 1, 1, next(fresh)
        ),
        "hash, known file": lambda: hashes.of(own, device, status.st_ino, 2**62),
        "event to record": lambda: recorder.record(event),
        "record to JSON, without identity": lambda: plain.line(recorder.record(event)),
        "record to JSON, with identity": lambda: told.line(recorder.record(event)),
        "JSON to OCSF": lambda: render_ocsf(record),
        "JSON to ECS": lambda: render_ecs(record),
        "JSON to CEF": lambda: render_cef(record),
        "JSON to RFC 5424": lambda: render_rfc5424(record),
    }
    print(f"{'microseconds of one':36} {'least':>9} {'median':>9}")
    for name, call in cases.items():
        print(f"{name:36} {microseconds(call, rounds)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
