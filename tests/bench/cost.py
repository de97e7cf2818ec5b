# SPDX-License-Identifier: Apache-2.0
"""Instructions per open and close: guard, AppArmor, Landlock, on three kernels.

Run as ``python -m tests.bench.cost [--boots N] [--json FILE] [KERNEL...]`` from
the top of the source tree. Boots a guest per kernel that counts instructions
and prints, for each variant, what it adds to an open without any policy in the
same boot. What is measured is in tests.bench.cost_guest.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.cost_guest import DEEP, DIRECTORY, LONG, SHORT
from tests.vm import guest, kernels

KERNELS = ("6.1", "6.12", "newest")
# The same for every variant; all three are asked on every open.
LSM = "landlock,apparmor,bpf"
BASE = "no policy anywhere"
SOURCE = Path(__file__).with_name("drive.c")
BUILD = Path("build/bench")
TIMEOUT = 1500.0

COLUMNS = {
    ("r", SHORT): "short",
    ("r", DEEP): "six",
    ("r", LONG): "long",
    ("w", DEEP): "write",
    ("b", DEEP): "rdwr",
    ("l", DIRECTORY): "list",
}

Line = dict[str, Any]


def build() -> Path:
    """Compile the driver, static."""
    BUILD.mkdir(parents=True, exist_ok=True)
    driver = BUILD / "drive"
    subprocess.run(
        ["cc", "-O2", "-static", "-Wall", "-Wextra", "-o", str(driver), str(SOURCE)], check=True
    )
    return driver.resolve()


def boot(name: str, driver: Path, inside: str = "tests.bench.cost_guest") -> list[Line]:
    """One boot's measurements, made by a module in the guest. Raises GuestError."""
    machine = guest.Machine(processors=1, counted=True, lsm=LSM, timeout=TIMEOUT)
    output = io.BytesIO()
    command = [sys.executable, "-m", inside, str(driver)]
    outcome = guest.run(kernels.obtain(name), machine, command, output)
    lines: list[Line] = []
    for text in output.getvalue().decode().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            print(f"guest: {text}", file=sys.stderr)
    if outcome.status:
        raise guest.GuestError(f"the benchmark ended with status {outcome.status}")
    return lines


def column(line: Line) -> str:
    """The table's column of an open; of any other path it is "six", as they are as deep."""
    return COLUMNS.get((line["mode"], line["path"]), "six")


def extra(boots: list[list[Line]]) -> dict[str, dict[str, list[float]]]:
    """By variant and column: instructions over the base of the same boot, one per boot.

    The base itself is as measured.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for lines in boots:
        opens = [line for line in lines if line["kind"] == "open"]
        base = {column(line): line["min"] for line in opens if line["variant"] == BASE}
        for line in opens:
            at = column(line)
            value = line["min"] - (base[at] if line["variant"] != BASE else 0)
            table.setdefault(line["variant"], {}).setdefault(at, []).append(value)
    return table


def cell(values: list[float] | None, signed: bool) -> str:
    """The least of all boots, and how far the others are above it."""
    if not values:
        return ""
    spread = max(values) - min(values)
    number = f"{min(values):+,.0f}" if signed else f"{min(values):,.0f}"
    return number.replace(",", " ") + (f" ({spread:.0f})" if len(values) > 1 else "")


def show(name: str, boots: list[list[Line]]) -> None:
    """One kernel's table."""
    first = next(line for line in boots[0] if line["kind"] == "guest")
    print(f"\n{name}: {first['release']}, lsm={first['lsm']}, {len(boots)} boots\n")
    names = list(dict.fromkeys(COLUMNS.values()))
    print(f"| variant | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for variant, row in extra(boots).items():
        cells = [cell(row.get(at), variant != BASE) for at in names]
        print(f"| {variant} | {' | '.join(cells)} |")
    print()
    for line in boots[0]:
        if line["kind"] == "load":
            print(
                f"load, {line['variant']}: 2^{line['bits']} bytes,"
                f" {line['instructions'] / 1e9:.2f} G instructions,"
                f" {sum(line['verified'].values()):,} verified"
            )
        elif line["kind"] == "note":
            print(f"note: {line['text']}")
    sys.stdout.flush()


def main() -> int:
    """Boot, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cost")
    parser.add_argument("--boots", type=int, default=1, help="of each kernel (1)")
    parser.add_argument("--json", type=Path, default=BUILD / "cost.json", help="all figures")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=" ".join(KERNELS))
    arguments = parser.parse_args()
    driver = build()
    figures: dict[str, list[list[Line]]] = {}
    for name in arguments.kernels or KERNELS:
        try:
            figures[name] = [boot(name, driver) for _ in range(arguments.boots)]
        except guest.GuestError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 3
        show(name, figures[name])
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
