# SPDX-License-Identifier: Apache-2.0
"""Instructions of operations of every section: guard, AppArmor, Landlock, on three kernels.

Run as ``python -m tests.bench.cost_ops [--json FILE] [KERNEL...]`` from the top
of the source tree. Boots a guest per kernel that counts instructions and
prints, for each variant, what it adds to each operation without any policy in
the same boot; then loads, switches and memory. What is measured is in
tests.bench.cost_ops_guest.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench.cost import BASE, BUILD, KERNELS, Line, boot, build
from tests.bench.cost_guest import DEEP, LONG, SHORT
from tests.vm import guest

COLUMNS = {
    f"r:{SHORT}": "open, short",
    f"r:{DEEP}": "six",
    f"r:{LONG}": "long",
    "s": "stat",
    "x": "exec",
    "m": "mmap exec",
    "c": "connect",
    "u": "send",
    "n": "bind",
}


def column(what: str) -> str:
    """The table's column of what the driver did."""
    return COLUMNS.get(what) or COLUMNS[what[0]]


def number(value: float, signed: bool) -> str:
    """With a space between thousands."""
    return (f"{value:+,.0f}" if signed else f"{value:,.0f}").replace(",", " ")


def show(name: str, lines: list[Line]) -> None:
    """One kernel's tables."""
    first = next(line for line in lines if line["kind"] == "guest")
    print(f"\n### {first['release']}\n")
    base: dict[str, float] = {}
    table: dict[str, dict[str, str]] = {}
    for line in lines:
        if line["kind"] != "cost":
            continue
        at, variant = column(line["what"]), line["variant"]
        if variant == BASE:
            base[at] = line["min"]
        value = line["min"] - (base[at] if variant != BASE else 0)
        shown = number(value, variant != BASE) + (" (denied)" if line["error"] else "")
        table.setdefault(variant, {})[at] = shown
    names = list(dict.fromkeys(COLUMNS.values()))
    print(f"| over no policy | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for variant, row in table.items():
        print(f"| {variant} | {' | '.join(row.get(at, '') for at in names)} |")
    print()
    for line in lines:
        if line["kind"] == "load":
            print(
                f"load, {line['variant']}, 2^{line['bits']}: {line['seconds']:.2f} s,"
                f" {line['busy']:.2f} s of it at work; {line['programs']} programs,"
                f" {line['verified']:,} instructions verified;"
                f" memlock {line['map_bytes']:,} maps, {line['program_bytes']:,} programs"
            )
        elif line["kind"] == "switch":
            print(
                f"switch, {line['variant']}: {line['seconds'] * 1e3:.1f} ms,"
                f" {line['busy'] * 1e3:.1f} at work, {line['data']:,} bytes"
            )
        elif line["kind"] == "note":
            print(f"note: {line['text']}")
    sys.stdout.flush()


def main() -> int:
    """Boot, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost_ops")
    parser.add_argument("--json", type=Path, default=BUILD / "cost_ops.json", help="all figures")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=" ".join(KERNELS))
    arguments = parser.parse_args()
    driver = build()
    figures: dict[str, list[Line]] = {}
    for name in arguments.kernels or KERNELS:
        try:
            figures[name] = boot(name, driver, "tests.bench.cost_ops_guest")
        except guest.GuestError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 3
        show(name, figures[name])
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
