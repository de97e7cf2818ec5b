# SPDX-License-Identifier: Apache-2.0
"""Rules that change nothing, proved by the tables: others decide wherever they match.

A class is all that a path can be told apart by, so a rule is needed only if
some class has no other rule that decides as it does. Classes that no path
reaches only make this find less, never wrongly. What is found is left out
before the next rule is judged, so that all that is found can be left out
together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from guard.analysis.evaluate import decide
from guard.analysis.near import Near
from guard.analysis.overlap import any_clash, meeting_paths, meeting_sockets
from guard.plan.agree import Disagreement
from guard.plan.classes import Together, together
from guard.plan.compare_operations import path_or_net
from guard.plan.errors import PlanError
from guard.plan.examples import ObjectRule, example, shown, with_rules
from guard.plan.units import wants_other_errno
from guard.policy.codes import Code, Severity
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.load import Loaded
from guard.policy.model import Effect, NetRule, PathRule, Policy
from guard.policy.source import Span
from guard.wire.layout import Section

_TOLD = frozenset((Code.DUPLICATE_RULE, Code.USELESS_ALLOW, Code.USELESS_SECTION, Code.EXCEPT_ALL))
"""Findings that say of a rule, or of them all, that it does nothing."""


def add_shadowed(loaded: Loaded) -> Loaded:
    """The set with what is found by tables added; a refused set comes back as it is.

    The passes of guard.analysis have run: what they told is not told again.
    """
    if any(
        found.severity is Severity.ERROR and found.code not in _TOLD for found in loaded.diagnostics
    ):
        return loaded
    told = {(each.span.file, each.span.line) for each in loaded.diagnostics if each.code in _TOLD}
    found = [each for policy in loaded.policies for each in find(policy, told)]
    if any_clash(loaded.policies):
        from guard.plan import unmet  # noqa: PLC0415 - it builds on this module

        found += unmet.find(loaded.policies)
    if not found:
        return loaded
    order = {name: at for at, name in enumerate(loaded.texts)}
    every = sorted(
        (*loaded.diagnostics, *found), key=lambda each: (order[each.span.file], each.span.line)
    )
    return loaded._replace(diagnostics=tuple(every))


def find(policy: Policy, told: Collection[tuple[str, int]] = ()) -> Iterator[Diagnostic]:
    """The rules of a policy that can be left out, with no decision and no record changed.

    ``told`` are the places, file and line, of rules that are known to do nothing.
    """
    for section in (Section.FILE, Section.EXEC, Section.NET):
        yield from _of_section(policy, section, told)


def _of_section(
    policy: Policy, section: Section, told: Collection[tuple[str, int]]
) -> Iterator[Diagnostic]:
    found = path_or_net(policy, section)
    if found is None or (found.span.file, found.span.line) in told:
        return
    every: list[ObjectRule] = [rule for rule in found.rules if not _told(told, rule.span)]
    policy = with_rules(policy, section, every)
    rules = _meeting(every)
    if not rules:
        return
    try:
        unneeded = _unneeded(together(with_rules(policy, section, rules), section), rules)
    except PlanError:
        return  # too large for tables: whoever loads it is told, with the pattern's place
    left_out = {id(rule) for rule in unneeded}
    candidates = Near(every)
    policy = with_rules(policy, section, ())
    for rule in reversed(unneeded):
        yield _finding(policy, section, rule, candidates, left_out)


def _meeting(rules: Sequence[ObjectRule]) -> list[ObjectRule]:
    found: list[ObjectRule] = []
    found += meeting_paths([rule for rule in rules if isinstance(rule, PathRule)])
    found += meeting_sockets([rule for rule in rules if isinstance(rule, NetRule)])
    return found


def _told(told: Collection[tuple[str, int]], span: Span) -> bool:
    # A finding about a rule may be on any of its lines.
    return any((span.file, line) in told for line in range(span.line, span.end_line + 1))


def _unneeded(classes: Sequence[Together], rules: Sequence[ObjectRule]) -> list[ObjectRule]:
    """Rules that every class can do without, the last first."""
    members = [set(one.rules) for one in classes]
    within: list[list[int]] = [[] for _ in rules]
    for at, one in enumerate(members):
        for number in one:
            within[number].append(at)
    found = []
    for number in reversed(range(len(rules))):
        if any(
            _needed(
                rules[number],
                [rules[other] for other in members[at] if other != number],
                classes[at].verbs,
            )
            for at in within[number]
        ):
            continue
        found.append(rules[number])
        for at in within[number]:
            members[at].discard(number)
    return found


def _needed(rule: ObjectRule, others: Sequence[ObjectRule], verbs: Collection[int]) -> bool:
    """Whether an object that exactly these rules match would be judged otherwise without this."""
    for verb in rule.verbs:
        if verb not in verbs:
            continue
        rest = [other for other in others if verb in other.verbs]
        if rule.audit and not any(other.audit for other in rest):
            return True
        denied = any(other.effect is Effect.DENY for other in rest)
        if rule.effect is Effect.ALLOW and denied:
            continue
        alike = [other for other in rest if other.effect is rule.effect]
        if not alike:
            return True
        if rule.kill and not any(other.kill for other in alike):
            return True
        if wants_other_errno(rule) and not any(map(wants_other_errno, alike)):
            return True
    return False


def _finding(
    policy: Policy,
    section: Section,
    rule: ObjectRule,
    candidates: Near,
    left_out: Collection[int],
) -> Diagnostic:
    """What is told about a rule that can be left out, ``left_out`` being the ids of all such
    rules, and ``candidates`` what may match an operation, with them.
    """
    operation = example(policy, section, rule)
    if operation is None:
        return Diagnostic(
            Code.EXCEPT_ALL,
            f"the rule {quoted(rule.id)} matches nothing"
            + (": except takes out everything" if rule.excepts else ""),
            rule.span,
        )
    near = candidates.rules(operation)
    kept = with_rules(policy, section, [one for one in near if id(one) not in left_out])
    decision = decide(kept, operation)
    before = decide(with_rules(policy, section, near), operation)
    if decision.allowed != before.allowed or not decision.deciding:
        raise Disagreement(f"the rule {rule.id!r} is not useless at {operation}")
    effect = decision.deciding[0].effect
    beaten = effect is not rule.effect
    return Diagnostic(
        Code.SHADOWED_RULE,
        f"the rule {quoted(rule.id)} changes nothing: wherever it matches, other rules decide",
        rule.span,
        f"for example {shown(operation)}",
        (
            Related(
                decision.deciding[0].span,
                f"{'denied' if effect is Effect.DENY else 'allowed'} by this rule anyway",
            ),
        ),
        "deny beats allow: put what is to be allowed into the deny rule's except"
        if beaten
        else "leave it out, or narrow the other rule",
    )
