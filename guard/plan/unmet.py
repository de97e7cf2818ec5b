# SPDX-License-Identifier: Apache-2.0
"""Policies for the same tasks that can never both be met: what one allows, another denies.

Several policies on a task must all allow. Told is only what is proved over all
operations there can be, with one that shows it, and only of policies that
enforce and whose subjects are known to meet without asking a host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.analysis.evaluate import decide
from guard.analysis.overlap import may_clash
from guard.plan.agree import Disagreement, tables_verdict
from guard.plan.build import build_plan
from guard.plan.compare_operations import easier, operation_of
from guard.plan.compare_subjects import covers, member
from guard.plan.errors import PlanError
from guard.plan.examples import ObjectRule, shown, with_rules
from guard.plan.languages import net
from guard.plan.plan import Plan, state_class
from guard.plan.product import Product, States, TooLarge
from guard.plan.units import ANONYMOUS_WORD, section_rules
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.model import (
    Effect,
    KernelOperation,
    KernelRule,
    Mode,
    NetOperation,
    NetRule,
    Operation,
    PathOperation,
    PathRule,
    Policy,
    Rule,
)
from guard.wire.layout import NetVerb, PathVerb, Section, State

MOST = 400
"""Allow rules of one set that are looked at, each against each other policy: a walk over
tables each. Beyond that nothing is claimed."""

_NAMED = (NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND)


def find(policies: Sequence[Policy]) -> Iterator[Diagnostic]:
    """What in these policies another one makes vain. Raises Disagreement, which is a bug."""
    enforcing = [one for one in policies if one.mode is Mode.ENFORCE]
    search = _Search()
    for at, policy in enumerate(enforcing):
        for number, other in enumerate(enforcing):
            if policy is other or not may_clash(policy, other):
                continue
            try:
                if _always_together(policy, other):
                    yield from search.rules(policy, other)
                elif at < number:
                    yield from search.sections(policy, other)
            except (PlanError, TooLarge):
                continue  # too large for tables or for a proof: nothing is claimed


def _always_together(policy: Policy, other: Policy) -> bool:
    """Whether every task under one policy is under the other, whatever it executes later."""
    stays = other.subject.host or other.subject.inherit or not policy.subject.inherit
    return stays and covers(other, policy)


class _Search:
    """Proofs about one set; it counts what they cost."""

    def __init__(self) -> None:
        self._left = MOST
        self._plans: dict[int, Plan] = {}

    def rules(self, policy: Policy, other: Policy) -> Iterator[Diagnostic]:
        """Allow rules that never have their way."""
        who = member(policy, other)
        for section in Section:
            for rule in _allowing(policy, section):
                found = self._unmet(policy, section, rule, other) if who else None
                if who and found is not None:
                    yield _of_rule(policy, rule, other, found, who)

    def sections(self, policy: Policy, other: Policy) -> Iterator[Diagnostic]:
        """Sections in which some task under both may do nothing, though each allows something."""
        for section in Section:
            mine, theirs = _allowing(policy, section), _allowing(other, section)
            if not mine or not theirs or not _denied_by_default(policy, other, section):
                continue
            who = member(policy, other)
            if who is None:
                return
            found = None
            for rule in mine:
                found = self._unmet(policy, section, rule, other)
                if found is None:
                    break
            if found is not None:
                yield _of_section(policy, other, section, found, who)

    def _unmet(
        self, policy: Policy, section: Section, rule: Rule, other: Policy
    ) -> Operation | None:
        """An operation that the rule is about, if the other policy denies every such one."""
        if self._left <= 0:
            return None
        self._left -= 1
        plan = self._plans.get(id(other)) or self._plans.setdefault(id(other), build_plan([other]))
        if isinstance(rule, KernelRule):
            asked = [KernelOperation(op) for op in rule.ops]
            return None if any(_allows(plan, one) for one in asked) else asked[0]
        assert isinstance(rule, PathRule | NetRule)
        alone = build_plan([with_rules(policy, section, [rule])])
        found: Operation | None = None
        for operation in _operations(alone, plan, section, rule):
            if _allows(plan, operation):
                return None
            found = found or operation
        if isinstance(found, NetOperation):
            found = next(one for one in easier(found) if _allows_rule(policy, section, rule, one))
        if found is not None and decide(other, found).allowed:
            raise Disagreement(f"policy {other.name!r} allows {found}, where its tables deny it")
        return found


def _allows(plan: Plan, operation: Operation) -> bool:
    return not tables_verdict(plan, 1, operation).denied


def _allows_rule(
    policy: Policy, section: Section, rule: ObjectRule, operation: NetOperation
) -> bool:
    return bool(decide(with_rules(policy, section, [rule]), operation).rules)


def _operations(
    alone: Plan, other: Plan, section: Section, rule: ObjectRule
) -> Iterator[Operation]:
    """Operations that a rule is about: one at least of all that the tables tell apart."""

    def matching(state: int) -> bool:
        return bool(alone.classes[state_class(alone, state)])

    def alive(states: States, count: int) -> bool:
        return any(not state & State.FINAL or matching(state) for state in states[:count])

    own = alone.starts[0].groups
    verbs = rule.verbs if section is not Section.NET else [v for v in rule.verbs if v in _NAMED]
    if verbs:
        machines = [(alone, state) for state in own]
        machines += [(other, state) for state in other.starts[0].groups]
        product = Product(machines)
        for states, key in product.reachable(lambda states: alive(states, len(own))):
            if any(map(matching, states[: len(own)])):
                path = product.path(key).decode("utf-8", "surrogateescape")
                yield from (PathOperation(PathVerb(verb), path) for verb in verbs)
    if section is Section.EXEC:
        for verb in rule.verbs if any(map(matching, alone.anonymous.groups)) else ():
            yield PathOperation(PathVerb(verb), ANONYMOUS_WORD)
    if section is Section.NET:
        language, ends = net()
        product = Product([(alone, alone.net), (other, other.net)], language)
        for states, key in product.reachable(lambda states: alive(states, 1)):
            if matching(states[0]):
                fed, known = product.path(key), ends[key[-1]].verbs
                yield from (
                    operation_of(NetVerb(verb), fed) for verb in rule.verbs if verb in known
                )


def _allowing(policy: Policy, section: Section) -> list[Rule]:
    return [rule for rule in section_rules(policy, section) if rule.effect is Effect.ALLOW]


def _denied_by_default(policy: Policy, other: Policy, section: Section) -> bool:
    found = [one.sections[section] for one in (policy, other)]
    return all(one is not None and one.default is Effect.DENY for one in found)


def _by(other: Policy, operation: Operation) -> Related:
    decision = decide(other, operation)
    if decision.deciding:
        return Related(decision.deciding[0].span, f"denied by this rule of {quoted(other.name)}")
    section = decision.section
    assert section is not None, "a policy denies by a section"
    return Related(section.span, f"denied by the default of {quoted(other.name)}")


def _task(who: tuple[str, bytes]) -> str:
    kind, name = who
    text = name.decode("utf-8", "backslashreplace")
    words = {
        "exe": f"by {text}",
        "cgroup": f"in the control group {text}",
        "user": f"by the user {text}",
        "group": f"by the group {text}",
    }
    return words.get(kind, "by any task")


_HELP = "every policy on a task must allow: allow it in both, or leave it out here"


def _of_rule(
    policy: Policy, rule: Rule, other: Policy, found: Operation, who: tuple[str, bytes]
) -> Diagnostic:
    return Diagnostic(
        Code.NEVER_MET,
        f"the rule {quoted(rule.id)} of {quoted(policy.name)} allows nothing: {quoted(other.name)}"
        " is for the same tasks and denies all of it",
        rule.span,
        f"for example {shown(found)} {_task(who)}",
        (_by(other, found),),
        _HELP,
    )


def _of_section(
    policy: Policy, other: Policy, section: Section, found: Operation, who: tuple[str, bytes]
) -> Diagnostic:
    place = policy.sections[section]
    assert place is not None
    return Diagnostic(
        Code.NOTHING_IN_COMMON,
        f"the {section.name.lower()} sections of {quoted(policy.name)} and {quoted(other.name)}"
        " allow nothing in common, and some tasks are under both",
        place.span,
        f"for example {shown(found)} {_task(who)}",
        (_by(other, found),),
        "every policy on a task must allow: for tasks under both, allow the same in both",
    )
