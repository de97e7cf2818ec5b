# SPDX-License-Identifier: Apache-2.0
"""``make bypasses``: the list of bypasses, which are held, and by which tests.

With ``--run KERNEL...`` (make test-bypasses) every row's tests are run in a guest of each
kernel, and the list says how they ended there. Knows nothing of what tests do.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Mapping, Sequence

from tests.kernel.bypasses.rows import ROWS, Row
from tests.vm import guest, kernels

TIMEOUT = 2400.0
_RESULT = re.compile(
    r"^tests/kernel/(?P<test>\S+?::\w+)(?:\[.*\])? .*?(?P<how>PASSED|FAILED|ERROR)", re.MULTILINE
)

Results = Mapping[str, Mapping[str, bool]]
"""By the kernel's name, then by FILE::FUNCTION: whether all its cases passed."""


def line(number: str, row: Row, results: Results | None = None) -> str:
    """One row as people read it; with how its tests ended, where they were run."""
    left = f"\n      left: {row.left}" if row.left else ""
    tests = "".join(f"\n      {test}" for test in row.tests)
    ran = "".join(f"\n      {name}: {ended(row, got)}" for name, got in (results or {}).items())
    return f"{number:<5} {row.status:<7} {row.title}{left}{tests}{ran}"


def ended(row: Row, got: Mapping[str, bool]) -> str:
    """How a row's tests ended on one kernel."""
    missing = [test for test in row.tests if test not in got]
    failed = [test for test in row.tests if not got.get(test, True)]
    if failed:
        return f"FAILED: {', '.join(failed)}"
    if missing:
        return f"NOT RUN: {', '.join(missing)}"
    return "passed" if row.tests else "no test"


def read_results(output: str) -> dict[str, bool]:
    """Each test function's outcome from pytest's -v output; one failed case fails it."""
    found: dict[str, bool] = {}
    for match in _RESULT.finditer(output):
        test = match["test"]
        found[test] = found.get(test, True) and match["how"] == "PASSED"
    return found


def run(name: str, append: str) -> dict[str, bool]:
    """All rows' tests in a guest. Raises GuestError."""
    tests = sorted({f"tests/kernel/{test}" for row in ROWS.values() for test in row.tests})
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", *tests]
    machine = guest.Machine(
        append=append, timeout=TIMEOUT, environment={"GUARD_REQUIRE_KERNEL": "1"}
    )
    output = io.BytesIO()
    guest.run(kernels.obtain(name), machine, command, output)
    text = output.getvalue().decode(errors="replace")
    results = read_results(text)
    if not results or not all(results.values()):
        print(text, file=sys.stderr)
    return results


def main() -> int:
    """Print all rows in order."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.bypasses")
    parser.add_argument("--run", nargs="+", default=[], metavar="KERNEL", help="6.1 6.12 newest")
    parser.add_argument("--append", default="", help="more of the kernel's command line")
    arguments = parser.parse_args()
    results: dict[str, dict[str, bool]] = {}
    for name in arguments.run:
        shown = f"{name} {arguments.append}".rstrip()
        try:
            results[shown] = run(name, arguments.append)
        except guest.GuestError as error:
            print(f"{shown}: {error}", file=sys.stderr)
            return 3
    for number in in_order(list(ROWS)):
        print(line(number, ROWS[number], results))
    held = all(ended(row, got)[0].islower() for row in ROWS.values() for got in results.values())
    return 0 if held else 1


def in_order(numbers: Sequence[str]) -> list[str]:
    """B-2 before B-10."""
    return sorted(numbers, key=lambda one: int(one.removeprefix("B-")))


if __name__ == "__main__":
    sys.exit(main())
