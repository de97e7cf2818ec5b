# SPDX-License-Identifier: Apache-2.0
"""The comparison: the reference evaluator's decision and the kernel's, frame by frame.

``python -m tests.ingress.agree FRAMES [SEED]`` runs as many as asked; the tests
run a few.
"""

from __future__ import annotations

import random
import sys
from collections import Counter

from guard.analysis.ingress import Decision, Reason, Verdict, World, decide
from guard.analysis.ingress_packet import read
from guard.plan.ingress.build import Host, build, uid
from guard.plan.set_file import columns
from guard.policy.ingress import IngressSection
from guard.wire.ingress import Reason as Code
from tests.ingress import strategies
from tests.ingress.native import ABORTED, DROP, PASS, TX, Filter, Outcome

# The kernel's test-run refuses frames below an Ethernet header.
LEAST = 14

BITS = 22

# Under BPF_PROG_TEST_RUN a redirect has no target: guard's fault, and counted as one.
_VERDICTS = {
    Verdict.ALLOW: {PASS},
    Verdict.DROP: {DROP},
    Verdict.REJECT: {TX, DROP},
    Verdict.REDIRECT: {ABORTED},
}


def wrong(decision: Decision, outcome: Outcome, slots: dict[str, int]) -> str | None:
    """What the two disagree about, or None."""
    if outcome.verdict not in _VERDICTS[decision.verdict]:
        return f"verdict {outcome.verdict}, not {decision.verdict.name}"
    if decision.verdict is Verdict.REDIRECT:
        return None if outcome.reason == Code.NO_TARGET else f"reason {outcome.reason}"
    if outcome.reason == Code.NO_REPLY:
        return None if decision.verdict is Verdict.REJECT else "no reply"
    if outcome.reason != Code[decision.reason.name]:
        return f"reason {outcome.reason}, not {decision.reason.name}"
    if decision.reason in {Reason.RULE, Reason.RATE}:
        if outcome.slot not in {slots[uid("", rule)] for rule in decision.rules}:
            return f"slot {outcome.slot}, not one of {[r.id for r in decision.rules]}"
    elif outcome.slot != outcome.reason:
        return f"slot {outcome.slot}, not the reason's own"
    return None


def compare(
    filter_: Filter, section: IngressSection, frames: list[bytes], seen: Counter[str]
) -> list[str]:
    """All disagreements, told so that they can be replayed; ``seen`` counts what was met."""
    named = {one.name: one.prefixes for one in section.sets}
    plan = build(
        section,
        {name: columns(prefixes) for name, prefixes in named.items()},
        Host({"lo": 1, "other0": 77}, 250),
    )
    filter_.swap(plan)
    world = World(named, interface="lo")
    told = []
    for frame, outcome in zip(frames, filter_.run(frames), strict=True):
        decision = decide(section, read(frame), world)
        seen[f"{decision.verdict.name}/{decision.reason.name}"] += 1
        problem = wrong(decision, outcome, plan.slots)
        if problem:
            told.append(f"{problem}: {frame.hex()} {decision} under {section}")
    return told


def run(frames: int, seed: int, filter_: Filter) -> tuple[list[str], Counter[str]]:
    """Compare at least ``frames`` frames, under a new section every two hundred."""
    rng = random.Random(seed)  # noqa: S311 - frames, not secrets
    seen: Counter[str] = Counter()
    told: list[str] = []
    done = 0
    while done < frames and len(told) < 20:
        section, world = strategies.section(rng, rng.choice((0, 1, 3, 10, 30, 70, 150)))
        batch = [strategies.frame(world) for _ in range(min(200, frames - done))]
        told += compare(filter_, section, [f for f in batch if len(f) >= LEAST], seen)
        done += len(batch)
    return told, seen


def main(argv: list[str]) -> int:
    """Run; exit status 1 when anything disagrees."""
    frames, seed = int(argv[0]), int(argv[1]) if len(argv) > 1 else 1
    filter_ = Filter(BITS)
    told, seen = run(frames, seed, filter_)
    for line in told:
        print(line)
    print(f"{sum(seen.values())} frames, {len(told)} disagreements, seed {seed}")
    for what, count in sorted(seen.items()):
        print(f"  {what} {count}")
    return bool(told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
