# SPDX-License-Identifier: Apache-2.0
"""How long `guard check` takes for one policy, from start to exit status.

Run as ``python -m tests.bench.startup [runs]`` from the top of the source
tree. Beside it the interpreter alone, which is most of what can be had.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def seconds(command: Sequence[str], runs: int) -> str:
    """Least and median of some runs; the command must succeed."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return f"{min(times):.3f} {statistics.median(times):.3f}"


def main(runs: int) -> None:
    """Print a line for each."""
    policy = min(Path("policies").glob("*.yaml"))
    guard = str(Path(sys.executable).with_name("guard"))
    print(f"{'command':36} min s  median s")
    print(f"{'python -c pass':36} {seconds([sys.executable, '-c', 'pass'], runs)}")
    check = [guard, "check", str(policy)]
    print(f"{'guard check ' + str(policy):36} {seconds(check, runs)}")
    print(f"{'guard --version':36} {seconds([guard, '--version'], runs)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
