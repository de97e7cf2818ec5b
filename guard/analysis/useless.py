# SPDX-License-Identifier: Apache-2.0
"""Rules and sections that can change no decision, as far as their text shows it."""

from __future__ import annotations

from collections.abc import Iterator

from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.model import (
    Effect,
    KernelRule,
    KernelSection,
    NetRule,
    NetSection,
    PathRule,
    PathSection,
    Pattern,
    Policy,
    Rule,
)

_Section = PathSection | NetSection | KernelSection
_What = tuple[object, ...]


def find(policy: Policy) -> Iterator[Diagnostic]:
    """What in this policy does nothing."""
    for section in policy.sections:
        if section is not None:
            yield from _of_section(section)
    if policy.kernel is not None and len(policy.kernel.rules) > 1:
        yield from _shadowed_operations(policy.kernel)


def _shadowed_operations(section: KernelSection) -> Iterator[Diagnostic]:
    """Rules on kernel operations that others make useless: these have no objects, so the
    operations that they list are all there is to compare.
    """
    first = {_what(rule): rule for rule in reversed(section.rules)}
    left = [
        rule
        for rule in section.rules
        if first[_what(rule)] is rule and (section.default is Effect.DENY or _acts(rule))
    ]
    for rule in reversed(left):
        others = [other for other in left if other is not rule]
        if any(_needed(rule, [other for other in others if op in other.ops]) for op in rule.ops):
            continue
        left = others
        op = rule.ops[0]
        of_op = [other for other in others if op in other.ops]
        denying = next((other for other in of_op if other.effect is Effect.DENY), None)
        deciding = denying or of_op[0]
        word = "denied" if deciding.effect is Effect.DENY else "allowed"
        yield Diagnostic(
            Code.SHADOWED_RULE,
            f"the rule {quoted(rule.id)} changes nothing: wherever it matches, other rules decide",
            rule.span,
            f"for example {op.name.lower()}",
            (Related(deciding.span, f"{word} by this rule anyway"),),
            "leave it out, or take its operations out of the other rule",
        )


def _needed(rule: KernelRule, others: list[KernelRule]) -> bool:
    """Whether an operation that exactly these rules list would be judged otherwise without this."""
    if rule.audit and not any(other.audit for other in others):
        return True
    if rule.effect is Effect.ALLOW and any(other.effect is Effect.DENY for other in others):
        return False
    alike = [other for other in others if other.effect is rule.effect]
    return (
        not alike
        or (rule.kill and not any(other.kill for other in alike))
        or (rule.errno is not None and all(other.errno is not rule.errno for other in alike))
    )


def _of_section(section: _Section) -> Iterator[Diagnostic]:
    if section.default is Effect.ALLOW and not any(_acts(rule) for rule in section.rules):
        yield Diagnostic(
            Code.USELESS_SECTION,
            "this section allows everything: its default is allow and no rule denies or audits",
            section.span,
            help="add a rule that denies, make the default deny, or leave the section out",
        )
        return
    first: dict[_What, Rule] = {}
    for rule in section.rules:
        earlier = first.setdefault(_what(rule), rule)
        if earlier is not rule:
            yield Diagnostic(
                Code.DUPLICATE_RULE,
                f"the rule {quoted(rule.id)} says the same as {quoted(earlier.id)}",
                rule.span,
                "again here",
                (Related(earlier.span, "first here"),),
                "leave one of them out",
            )
            continue
        yield from _of_rule(rule, section)


def _acts(rule: Rule) -> bool:
    """Whether a rule has an effect of its own under default: allow."""
    return rule.effect is Effect.DENY or rule.audit


def _of_rule(rule: Rule, section: _Section) -> Iterator[Diagnostic]:
    if section.default is Effect.ALLOW and not _acts(rule):
        yield Diagnostic(
            Code.USELESS_ALLOW,
            f"the rule {quoted(rule.id)} changes nothing: what it allows is allowed by default",
            rule.span,
            help="deny beats allow, so it makes no exception either"
            + (": use except: in the deny rule" if isinstance(rule, PathRule | NetRule) else ""),
        )
    if not isinstance(rule, PathRule):
        return
    excepts = {pattern.text: pattern for pattern in rule.excepts}
    if all(pattern.text in excepts for pattern in rule.paths):
        yield Diagnostic(
            Code.EXCEPT_ALL,
            f"the rule {quoted(rule.id)} matches nothing: except takes out every path",
            excepts[rule.paths[0].text].span,
            "taken out here",
            (Related(rule.paths[0].span, "the rule's path"),),
        )


def _what(rule: Rule) -> _What:
    """What a rule does, whatever it is called and however its lists are ordered."""
    common = (rule.effect, rule.audit, rule.kill, rule.errno)
    if isinstance(rule, PathRule):
        return *common, frozenset(rule.verbs), _texts(rule.paths), _texts(rule.excepts)
    if isinstance(rule, NetRule):
        return (
            *common,
            *map(frozenset, (rule.verbs, rule.families, rule.types, rule.protocols)),
            *(
                frozenset((each.address, each.length) for each in prefixes)
                for prefixes in (rule.to, rule.excepts)
            ),
            frozenset((each.first, each.last) for each in rule.ports),
            _texts(rule.paths),
            _texts(rule.names),
        )
    assert isinstance(rule, KernelRule)
    return *common, frozenset(rule.ops)


def _texts(patterns: tuple[Pattern, ...]) -> frozenset[str]:
    return frozenset(pattern.text for pattern in patterns)
