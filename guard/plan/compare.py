# SPDX-License-Identifier: Apache-2.0
"""Two versions of policies: what became allowed or denied, each with an example.

Policies are compared by name, each by itself. The answer is exact: both
versions' tables are walked together over all paths there can be, so no change
is missed, and every example is confirmed by the reference evaluator.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.analysis.evaluate import Decision, subject_applies
from guard.plan.agree import Disagreement, judge
from guard.plan.build import build_plan
from guard.plan.plan import Plan, section_of, state_class, state_row
from guard.plan.product import Product
from guard.plan.units import rule_at, rule_verbs
from guard.policy.model import (
    Effect,
    Mode,
    NetSection,
    PathOperation,
    PathSection,
    Pattern,
    Policy,
    Rule,
)
from guard.wire.layout import PathVerb, Section


class Direction(enum.Enum):
    """Whether a change lets through more than before, or less."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"


@dataclass(frozen=True, slots=True)
class FileChange:
    """Operations that one reason decided before and another decides now.

    ``witness`` is one of the paths. A side is None where that version has no
    such policy, and so allows.
    """

    name: str
    direction: Direction
    verb: PathVerb
    witness: bytes
    old: Decision | None
    new: Decision | None


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """Executables that a policy applies to no longer, or only now; ``witness`` is one."""

    name: str
    direction: Direction
    witness: bytes


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A change of a whole policy that has no path: ``what`` says it."""

    name: str
    direction: Direction
    what: str


Change = FileChange | SubjectChange | PolicyChange


def compare(old: Sequence[Policy], new: Sequence[Policy]) -> list[Change]:
    """All changes, by policy in the order of ``new``, then those that are gone.

    Raises PlanError, TooLarge, and Disagreement, which is a bug.
    """
    before = {policy.name: policy for policy in old}
    after = {policy.name: policy for policy in new}
    found: list[Change] = []
    for name in dict.fromkeys((*after, *before)):
        was, now = before.get(name), after.get(name)
        found += _whole(name, was, now)
        if was is not None and now is not None and not _same_subject(was, now):
            found += _subjects(name, was, now)
        if _meaning(was) != _meaning(now):
            found += _files(name, was, now)
    return found


def _whole(name: str, old: Policy | None, new: Policy | None) -> Iterator[PolicyChange]:
    if old is None or new is None:
        what = "this policy is gone" if new is None else "this policy is new"
        loosens = new is None
        yield PolicyChange(name, _direction(loosens), what)
        return
    if old.mode is not new.mode:
        what = f"mode: {old.mode.value} became {new.mode.value}"
        yield PolicyChange(name, _direction(new.mode is Mode.AUDIT), what)
    # A host-wide policy has no need to be inherited: it applies to every task.
    was, now = old.subject.inherit or old.subject.host, new.subject.inherit or new.subject.host
    if was != now:
        what = f"what its tasks execute {'stays' if now else 'no longer stays'} under it"
        yield PolicyChange(name, _direction(was), what)


def _direction(loosens: bool) -> Direction:
    return Direction.LOOSENS if loosens else Direction.TIGHTENS


def _texts(patterns: Sequence[Pattern]) -> frozenset[str]:
    return frozenset(pattern.text for pattern in patterns)


def _same_subject(old: Policy, new: Policy) -> bool:
    return (old.subject.host, _texts(old.subject.exe)) == (
        new.subject.host,
        _texts(new.subject.exe),
    )


def _meaning(policy: Policy | None) -> object:
    """What decides about paths, without names and places; equal where nothing can differ."""
    if policy is None:
        return None
    found: list[object] = []
    for section in (policy.file, policy.exec):
        rules = frozenset(
            (rule.effect, frozenset(rule.verbs), _texts(rule.paths), _texts(rule.excepts))
            for rule in (section.rules if section is not None else ())
        )
        found.append((section and section.default, rules))
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    """One version of a policy, compiled alone: its bit is the first."""

    plan: Plan
    policy: Policy | None

    def machines(self) -> list[tuple[Plan, int]]:
        return [(self.plan, state) for state in self.plan.starts[0].groups]

    def decided(self, states: Sequence[int], verb: PathVerb) -> tuple[bool, frozenset[str]]:
        """Whether the tables allow, and the ids of the rules that they name for it."""
        section = path_section(self.policy, verb) if self.policy is not None else None
        if section is None:
            return True, frozenset()
        allow = deny = 0
        for state in states:
            row = state_row(self.plan, state, verb)
            allow, deny = allow | row[0], deny | row[1]
        allowed = not deny if deny or allow else section.default is Effect.ALLOW
        effect = Effect.ALLOW if allowed else Effect.DENY
        rules = (rule for state in states for rule in self._named(state, section_of(verb)))
        return allowed, frozenset(
            rule.id for rule in rules if verb in rule_verbs(rule) and rule.effect is effect
        )

    def _named(self, state: int, section: Section) -> list[Rule]:
        return [
            rule_at(self.plan.policies, ref)
            for ref in self.plan.classes[state_class(self.plan, state)]
            if ref.section is section
        ]

    def judge(self, verb: PathVerb, path: bytes) -> Decision | None:
        operation = PathOperation(verb, path.decode("utf-8", "surrogateescape"))
        return None if self.policy is None else judge(self.plan, 0, operation)


def path_section(policy: Policy, verb: PathVerb) -> PathSection | NetSection | None:
    """The section of a policy that judges a verb on paths."""
    return (policy.file, policy.exec, policy.net)[section_of(verb)]


def _side(policy: Policy | None) -> _Side:
    return _Side(build_plan([] if policy is None else [policy]), policy)


def _files(name: str, old: Policy | None, new: Policy | None) -> Iterator[FileChange]:
    was, now = _side(old), _side(new)
    product = Product([*was.machines(), *now.machines()])
    split = len(was.plan.group_mask)
    seen: set[object] = set()
    for states, key in product.reachable():
        for verb in PathVerb:
            before, old_ids = was.decided(states[:split], verb)
            after, new_ids = now.decided(states[split:], verb)
            reason = (verb, after, old_ids, new_ids)
            if before == after or reason in seen:
                continue
            seen.add(reason)
            path = product.path(key)
            decisions = was.judge(verb, path), now.judge(verb, path)
            if _allowed(decisions[0]) is not before or _allowed(decisions[1]) is not after:
                raise Disagreement(f"policy {name!r}: no change at {path!r}, where tables differ")
            yield FileChange(name, _direction(after), verb, path, *decisions)


def _allowed(decision: Decision | None) -> bool:
    return decision is None or decision.allowed


def _subjects(name: str, old: Policy, new: Policy) -> Iterator[SubjectChange]:
    """One executable that is no longer covered, and one that is only now."""
    sides = [_side(old), _side(new)]
    product = Product([(side.plan, side.plan.starts[0].subject) for side in sides])
    seen: set[bool] = set()
    for states, key in product.reachable():
        covered = [
            side.plan.masks.host | state_row(side.plan, state, 0)[0]
            for side, state in zip(sides, states, strict=True)
        ]
        was, now = map(bool, covered)
        if was == now or was in seen:
            continue
        path = product.path(key)
        if path == b"/":  # a directory, and no executable
            continue
        seen.add(was)
        if (subject_applies(old, path), subject_applies(new, path)) != (was, now):
            raise Disagreement(f"policy {name!r}: executable {path!r} is not what tables say")
        yield SubjectChange(name, _direction(was), path)
