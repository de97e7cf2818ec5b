# SPDX-License-Identifier: Apache-2.0
"""One operation judged twice: by the reference evaluator and by the tables.

They must agree. Where they do not, guard itself is wrong, and nothing that it
says about the operation can be believed: Disagreement is raised.
"""

from __future__ import annotations

from dataclasses import dataclass

from guard.analysis.evaluate import Decision, decide, subject_applies
from guard.plan.netpatterns import operation_bytes
from guard.plan.plan import (
    CELL,
    Plan,
    StartStates,
    Verdict,
    kernel_verdict,
    net_verdict,
    section_of,
    state_class,
    state_row,
    subjects,
    verdict,
    walk,
)
from guard.plan.units import ANONYMOUS_WORD, rule_at, rule_verbs
from guard.policy.model import (
    Effect,
    KernelOperation,
    NetOperation,
    Operation,
    PathOperation,
    Rule,
)
from guard.wire.layout import ROW, Column, Section, State


class Disagreement(Exception):
    """The tables do not decide what the policies say: a bug in guard."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where one automaton leads: the class met, its row's number, and the row's
    masks for the verb, policies as bits. An operation on the kernel has a row of
    its own and no automaton: ``group`` and ``class_id`` are 0.
    """

    group: int
    class_id: int
    row: int
    allow: int
    deny: int
    audit: int


def judge(plan: Plan, bit: int, operation: Operation) -> Decision:
    """What the policy ``bit``, alone, decides about an operation; a path is a host path."""
    policy = plan.policies[bit]
    wanted = decide(policy, operation)
    got = tables_verdict(plan, 1 << bit, operation)
    allowed = not got.denied
    by_rule = bool(got.by_rule)
    if (allowed, by_rule, bool(got.audited)) != (
        wanted.allowed,
        not wanted.allowed and not wanted.default,
        wanted.audit,
    ):
        raise _differ(plan, bit, operation, f"the tables {'allow' if allowed else 'deny'}")
    if isinstance(operation, KernelOperation):
        return wanted
    named = [rule for one in got.class_ids for rule in _rules(plan, one, bit, operation)]
    effect = Effect.ALLOW if allowed else Effect.DENY
    attributed = [rule for rule in named if rule.effect is effect]
    if bool(attributed) != bool(wanted.deciding) or not all(
        rule in wanted.deciding for rule in attributed
    ):
        raise _differ(plan, bit, operation, "the tables name other rules")
    return wanted


def tables_verdict(plan: Plan, mask: int, operation: Operation) -> Verdict:
    """What the tables alone say to an operation of a task under the policies ``mask``."""
    if isinstance(operation, PathOperation):
        start, path = _start_and_path(plan, operation)
        return verdict(plan, mask, operation.verb, path, start)
    if isinstance(operation, NetOperation):
        return net_verdict(plan, mask, operation.verb, net_bytes(operation))
    return kernel_verdict(plan, mask, operation.op)


def _start_and_path(plan: Plan, operation: PathOperation) -> tuple[StartStates, bytes]:
    """Where a walk begins, and the path that it is fed: what has no name is where it begins."""
    if operation.path == ANONYMOUS_WORD:
        return plan.anonymous, b"/"
    return plan.starts[0], path_bytes(operation)


def path_bytes(operation: PathOperation) -> bytes:
    """The path of an operation as the kernel has it."""
    return operation.path.encode("utf-8", "surrogateescape")


def net_bytes(operation: NetOperation) -> bytes:
    """The string of an operation on a socket (guard.plan.netpatterns)."""
    return operation_bytes(
        operation.family,
        operation.type,
        operation.protocol,
        operation.address,
        operation.port,
        operation.name,
    )


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


def steps(plan: Plan, mask: int, operation: Operation) -> list[Step]:
    """The automata that a task under the policies ``mask`` steps, and where they lead."""
    if isinstance(operation, KernelOperation):
        allow, deny, audit, _, _ = plan.kernel[operation.op]
        return [Step(0, 0, int(operation.op), allow, deny, audit)]
    if isinstance(operation, NetOperation):
        return [_step(plan, 0, plan.net, net_bytes(operation), operation.verb)]
    start, path = _start_and_path(plan, operation)
    return [
        _step(plan, number, start.groups[number], path, operation.verb)
        for number, group_mask in enumerate(plan.group_mask)
        if group_mask & mask
    ]


def _step(plan: Plan, group: int, start: int, fed: bytes, verb: int) -> Step:
    state = walk(plan, start, fed)
    allow, deny, audit, _, _ = state_row(plan, state, verb)
    at = (state & ~State.FINAL) + Column.ROW * CELL
    row = int.from_bytes(plan.data[at : at + CELL], "little") // ROW.size
    return Step(group, state_class(plan, state), row, allow, deny, audit)


def _rules(
    plan: Plan, class_id: int, bit: int, operation: PathOperation | NetOperation
) -> list[Rule]:
    section = operation_section(operation)
    return [
        rule
        for ref in plan.classes[class_id]
        if ref.policy == bit
        and ref.section is section
        and operation.verb in rule_verbs(rule := rule_at(plan.policies, ref))
    ]


def operation_section(operation: Operation) -> Section:
    """The section that judges an operation."""
    if isinstance(operation, PathOperation):
        return section_of(operation.verb)
    return Section.NET if isinstance(operation, NetOperation) else Section.KERNEL


def _differ(plan: Plan, bit: int, operation: Operation, what: str) -> Disagreement:
    return Disagreement(
        f"policy {plan.policies[bit].name!r}, {operation}: {what}, the policy's text says otherwise"
    )
