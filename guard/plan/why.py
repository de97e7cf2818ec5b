# SPDX-License-Identifier: Apache-2.0
"""What a set of policies says about one operation, with every reason. Shows nothing.

A task's past is not known here: policies that it may have inherited are named
apart from those whose subject its executable is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from guard.analysis.evaluate import Decision, matches
from guard.plan.agree import Step, applies, judge, steps
from guard.plan.build import build_plan
from guard.policy.model import Mode, Operation, PathRule, Pattern, Policy


class Verdict(enum.Enum):
    """What becomes of the operation."""

    ALLOWED = "allowed"
    DENIED = "denied"
    RECORDED = "allowed, and recorded as denied"


@dataclass(frozen=True, slots=True)
class Answer:
    """All that decides. ``decisions`` are those of the policies that apply, in
    their order; ``inherited`` may apply besides, where a task inherited them.
    ``steps`` are what the kernel would read in the tables.
    """

    verdict: Verdict
    policies: tuple[Policy, ...]
    decisions: tuple[Decision, ...]
    inherited: tuple[Policy, ...]
    steps: tuple[Step, ...]

    def names(self, mask: int) -> list[str]:
        """The policies that a mask of ``steps`` stands for."""
        return [policy.name for bit, policy in enumerate(self.policies) if mask >> bit & 1]


def ask(policies: Sequence[Policy], operation: Operation, exe: str | None) -> Answer:
    """Judge an operation of a task with this executable; of one under every policy if None.

    Raises PlanError, and Disagreement, which is a bug.
    """
    plan = build_plan(policies)
    every = (1 << len(policies)) - 1
    mask = every if exe is None else applies(plan, exe.encode("utf-8", "surrogateescape"))
    bits = [bit for bit in range(len(policies)) if mask >> bit & 1]
    decisions = tuple(judge(plan, bit, operation) for bit in bits)
    return Answer(
        _verdict(decisions),
        tuple(policies),
        decisions,
        tuple(
            policy
            for bit, policy in enumerate(policies)
            if bit not in bits and policy.subject.inherit
        ),
        tuple(steps(plan, mask, operation)),
    )


def _verdict(decisions: Sequence[Decision]) -> Verdict:
    denying = {decision.policy.mode for decision in decisions if not decision.allowed}
    if not denying:
        return Verdict.ALLOWED
    return Verdict.DENIED if Mode.ENFORCE in denying else Verdict.RECORDED


def matching_pattern(rule: PathRule, path: str) -> Pattern:
    """The first pattern of a matching rule that matches the path."""
    return next(
        each for each in rule.paths if matches(each.text, path.encode("utf-8", "surrogateescape"))
    )
