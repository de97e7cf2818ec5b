# SPDX-License-Identifier: Apache-2.0
"""Rules that change nothing, proved by the tables: others decide wherever they match.

A class is all that a path can be told apart by, so a rule is needed only if
some class has no other rule that decides as it does. Classes that no path
reaches only make this find less, never wrongly. What is found is left out
before the next rule is judged, so that all that is found can be left out
together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from guard.analysis.evaluate import decide, rule_matches
from guard.analysis.overlap import meeting
from guard.plan.agree import Disagreement
from guard.plan.build import build_plan
from guard.plan.errors import PlanError
from guard.plan.plan import Plan, state_class
from guard.plan.product import Product, TooLarge
from guard.plan.units import SUBJECT
from guard.policy.codes import Code, Severity
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.load import Loaded
from guard.policy.model import Effect, PathOperation, PathRule, Policy, Subject
from guard.policy.source import Span

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
    if policy.file is None or (policy.file.span.file, policy.file.span.line) in told:
        return
    every = [rule for rule in policy.file.rules if not _told(told, rule.span)]
    policy = _with(policy, every)
    rules = meeting(policy)
    if not rules:
        return
    try:
        plan = build_plan([_with(policy, rules)])
    except PlanError:
        return  # too large for tables: whoever loads it is told, with the pattern's place
    unneeded = _unneeded(plan, rules)
    kept = _with(policy, [rule for rule in every if rule not in unneeded])
    for rule in reversed(unneeded):
        found = _finding(policy, rule, kept)
        if found is not None:
            yield found


def _told(told: Collection[tuple[str, int]], span: Span) -> bool:
    # A finding about a rule may be on any of its lines.
    return any((span.file, line) in told for line in range(span.line, span.end_line + 1))


def _with(policy: Policy, rules: Sequence[PathRule]) -> Policy:
    """The policy with these rules alone, for a subject that costs nothing to compile."""
    assert policy.file is not None, "only a policy with a file section has rules"
    section = dataclasses.replace(policy.file, rules=tuple(rules))
    subject = Subject((), True, False, policy.subject.span)
    return dataclasses.replace(
        policy, file=section, exec=None, net=None, kernel=None, subject=subject
    )


def _unneeded(plan: Plan, rules: Sequence[PathRule]) -> list[PathRule]:
    """Rules that every class can do without, the last first."""
    classes = [{ref.rule for ref in refs if ref.rule != SUBJECT} for refs in plan.classes]
    within: list[list[set[int]]] = [[] for _ in rules]
    for members in classes:
        for number in members:
            within[number].append(members)
    found = []
    for number in reversed(range(len(rules))):
        if any(
            _needed(rules[number], [rules[other] for other in members if other != number])
            for members in within[number]
        ):
            continue
        found.append(rules[number])
        for members in within[number]:
            members.discard(number)
    return found


def _needed(rule: PathRule, others: Sequence[PathRule]) -> bool:
    """Whether a path that exactly these rules match would be judged otherwise without this."""
    for verb in rule.verbs:
        rest = [other for other in others if verb in other.verbs]
        if rule.audit and not any(other.audit for other in rest):
            return True
        denied = any(other.effect is Effect.DENY for other in rest)
        if rule.effect is Effect.ALLOW and denied:
            continue
        if not any(other.effect is rule.effect for other in rest):
            return True
    return False


def _finding(policy: Policy, rule: PathRule, kept: Policy) -> Diagnostic | None:
    path = _example(policy, rule)
    if path is None:
        return Diagnostic(
            Code.EXCEPT_ALL,
            f"the rule {quoted(rule.id)} matches nothing: except takes out every path",
            rule.span,
        )
    verb = rule.verbs[0]
    operation = PathOperation(verb, path.decode("utf-8", "surrogateescape"))
    decision = decide(kept, operation)
    if decision.allowed != decide(policy, operation).allowed or not decision.deciding:
        raise Disagreement(f"the rule {rule.id!r} is not useless at {path!r}")
    shown = path.decode("utf-8", "backslashreplace")
    effect = decision.deciding[0].effect
    beaten = effect is not rule.effect
    return Diagnostic(
        Code.SHADOWED_RULE,
        f"the rule {quoted(rule.id)} changes nothing: wherever it matches, other rules decide",
        rule.span,
        f"for example {verb.name.lower()} {quoted(shown)}",
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


def _example(policy: Policy, rule: PathRule) -> bytes | None:
    """A shortest path that a rule matches; None if it is proved that there is none."""
    plan = build_plan([_with(policy, [rule])])
    product = Product([(plan, state) for state in plan.starts[0].groups])
    try:
        for states, key in product.reachable():
            if any(plan.classes[state_class(plan, state)] for state in states):
                path = product.path(key)
                if not rule_matches(rule, (path,)):
                    raise Disagreement(f"the rule {rule.id!r} does not match {path!r}")
                return path
    except TooLarge as error:  # one rule is far from so many combinations
        raise Disagreement(f"the rule {rule.id!r} has no end") from error
    return None
