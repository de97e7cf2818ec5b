# SPDX-License-Identifier: Apache-2.0
"""What `guard check` costs, for small policies and for very many rules, findings among them.

Run as ``python -m tests.bench.check [runs]`` from the top of the source tree. Each is a
process of its own, start-up included; the figures are its processor time (user and
system), which other work on the machine changes less than the clock, and its peak memory.
Python's cache of compiled modules is used, as everybody has it. Beside it what others
need for the like where they are installed: yamllint reads the same file, check-jsonschema
judges it by the schema that guard prints, and apparmor_parser compiles a profile of the
same patterns (-Q -K: no kernel, no cache).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.compile import plain, word

_Source = random.Random

_CLEAN = (0, 1)
"""Exit codes of a check that was made: without findings, and with some."""

PATIENCE = 60
"""Seconds of processor time after which a command is stopped."""


class Cost(NamedTuple):
    """What one process took: seconds of processor time and of the clock, MiB at its peak."""

    processor: float
    clock: float
    memory: float
    code: int


class Case(NamedTuple):
    """A policy to check, and its patterns where an AppArmor profile can have the same."""

    name: str
    text: str
    patterns: Sequence[str] = ()


def mixed(source: _Source, count: int) -> list[str]:
    """Files, trees and wildcards within and across components, as profiles have them."""
    forms: list[Callable[[], str]] = [
        lambda: f"/usr/lib/{word(source, 6)}/**",
        lambda: f"/etc/{word(source, 5)}.conf",
        lambda: f"/etc/{{{word(source, 4)},{word(source, 5)}}}/*.conf",
        lambda: f"/var/log/{word(source, 6)}/*.log",
        lambda: f"/run/{word(source, 5)}.[ps]id",
        lambda: f"/opt/{word(source, 5)}/bin/{word(source, 3)}*",
    ]
    return [source.choice(forms)() for _ in range(count)]


def of_files(patterns: Sequence[str], *more: str) -> str:
    """A policy with a rule for each pattern, and ``more`` rules."""
    return _policy("file", [*(f"{{allow: read, path: '{each}'}}" for each in patterns), *more])


def of_sockets(source: _Source, count: int, *more: str) -> str:
    """A policy with a rule for each of some networks and ports, and ``more`` rules."""
    rules = [
        f"{{allow: connect, to: 10.{source.randrange(256)}.{source.randrange(256)}.0/24,"
        f" port: {source.randrange(1, 65536)}, proto: tcp}}"
        for _ in range(count)
    ]
    return _policy("net", [*rules, *more])


def _policy(section: str, rules: Sequence[str]) -> str:
    lines = "".join(f"    - {each}\n" for each in rules)
    return (
        "version: 1\nname: bench\nmode: audit\nsubject: {exe: /usr/sbin/bench}\n"
        f"{section}:\n  default: deny\n  rules:\n{lines}"
    )


def cases() -> Iterator[Case]:
    """What is measured: a small policy, then more and more rules."""
    for name in ("secrets", "nginx"):
        yield Case(f"policies/{name}.yaml", Path(f"policies/{name}.yaml").read_text())
    source = _Source(2)
    broad = "{deny: read, path: /srv/**}"
    everywhere = "{deny: connect, to: 0.0.0.0/0}"
    for count in (1000, 10_000):
        paths = plain(source, count)
        yield Case(f"{count} trees", of_files(paths), paths)
        yield Case(f"{count} trees, a broad deny", of_files(paths, broad))
        forms = mixed(source, count)
        yield Case(f"{count} mixed", of_files(forms), forms)
        yield Case(f"{count} mixed, a broad deny", of_files(forms, "{deny: read, path: /**}"))
        yield Case(f"{count} sockets", of_sockets(source, count))
        yield Case(f"{count} sockets, a broad deny", of_sockets(source, count, everywhere))


def cost(command: Sequence[str], usual: Sequence[int] = _CLEAN) -> Cost | None:
    """What a command takes; None if it ends with an unusual code."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    clock = time.perf_counter() - began
    if process.returncode not in usual:
        return None
    return Cost(used.ru_utime + used.ru_stime, clock, used.ru_maxrss / 1024, process.returncode)


def measured(command: Sequence[str], runs: int) -> str:
    """Least and median processor time, least time of the clock, memory and exit code."""
    found: list[Cost] = []
    for _ in range(runs):
        one = cost(command)
        if one is None:
            return f"{'fails':>8}"
        found.append(one)
    processor = [one.processor for one in found]
    return (
        f"{min(processor):8.3f} {statistics.median(processor):8.3f}"
        f" {min(one.clock for one in found):8.3f}"
        f" {max(one.memory for one in found):6.0f} {found[0].code:4}"
    )


def others(case: Case, policy: Path, schema: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands of other tools for the like, of those that are installed."""
    places = f"{Path(sys.executable).parent}:/usr/sbin:{os.environ.get('PATH', '')}"
    if yamllint := shutil.which("yamllint", path=places):
        relaxed = "{extends: relaxed, rules: {line-length: disable}}"
        yield "yamllint", [yamllint, "-d", relaxed, str(policy)]
    if judge := shutil.which("check-jsonschema", path=places):
        yield "check-jsonschema", [judge, "--schemafile", str(schema), str(policy)]
    parser = shutil.which("apparmor_parser", path=places)
    if parser and case.patterns:
        profile = policy.with_suffix(".profile")
        lines = "".join(f"  {each} r,\n" for each in case.patterns)
        profile.write_text(f"profile bench /usr/sbin/bench {{\n{lines}}}\n")
        yield "apparmor_parser", [parser, "-Q", "-K", str(profile)]


def main(runs: int, wanted: str) -> None:
    """Print the table of the cases whose name has ``wanted`` in it."""
    guard = str(Path(sys.executable).with_name("guard"))
    print(f"{'':46} {'min s':>8} {'median s':>8} {'clock s':>8} {'MiB':>6} {'exit':>4}")
    bare = measured([sys.executable, "-c", "pass"], runs)
    print(f"{'python -c pass':46} {bare}")
    with tempfile.TemporaryDirectory() as place:
        schema = Path(place, "schema.json")
        schema.write_bytes(subprocess.check_output([guard, "schema"]))
        for case in cases():
            if wanted not in case.name:
                continue
            policy = Path(place, "policy.yaml")
            policy.write_text(case.text)
            print(f"{case.name:28} {'guard check':17} ", end="", flush=True)
            print(measured([guard, "check", str(policy)], runs), flush=True)
            for name, command in others(case, policy, schema):
                print(f"{'':28} {name:17} ", end="", flush=True)
                print(measured(command, 1), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, "".join(sys.argv[2:3]))
