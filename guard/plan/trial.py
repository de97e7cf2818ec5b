# SPDX-License-Identifier: Apache-2.0
"""The tests of policies run, and which rules they reached. Shows nothing.

A test is about its policy alone: what others on the host would say is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.analysis.evaluate import Decision
from guard.plan.agree import judge
from guard.plan.build import build_plan
from guard.plan.units import section_rules
from guard.policy.model import Effect, Policy, Rule, Test
from guard.wire.layout import Section


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test and what was decided. ``failure`` says why it does not hold, '' if it does."""

    test: Test
    decision: Decision
    failure: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One policy's tests. ``untested`` are the rules that decided none of them."""

    policy: Policy
    outcomes: tuple[Outcome, ...]
    untested: tuple[Rule, ...]

    @property
    def failures(self) -> int:
        """How many tests do not hold."""
        return sum(bool(outcome.failure) for outcome in self.outcomes)

    @property
    def rules(self) -> int:
        """How many rules the policy has."""
        return len(_rules(self.policy))

    @property
    def coverage(self) -> float:
        """How many per cent of the rules decided a test; 100 where there are no rules."""
        return 100 * (self.rules - len(self.untested)) / self.rules if self.rules else 100.0


def run_tests(policies: Sequence[Policy]) -> tuple[Trial, ...]:
    """Run every policy's tests. Raises PlanError, and Disagreement, which is a bug."""
    plan = build_plan(policies)
    trials = []
    for bit, policy in enumerate(policies):
        outcomes = []
        reached: set[str] = set()
        for test in policy.tests:
            decision = judge(plan, bit, test.operation)
            reached.update(rule.id for rule in decision.deciding)
            outcomes.append(Outcome(test, decision, _failure(test, decision)))
        untested = tuple(rule for rule in _rules(policy) if rule.id not in reached)
        trials.append(Trial(policy, tuple(outcomes), untested))
    return tuple(trials)


def _rules(policy: Policy) -> list[Rule]:
    """All rules that tests can reach: ingress rules are about packets."""
    return [rule for section in Section for rule in section_rules(policy, section)]


def _failure(test: Test, decision: Decision) -> str:
    got = Effect.ALLOW if decision.allowed else Effect.DENY
    deciding = [rule.id for rule in decision.deciding]
    if got is not test.expect:
        return f"expected {test.expect.value}, and it is {got.value} by {reason(decision)}"
    if test.rule is not None and test.rule not in deciding:
        return f"expected {got.value} by the rule {test.rule}, and it is by {reason(decision)}"
    return ""


def reason(decision: Decision) -> str:
    """What decided, in words that follow 'by'."""
    if decision.section is None:
        return "no section: the policy does not gate this"
    if decision.default:
        return "default"
    return ", ".join(
        f"the rule {rule.id} ({rule.span.file}:{rule.span.line})" for rule in decision.deciding
    )
