# SPDX-License-Identifier: Apache-2.0
"""Two versions of one policy: the operations that they decide differently, all of them.

Both versions' tables are walked together over every path and every operation
on sockets that there can be; every example is confirmed by the reference
evaluator. Raises PlanError, TooLarge, and Disagreement, which is a bug.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.analysis.evaluate import Decision, decide
from guard.plan.agree import Disagreement, judge, net_bytes
from guard.plan.build import build_plan
from guard.plan.changes import OperationChange, direction
from guard.plan.languages import net
from guard.plan.plan import Plan, kernel_verdict, section_of, state_class, state_row, walk
from guard.plan.product import Product
from guard.plan.units import ANONYMOUS_WORD, rule_at, rule_verbs
from guard.policy.model import (
    Effect,
    KernelOperation,
    KernelRule,
    NetOperation,
    NetRule,
    NetSection,
    Operation,
    PathOperation,
    PathRule,
    PathSection,
    Pattern,
    Policy,
    Rule,
)
from guard.policy.networds import AF_INET, AF_INET6, AF_UNIX
from guard.wire.layout import KernelOp, NetVerb, PathVerb, Section

_Reason = tuple[bool, frozenset[str]]
"""Whether a version allows, and the ids of the rules that its tables name for it."""

_USUAL = (
    (AF_INET, 1, 6),
    (AF_INET6, 1, 6),
    (AF_INET, 2, 17),
    (AF_INET6, 2, 17),
    (AF_UNIX, 1, 0),
    (AF_UNIX, 2, 0),
)
"""Families, types and protocols of sockets that make an example easy to read."""

_EASY = (("0a000001", 4), ("c0000201", 4), ("20010db8" + "0" * 23 + "1", 6))
"""Addresses that do: 10.0.0.1, 192.0.2.1, 2001:db8::1."""


def operation_changes(name: str, old: Policy | None, new: Policy | None) -> list[OperationChange]:
    """Every change of a decision, one example for each pair of reasons."""
    changed = {section for section in Section if _meaning(old, section) != _meaning(new, section)}
    found: list[OperationChange] = []
    if changed - {Section.KERNEL}:
        was, now = _Side.of(old), _Side.of(new)
        verbs = [verb for verb in PathVerb if section_of(verb) in changed]
        found += _paths(name, was, now, verbs)
        if Section.NET in changed:
            found += _sockets(name, was, now)
    if Section.KERNEL in changed:
        found += _kernel(name, old, new)
    return found


def _meaning(policy: Policy | None, section: Section) -> object:
    """What decides in a section, without names and places; equal where nothing can differ."""
    if policy is None:
        return None
    found = policy.sections[section]
    return found and (found.default, frozenset(map(_rule_meaning, found.rules)))


def _rule_meaning(rule: Rule) -> object:
    if isinstance(rule, KernelRule):
        return rule.effect, frozenset(rule.ops)
    if isinstance(rule, NetRule):
        return (
            rule.effect,
            *map(frozenset, (rule.verbs, rule.families, rule.types, rule.protocols)),
            *(frozenset((x.address, x.length) for x in some) for some in (rule.to, rule.excepts)),
            frozenset((each.first, each.last) for each in rule.ports),
            _texts(rule.paths),
            _texts(rule.names),
        )
    assert isinstance(rule, PathRule)
    return rule.effect, frozenset(rule.verbs), _texts(rule.paths), _texts(rule.excepts)


def _texts(patterns: Sequence[Pattern]) -> frozenset[str]:
    return frozenset(pattern.text for pattern in patterns)


@dataclass(frozen=True, slots=True)
class _Side:
    """One version of a policy, compiled alone: its bit is the first."""

    plan: Plan
    policy: Policy | None

    @staticmethod
    def of(policy: Policy | None) -> _Side:
        return _Side(build_plan([] if policy is None else [policy]), policy)

    def machines(self) -> list[tuple[Plan, int]]:
        return [(self.plan, state) for state in self.plan.starts[0].groups]

    def decided(self, states: Sequence[int], section: Section, verb: int) -> _Reason:
        gated = self._default(section)
        if gated is None:
            return True, frozenset()
        allow = deny = 0
        for state in states:
            row = state_row(self.plan, state, verb)
            allow, deny = allow | row[0], deny | row[1]
        allowed = not deny if deny or allow else gated is Effect.ALLOW
        effect = Effect.ALLOW if allowed else Effect.DENY
        rules = (rule for state in states for rule in self._named(state, section))
        return allowed, frozenset(
            rule.id for rule in rules if verb in rule_verbs(rule) and rule.effect is effect
        )

    def _default(self, section: Section) -> Effect | None:
        found = path_or_net(self.policy, section)
        return None if found is None else found.default

    def _named(self, state: int, section: Section) -> list[Rule]:
        return [
            rule_at(self.plan.policies, ref)
            for ref in self.plan.classes[state_class(self.plan, state)]
            if ref.section is section
        ]

    def judge(self, operation: Operation) -> Decision | None:
        return None if self.policy is None else judge(self.plan, 0, operation)


def path_or_net(policy: Policy | None, section: Section) -> PathSection | NetSection | None:
    """The section of a policy that has automata; None where there is none."""
    return None if policy is None else (policy.file, policy.exec, policy.net)[section]


def _paths(
    name: str, was: _Side, now: _Side, verbs: Sequence[PathVerb]
) -> Iterator[OperationChange]:
    product = Product([*was.machines(), *now.machines()])
    split = len(was.plan.group_mask)
    seen: set[object] = set()
    told: set[object] = set()
    for states, key in product.reachable():
        for verb in verbs:
            before = was.decided(states[:split], section_of(verb), verb)
            after = now.decided(states[split:], section_of(verb), verb)
            if before[0] == after[0] or (verb, before, after) in seen:
                continue
            seen.add((verb, before, after))
            told.add((verb, after[0]))
            path = product.path(key).decode("utf-8", "surrogateescape")
            yield _change(name, was, now, PathOperation(verb, path), before[0])
    yield from _without_path(name, was, now, verbs, told)


def _without_path(
    name: str, was: _Side, now: _Side, verbs: Sequence[PathVerb], told: set[object]
) -> Iterator[OperationChange]:
    """Memory without a file, and files that the host has no name for."""
    for verb in verbs:
        if section_of(verb) is Section.EXEC:
            operation = PathOperation(verb, ANONYMOUS_WORD)
            old, new = was.judge(operation), now.judge(operation)
            if _allowed(old) != _allowed(new):
                yield OperationChange(name, direction(_allowed(new)), operation, old, new)
        operation = PathOperation(verb, "")
        old, new = (
            None if side.policy is None else decide(side.policy, operation, ())
            for side in (was, now)
        )
        if _allowed(old) != _allowed(new) and (verb, _allowed(new)) not in told:
            yield OperationChange(name, direction(_allowed(new)), operation, old, new, True)


def _change(
    name: str, was: _Side, now: _Side, operation: Operation, before: bool
) -> OperationChange:
    old, new = was.judge(operation), now.judge(operation)
    if _allowed(old) is not before or _allowed(new) is before:
        raise Disagreement(f"policy {name!r}: no change at {operation}, where tables differ")
    return OperationChange(name, direction(not before), operation, old, new)


def _allowed(decision: Decision | None) -> bool:
    return decision is None or decision.allowed


def _sockets(name: str, was: _Side, now: _Side) -> Iterator[OperationChange]:
    language, ends = net()
    product = Product([(was.plan, was.plan.net), (now.plan, now.plan.net)], language)
    seen: set[object] = set()
    vague: list[tuple[object, NetOperation, bool]] = []
    for states, key in product.reachable():
        end = ends[key[-1]]
        for verb in end.verbs:
            before = was.decided(states[:1], Section.NET, verb)
            after = now.decided(states[1:], Section.NET, verb)
            reason = verb, before, after
            if before[0] == after[0] or reason in seen:
                continue
            found = operation_of(verb, product.path(key))
            if end.vague and verb is not NetVerb.CREATE:
                vague.append((reason, found, before[0]))
                continue
            seen.add(reason)
            easy = next(one for one in easier(found) if _decides(was, now, one, (before, after)))
            yield _change(name, was, now, easy, before[0])
    # An example with its address is easier to read than one without.
    for left, found, allowed in vague:
        if left not in seen:
            seen.add(left)
            yield _change(name, was, now, found, allowed)


def easier(found: NetOperation) -> Iterator[NetOperation]:
    """Operations much like this one that are easier to read, then this one itself."""
    has = found.address is not None
    for family, kind, protocol in (*_USUAL, (found.family, found.type, found.protocol)):
        version = 6 if family == AF_INET6 else 4
        if has and (family == AF_UNIX or (len(found.address or b"") == 16) != (version == 6)):
            continue
        if found.name is not None and family != AF_UNIX:
            continue
        easy = [bytes.fromhex(text) for text, one in _EASY if has and one == version]
        for port in (443, found.port) if has else (found.port,):
            for address in (*easy, found.address):
                yield NetOperation(found.verb, family, kind, protocol, address, port, found.name)
    yield found


def _decides(was: _Side, now: _Side, asked: NetOperation, reasons: tuple[_Reason, _Reason]) -> bool:
    """Whether an operation is decided for these reasons."""
    fed = net_bytes(asked)
    return reasons == tuple(
        side.decided([walk(side.plan, side.plan.net, fed)], Section.NET, asked.verb)
        for side in (was, now)
    )


def operation_of(verb: NetVerb, fed: bytes) -> NetOperation:
    """The operation that a string (guard.plan.netpatterns) stands for."""
    head = int(fed[1:3], 16), int(fed[3:4], 16), int(fed[4:8], 16)
    rest = fed[8:]
    if rest.startswith(b"@"):
        return NetOperation(verb, *head, name=rest[1:])
    if not rest:
        return NetOperation(verb, *head)
    return NetOperation(
        verb, *head, address=bytes.fromhex(rest[5:].decode()), port=int(rest[:4], 16)
    )


def _kernel(name: str, old: Policy | None, new: Policy | None) -> Iterator[OperationChange]:
    sides = [(policy, None if policy is None else build_plan([policy])) for policy in (old, new)]
    for op in KernelOp:
        operation = KernelOperation(op)
        was, now = (None if one is None else decide(one, operation) for one, _ in sides)
        for decision, (_, plan) in zip((was, now), sides, strict=True):
            if plan is not None and bool(kernel_verdict(plan, 1, op).denied) is _allowed(decision):
                raise Disagreement(f"policy {name!r}: {op.name} is not what tables say")
        if _allowed(was) != _allowed(now):
            yield OperationChange(name, direction(_allowed(now)), operation, was, now)
