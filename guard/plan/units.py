# SPDX-License-Identifier: Apache-2.0
"""From policies to units: what is placed into automata, one piece at a time.

A unit is one pattern of a rule, or a whole rule where it has excepts, because
an except must be seen by the automaton that sees the rule's paths. Knows
nothing of states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.plan.netpatterns import rule_patterns
from guard.policy.model import (
    Effect,
    Errno,
    KernelRule,
    NetRule,
    PathRule,
    Pattern,
    Policy,
    Rule,
)
from guard.policy.networds import AF_UNIX
from guard.policy.patterns import Token, Wild, expand
from guard.wire.layout import Limit, Section

# Text that stands for its own bytes: nothing in it is special to a glob.
_PLAIN = re.compile(r"[^*?\[\]{},\\$\0]+")

ANONYMOUS_WORD = "anonymous"
"""In an exec rule: memory without a file, and files without a name. No path begins so."""

Glob = tuple[bytes, tuple[Token, ...]]
"""One alternative of a pattern: its literal bytes, then the tokens that follow."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A rule by its place: policy's bit, section, and index in the section.

    In the subjects' automata ``rule`` is SUBJECT.
    """

    policy: int
    rule: int
    section: Section = Section.FILE


SUBJECT = -1


def section_rules(policy: Policy, section: Section) -> Sequence[Rule]:
    """The rules of one section; none where the policy has no such section."""
    found = policy.sections[section]
    return found.rules if found is not None else ()


def rule_at(policies: Sequence[Policy], ref: Ref) -> Rule:
    """The rule that a ref, not SUBJECT, stands for."""
    return section_rules(policies[ref.policy], ref.section)[ref.rule]


def rule_verbs(rule: Rule) -> tuple[int, ...]:
    """The verbs that a rule has in rows; none for operations on the kernel."""
    return rule.verbs if isinstance(rule, PathRule | NetRule) else ()


@dataclass(frozen=True, slots=True)
class Effects:
    """What a rule can decide, as sets of facts (a bit per policy, verb and kind).

    ``wanted`` are the facts that the rule itself gives; ``decided`` adds those
    that can no longer matter once it gave them: an allow under a deny. ``denies``
    are the facts that would be denials of its verbs.
    """

    wanted: int
    decided: int
    denies: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Patterns that must be in one automaton, and the rule that they belong to."""

    ref: Ref
    effects: Effects
    deny: bool
    paths: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...]


def path_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all rules on paths, policies, sections and rules in order."""
    units: list[Unit] = []
    for ref, rule in _all_rules(policies, (Section.FILE, Section.EXEC, Section.NET)):
        excepts: tuple[Pattern, ...] = ()
        if isinstance(rule, PathRule):
            paths, excepts = rule.paths, rule.excepts
        elif isinstance(rule, NetRule):
            paths = unix_paths(rule)
        else:
            continue
        if paths:
            units += _units(ref, rule_effects(ref.policy, rule), paths, excepts)
    return units


def unix_paths(rule: NetRule) -> tuple[Pattern, ...]:
    """The named UNIX sockets that a net rule is about: all, where it has no address at all."""
    if rule.paths or rule.to or rule.ports or rule.names:
        return rule.paths
    if rule.families and AF_UNIX not in rule.families:
        return ()
    return (Pattern("/**", rule.span),)


def net_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all rules on sockets and addresses. Raises PlanError for one too large."""
    units: list[Unit] = []
    for ref, rule in _all_rules(policies, (Section.NET,)):
        assert isinstance(rule, NetRule)
        patterns = rule_patterns(rule)
        if patterns.paths:
            effects = rule_effects(ref.policy, rule)
            units += _units(ref, effects, patterns.paths, patterns.excepts)
    return units


def _units(
    ref: Ref, effects: Effects, paths: tuple[Pattern, ...], excepts: tuple[Pattern, ...]
) -> list[Unit]:
    deny = bool(effects.wanted & effects.denies)
    if excepts:
        return [Unit(ref, effects, deny, paths, excepts)]
    return [Unit(ref, effects, deny, (path,), ()) for path in paths]


def _all_rules(
    policies: Sequence[Policy], sections: Sequence[Section]
) -> Iterator[tuple[Ref, Rule]]:
    for bit, policy in enumerate(policies):
        for section in sections:
            for index, rule in enumerate(section_rules(policy, section)):
                yield Ref(bit, index, section), rule


def subject_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all executables' patterns; the only fact is a policy's bit."""
    return _subjects([policy.subject.exe for policy in policies])


def cgroup_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all control groups' patterns: a group, and everything below it."""
    return _subjects(
        [
            tuple(
                Pattern(text + "{,/**}", pattern.span)
                for pattern, text in (
                    *((each, each.text) for each in policy.subject.cgroups),
                    *((each, "/**/" + each.text) for each in policy.subject.units),
                )
            )
            for policy in policies
        ]
    )


def _subjects(patterns: Sequence[Sequence[Pattern]]) -> list[Unit]:
    return [
        Unit(Ref(bit, SUBJECT), Effects(1 << bit, 1 << bit, 0), False, (path,), ())
        for bit, paths in enumerate(patterns)
        for path in paths
    ]


_ALLOW, _DENY, _AUDIT, _KILL, _ERRNO, _KINDS = 0, 1, 2, 3, 4, 5


def rule_effects(policy: int, rule: Rule) -> Effects:
    """A rule's facts."""
    wanted = decided = denies = 0
    for verb in rule_verbs(rule):
        first = (policy * Limit.VERBS + verb) * _KINDS
        kind = _DENY if rule.effect is Effect.DENY else _ALLOW
        denies |= 1 << (first + _DENY)
        wanted |= 1 << (first + kind)
        decided |= 1 << (first + kind) | 1 << (first + _ALLOW)
        if rule.audit:
            wanted |= 1 << (first + _AUDIT)
        if rule.kill:
            wanted |= 1 << (first + _KILL)
        if wants_other_errno(rule):
            wanted |= 1 << (first + _ERRNO)
    return Effects(wanted, decided | wanted, denies)


def wants_other_errno(rule: Rule) -> bool:
    """Whether the rule asks for the errno that its section does not give by itself."""
    usual = Errno.EPERM if isinstance(rule, KernelRule) else Errno.EACCES
    return rule.errno not in (None, usual)


def globs(pattern: Pattern) -> list[Glob]:
    """A pattern's alternatives. The pattern is valid: parsing has expanded it before."""
    text = pattern.text
    if text == ANONYMOUS_WORD:
        return [(text.encode(), ())]
    # Plain text and plain text with /** are most of every large rule set, and
    # reading them through expand would be most of the time to compile it.
    if text.endswith("/**"):
        if _PLAIN.fullmatch(text, 0, len(text) - 2):
            return [(text[:-2].encode(), (Wild.GLOBSTAR,))]
    elif _PLAIN.fullmatch(text):
        return [(text.encode(), ())]
    return [_split(tokens) for tokens in expand(text)]


def _split(tokens: tuple[Token, ...]) -> Glob:
    literal = 0
    while literal < len(tokens) and isinstance(tokens[literal], int):
        literal += 1
    return bytes(tokens[:literal]), tokens[literal:]  # type: ignore[arg-type]


def unanchored(glob: Glob) -> bool:
    """Whether a glob starts over at every component or byte that it passes.

    Such globs multiply states: the automaton must remember what it has seen
    of each beside all the others. A run at the very end only remembers.
    """
    runs = [token for token in glob[1][:-1] if isinstance(token, Wild)]
    return any(run is not Wild.STAR for run in runs) or len(runs) > 1
