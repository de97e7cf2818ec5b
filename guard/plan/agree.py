# SPDX-License-Identifier: Apache-2.0
"""One operation judged twice: by the reference evaluator and by the tables.

They must agree. Where they do not, guard itself is wrong, and nothing that it
says about the operation can be believed: Disagreement is raised.
"""

from __future__ import annotations

from dataclasses import dataclass

from guard.analysis.evaluate import Decision, decide, subject_applies
from guard.plan.plan import CELL, Plan, state_class, state_row, subjects, verdict, walk
from guard.policy.model import Effect, PathRule
from guard.wire.layout import ROW, Column, PathVerb, State


class Disagreement(Exception):
    """The tables do not decide what the policies say: a bug in guard."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where one automaton leads: the class met, its row's number, and the row's
    masks for the verb, policies as bits.
    """

    group: int
    class_id: int
    row: int
    allow: int
    deny: int
    audit: int


def judge(plan: Plan, bit: int, verb: PathVerb, path: bytes) -> Decision:
    """What the policy ``bit``, alone, decides about a canonical host path."""
    policy = plan.policies[bit]
    wanted = decide(policy, verb, path)
    got = verdict(plan, 1 << bit, verb, path)
    allowed = not got.denied
    by_rule = bool(got.by_rule)
    if (allowed, by_rule, bool(got.audited)) != (
        wanted.allowed,
        not wanted.allowed and not wanted.default,
        wanted.audit,
    ):
        raise _differ(plan, bit, verb, path, f"the tables {'allow' if allowed else 'deny'}")
    named = [rule for one in got.class_ids for rule in _rules(plan, one, bit, verb)]
    effect = Effect.ALLOW if allowed else Effect.DENY
    attributed = [rule for rule in named if rule.effect is effect]
    if bool(attributed) == (wanted.default or policy.file is None) or not all(
        rule in wanted.deciding for rule in attributed
    ):
        raise _differ(plan, bit, verb, path, "the tables name other rules")
    return wanted


def applies(plan: Plan, exe: bytes) -> int:
    """The policies whose subject an executable is, as bits; host-wide ones included."""
    got = subjects(plan, exe) | plan.masks.host
    for bit, policy in enumerate(plan.policies):
        if bool(got >> bit & 1) != subject_applies(policy, exe):
            raise Disagreement(
                f"policy {policy.name!r}, executable {exe!r}: the tables and the policy's text"
                " disagree on whether it is the subject"
            )
    return got


def steps(plan: Plan, mask: int, verb: PathVerb, path: bytes) -> list[Step]:
    """The automata that a task under the policies ``mask`` steps, and where they lead."""
    found = []
    for number, group_mask in enumerate(plan.group_mask):
        if group_mask & mask:
            state = walk(plan, plan.starts[0].groups[number], path)
            allow, deny, audit, _ = state_row(plan, state, verb)
            at = (state & ~State.FINAL) + Column.ROW * CELL
            row = int.from_bytes(plan.data[at : at + CELL], "little") // ROW.size
            found.append(Step(number, state_class(plan, state), row, allow, deny, audit))
    return found


def _rules(plan: Plan, class_id: int, bit: int, verb: PathVerb) -> list[PathRule]:
    section = plan.policies[bit].file
    if section is None:
        return []
    return [
        section.rules[ref.rule]
        for ref in plan.classes[class_id]
        if ref.policy == bit and verb in section.rules[ref.rule].verbs
    ]


def _differ(plan: Plan, bit: int, verb: PathVerb, path: bytes, what: str) -> Disagreement:
    return Disagreement(
        f"policy {plan.policies[bit].name!r}, {verb.name.lower()} {path!r}: {what},"
        " the policy's text says otherwise"
    )
