# SPDX-License-Identifier: Apache-2.0
"""``make bypasses``: the list of bypasses, which are held, and by which tests. Runs none."""

from __future__ import annotations

from tests.kernel.bypasses.rows import ROWS, Row


def line(number: str, row: Row) -> str:
    """One row as people read it."""
    left = f"\n      left: {row.left}" if row.left else ""
    tests = "".join(f"\n      {test}" for test in row.tests)
    return f"{number:<5} {row.status:<7} {row.title}{left}{tests}"


def main() -> None:
    """Print all rows in order."""
    for number in sorted(ROWS, key=lambda one: int(one.removeprefix("B-"))):
        print(line(number, ROWS[number]))


if __name__ == "__main__":
    main()
