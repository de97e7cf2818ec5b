# SPDX-License-Identifier: Apache-2.0
"""How long the compiler takes and how large its tables are, beside apparmor_parser.

Run as ``python -m tests.bench.compile [runs]`` from the top of the source tree.
Times are of one process, from parsed policies to packed cells, with Python's
garbage collector as it comes. apparmor_parser gets the same patterns in one
profile (-Q -K: no kernel, no cache), in the same run, where it is installed.
"""

from __future__ import annotations

import random
import shutil
import statistics
import string
import subprocess
import sys
import time
from collections.abc import Callable

from guard.plan.build import build_plan
from guard.plan.errors import PlanError
from guard.policy.model import Policy
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule

_LETTERS = string.ascii_lowercase + string.digits
_Source = random.Random


def word(source: _Source, size: int) -> str:
    return "".join(source.choice(_LETTERS) for _ in range(size))


def plain(source: _Source, count: int) -> list[str]:
    """Two random components and everything below."""
    return [f"/srv/{word(source, 8)}/{word(source, 8)}/**" for _ in range(count)]


def mixed(source: _Source, count: int) -> list[str]:
    """The forms that profiles have: files, trees, wildcards in and across components."""
    forms: list[Callable[[], str]] = [
        lambda: f"/usr/lib/{word(source, 6)}/**",
        lambda: f"/etc/{word(source, 5)}.conf",
        lambda: f"/etc/{{{word(source, 4)},{word(source, 5)}}}/*.conf",
        lambda: f"/usr/lib/{word(source, 4)}/**/*.so",
        lambda: f"/var/log/{word(source, 6)}/*.log",
        lambda: f"/home/*/.{word(source, 5)}/**",
        lambda: f"/run/{word(source, 5)}.[ps]id",
        lambda: f"/opt/{word(source, 5)}/bin/{word(source, 3)}*",
        lambda: f"/srv/*/{word(source, 6)}/**",
    ]
    return [source.choice(forms)() for _ in range(count)]


def one_each(paths: list[str]) -> list[Policy]:
    """One rule for each path."""
    return [policy(*[rule(ALLOW, [READ], path, line=at + 1) for at, path in enumerate(paths)])]


_LOOSE = [
    "/**/.git/**", "/**/*.pem", "/**/id_rsa", "/home/*/.ssh/**", "/srv/*/data/**", "/**/*.key",
    "/**/.env", "/**/*secret*", "/home/*/.aws/**", "/**/node_modules/**", "/**/.kube/**",
    "/**/*.kdbx", "/**/.netrc", "/**/.svn/**", "/**/*.sqlite", "/**/core", "/**/.docker/**",
    "/srv/*/backup/**", "/**/*.bak", "/**/wp-config.php",
]  # fmt: skip


def mixture(source: _Source, loose: Callable[[int], list[str]], kinds: int) -> list[Policy]:
    """20 policies of 30 patterns, ten of them unanchored, with 1 or 3 kinds of effects."""
    effects = [(DENY, [READ, WRITE, LIST]), (DENY, [WRITE]), (ALLOW, [READ, LIST])]
    policies = []
    for number in range(20):
        anchored = [rule(ALLOW, [READ, LIST], path) for path in mixed(source, 20)]
        free = [rule(*effects[at % kinds], path) for at, path in enumerate(loose(number))]
        policies.append(policy(*anchored, *free, name=f"p{number}", exe=[f"/usr/bin/{number}"]))
    return policies


def own(number: int) -> list[str]:
    """Ten unanchored patterns, five of them with names that no other policy has."""
    return [
        f"/**/.git{number}/**", "/**/*.pem", "/**/id_rsa", "/home/*/.ssh/**", "/srv/*/data/**",
        f"/**/*.key{number}", f"/**/.env{number}", "/**/*secret*", f"/home/*/.aws{number}/**",
        f"/**/node_modules{number}/**",
    ]  # fmt: skip


def apparmor(paths: list[str]) -> str:
    """apparmor_parser's seconds for the same patterns in one profile, or why there are none."""
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if parser is None:
        return "not installed"
    profile = "profile p /usr/bin/p {\n" + "".join(f"  {path} r,\n" for path in paths) + "}\n"
    began = time.perf_counter()
    done = subprocess.run(
        [parser, "-Q", "-K"], input=profile.encode(), capture_output=True, check=False
    )
    seconds = time.perf_counter() - began
    return f"{seconds:.2f}" if done.returncode == 0 else f"fails after {seconds:.1f}"


def measure(name: str, policies: list[Policy], runs: int, paths: list[str] | None = None) -> None:
    """Print one line of the table."""
    times = []
    refused = ""
    for _ in range(runs):
        began = time.perf_counter()
        try:
            plan = build_plan(policies)
        except PlanError as error:
            refused = error.message
        times.append(time.perf_counter() - began)
    seconds = f"{min(times):8.3f} {statistics.median(times):8.3f}"
    other = apparmor(paths) if paths else ""
    if refused:
        print(f"{name:34} {seconds}  refused: {refused}")
        return
    explored = sum(size.explored for size in plan.sizes)
    states = sum(size.states for size in plan.sizes)
    print(
        f"{name:34} {seconds} {len(plan.group_mask):6} {explored:9} {states:8}"
        f" {len(plan.classes):8} {len(plan.data):10}  {other}",
        flush=True,
    )


def main(runs: int) -> None:
    """Print the whole table; lines that take long are measured once."""
    source = random.Random(2)  # noqa: S311 - the same rules each time
    print(
        f"{'rules':34} {'min s':>8} {'median s':>8} groups  explored   states  classes"
        f" {'bytes':>10}  apparmor_parser s"
    )
    for count in (10, 1000, 10_000):
        paths = plain(source, count)
        measure(f"{count} random, a rule each", one_each(paths), runs, paths)
        measure(f"{count} random, in one rule", [policy(rule(ALLOW, [READ], paths))], runs)
    for count in (100, 300, 1000):
        paths = mixed(source, count)
        measure(f"{count} mixed, a rule each", one_each(paths), runs, paths)
        measure(f"{count} mixed, in one rule", [policy(rule(ALLOW, [READ], paths))], runs)
    for kinds in (1, 3):
        tag = f"{kinds} effect{'s' * (kinds > 1)}"
        measure(f"20 x 30, same ten, {tag}", mixture(source, lambda _: _LOOSE[:10], kinds), 1)
        drawn = mixture(source, lambda _: source.sample(_LOOSE, 10), kinds)
        measure(f"20 x 30, ten of twenty, {tag}", drawn, 1)
        measure(f"20 x 30, own names, {tag}", mixture(source, own, kinds), 1)
    letters = _LETTERS[:30]
    several = [policy(rule(ALLOW, [READ], f"/x/*{c}*"), name=c) for c in letters]
    measure("/x/*W* x 14, one policy", one_each([f"/x/*{c}*" for c in letters[:14]]), runs)
    measure("/x/*W* x 14, a policy each", several[:14], 1)
    measure("/x/*W* x 30, a policy each", several, 1)
    repeated = [f"/a/**/{word(source, 4)}/*/{word(source, 4)}" for _ in range(200)]
    measure("/a/**/X/*/Y x 50, a rule each", one_each(repeated[:50]), 1)
    measure("/a/**/X/*/Y x 200, a rule each", one_each(repeated), 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
