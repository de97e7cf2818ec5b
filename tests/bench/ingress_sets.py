# SPDX-License-Identifier: Apache-2.0
"""Sets of the ingress filter: a million prefixes from text to force, and changes a second.

Needs root; makes network namespaces of its own. ``python -m tests.bench.ingress_sets``.
"""

from __future__ import annotations

import ipaddress
import random
import statistics
import time
from collections.abc import Callable

from guard.daemon import ingress, ingress_sets
from guard.kernel.libbpf import Libbpf
from guard.kernel.timed import Timed
from guard.plan.set_file import read_set
from guard.policy.ingress import Prefix
from tests.ingress_front.lab import Lab
from tests.ingress_front.policies import state

ROUNDS = 3
MILLION = 1_000_000


def spread(some: list[float]) -> str:
    """Median, and the range."""
    return f"{statistics.median(some):.3f} ({min(some):.3f} to {max(some):.3f})"


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure() -> list[str]:
    """Every figure, as a line each. Runs inside the lab's host."""
    chance = random.Random(1)  # noqa: S311 - the same addresses in every run
    four = [chance.getrandbits(32) for _ in range(MILLION)]
    text = "\n".join(str(ipaddress.IPv4Address(one)) for one in four).encode()
    six = "\n".join(
        f"2{chance.getrandbits(12):03x}:{chance.getrandbits(16):x}:{chance.getrandbits(16):x}::/48"
        for _ in range(MILLION)
    ).encode()
    lines = [f"read 1 000 000 IPv4 addresses, s: {spread(_each(lambda: read_set(text, 'f')))}"]
    lines.append(f"read 1 000 000 IPv6 /48, s: {spread(_each(lambda: read_set(six, 'f'), 1))}")
    policy = state('{deny: all, from: "@bad"}', more="sets: {bad: []}", default="allow")
    found = ingress.start(Libbpf(), policy)
    content = read_set(text, "f")
    ingress_sets.replace_set(found, "bad", content)  # programs with room for it
    took = _each(lambda: ingress_sets.replace_set(found, "bad", content))
    lines.append(f"replace a set by 1 000 000 addresses, s: {spread(took)}")
    lines += changes(found)
    return lines


def changes(found: ingress.Filter) -> list[str]:
    """Additions and removals a second, by batches of one and of a thousand."""
    ingress_sets.add(found, "bad", [Prefix(4, 1, 32)], 3600)
    lines = []
    for size in (1, 1000):
        entries = Timed(found.kernel)
        end = found.kernel.now() + 1_000_000
        rates = []
        for round_ in range(ROUNDS):
            first = 0x0B000000 + round_ * 20_000
            batches = [
                [Prefix(4, first + at + n, 32) for n in range(size)]
                for at in range(0, 10_000, size)
            ]

            began = time.perf_counter()
            for batch in batches:
                entries.put(0, batch, end)
                entries.take(0, batch)
            rates.append(20_000 / (time.perf_counter() - began))
        entries.close()
        lines.append(
            f"changes a second, {size} at a time: {statistics.median(rates):,.0f}"
            f" ({min(rates):,.0f} to {max(rates):,.0f})"
        )
    return lines


def _each(work: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    return [timed(work) for _ in range(rounds)]


if __name__ == "__main__":
    lab = Lab()
    try:
        print("\n".join(lab.host.call(measure)))
    finally:
        lab.close()
