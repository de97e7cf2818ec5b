# SPDX-License-Identifier: Apache-2.0
"""Events a second from a ring to chained JSON in a file, on one processor.

Run as root, ``python -m tests.bench.events [--seconds N] [--directory D]
[--json FILE]``, from the top of the source tree. The source is a tc program
that writes struct guard_event records as the LSM programs do; it runs on one
processor and the collector (tests.bench.events_collector) on another. A rate
holds if every event is in the file: the source's counters, the collector's
and the spool's agree and the chain is judged whole.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from guard.audit.checkpoint import Line
from guard.audit.spool_files import segments
from guard.audit.verify import verify
from tests.bench.events_source import Source

COLLECTOR = ("taskset", "-c", "0", sys.executable, "-m", "tests.bench.events_collector")
# As installed: compiled once, and not at every start.
_UNCOMPILED = ("PYTHONDONTWRITEBYTECODE",)
COMPILED = {name: value for name, value in os.environ.items() if name not in _UNCOMPILED}
COMPILED["PYTHONPYCACHEPREFIX"] = os.path.abspath("build/bench/compiled")
BURST = 250
TEMPLATES = 1024
RATES = (0, 10_000, 100_000, 400_000, 500_000, 600_000, 700_000, 1_000_000, 1_200_000)


def measure(
    formatter: str, rate: int, seconds: float, directory: Path, unique: bool
) -> dict[str, Any]:
    """One collector at one rate of events a second; what it took and whether all arrived."""
    shutil.rmtree(directory, ignore_errors=True)
    source = Source(TEMPLATES, BURST, unique)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    collector = subprocess.Popen(
        [*COLLECTOR, str(source.ring), str(source.state), str(directory), formatter],
        stdout=subprocess.PIPE,
        pass_fds=[source.ring, source.state],
        env=COMPILED,
        text=True,
    )
    assert collector.stdout is not None
    collector.stdout.readline()
    begun = time.perf_counter()
    if rate:
        made = 0
        while (elapsed := time.perf_counter() - begun) < seconds:
            if made < elapsed * rate:
                source.run()
                made += BURST
            elif rate < 100_000:
                time.sleep(0.001)
    else:
        time.sleep(seconds)
    lasted = time.perf_counter() - begun
    collector.send_signal(signal.SIGTERM)
    told: dict[str, Any] = json.loads(collector.stdout.readline())
    collector.wait()
    attempts, dropped = source.counts()
    told |= {
        "formatter": formatter,
        "unique": unique,
        "asked": rate,
        "rate": attempts / lasted,
        "attempts": attempts,
        "dropped": dropped,
        "accounted": attempts == dropped + told["counts"]["recorded"],
        "share": told["cpu"] / told["wall"],
        "ns": told["cpu"] / max(1, told["counts"]["recorded"]) * 1e9,
    }
    return told


def whole(directory: Path) -> bool:
    """Whether the chain in the spool is without a flaw."""

    def lines() -> Any:
        for segment in segments(directory, "denials"):
            with open(segment.path, "rb") as file:
                for number, text in enumerate(file, 1):
                    yield Line(segment.path.name, number, text[:-1])

    return not verify(lines(), (), lambda _one: None).findings


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--directory", type=Path, default=Path("build/bench/spool"))
    parser.add_argument("--formatter", action="append", choices=("python", "c"))
    parser.add_argument("--rate", type=int, action="append")
    parser.add_argument("--unique", action="store_true", help="a path of its own in every event")
    parser.add_argument("--verify", action="store_true", help="judge the chain as well")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # Both sides before others on a machine that is not ours alone, as the daemon's unit asks.
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    results = []
    print("formatter  asked/s    got/s  dropped  accounted  share   ns/event   resident  first ms")
    for formatter in arguments.formatter or ("python", "c"):
        for rate in arguments.rate or RATES:
            one = measure(formatter, rate, arguments.seconds, arguments.directory, arguments.unique)
            if arguments.verify:
                one["whole"] = whole(arguments.directory)
            results.append(one)
            print(
                f"{formatter:9} {rate:9,} {one['rate']:9,.0f} {one['dropped']:8,} "
                f"{one['accounted']!s:>9} {one['share']:7.2%} {one['ns']:9,.0f} "
                f"{one['memory']['resident']:7,} KB {max(0, one['first_ms']):9.0f}"
                + (f"  whole: {one['whole']}" if arguments.verify else ""),
                flush=True,
            )
    shutil.rmtree(arguments.directory, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    return 0 if all(one["accounted"] for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
