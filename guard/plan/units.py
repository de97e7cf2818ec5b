# SPDX-License-Identifier: Apache-2.0
"""From policies to units: what is placed into automata, one piece at a time.

A unit is one pattern of a rule, or a whole rule where it has excepts, because
an except must be seen by the automaton that sees the rule's paths. Knows
nothing of states.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from guard.policy.model import Effect, PathRule, Pattern, Policy
from guard.policy.patterns import Token, Wild, expand
from guard.wire.layout import PathVerb

# Text that stands for its own bytes: nothing in it is special to a glob.
_PLAIN = re.compile(r"[^*?\[\]{},\\$\0]+")

Glob = tuple[bytes, tuple[Token, ...]]
"""One alternative of a pattern: its literal bytes, then the tokens that follow."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A rule by its place: policy's bit, and index in its file section.

    In the subject automaton ``rule`` is SUBJECT.
    """

    policy: int
    rule: int


SUBJECT = -1


@dataclass(frozen=True, slots=True)
class Effects:
    """What a rule can decide, as sets of facts (a bit per policy, verb and kind).

    ``wanted`` are the facts that the rule itself gives; ``decided`` adds those
    that can no longer matter once it gave them: an allow under a deny.
    """

    wanted: int
    decided: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Patterns that must be in one automaton, and the rule that they belong to."""

    ref: Ref
    effects: Effects
    deny: bool
    paths: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...]


def file_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all file rules, policies and rules in order."""
    units: list[Unit] = []
    for bit, policy in enumerate(policies):
        if policy.file is None:
            continue
        for index, rule in enumerate(policy.file.rules):
            ref = Ref(bit, index)
            effects = rule_effects(bit, rule)
            deny = rule.effect is Effect.DENY
            if rule.excepts:
                units.append(Unit(ref, effects, deny, rule.paths, rule.excepts))
            else:
                units += [Unit(ref, effects, deny, (path,), ()) for path in rule.paths]
    return units


def subject_units(policies: Sequence[Policy]) -> list[Unit]:
    """The units of all executables' patterns; the only fact is a policy's bit."""
    return [
        Unit(Ref(bit, SUBJECT), Effects(1 << bit, 1 << bit), False, (path,), ())
        for bit, policy in enumerate(policies)
        for path in policy.subject.exe
    ]


_ALLOW, _DENY, _AUDIT, _KINDS = 0, 1, 2, 3


def rule_effects(policy: int, rule: PathRule) -> Effects:
    """A file rule's facts."""
    wanted = decided = 0
    for verb in rule.verbs:
        first = (policy * len(PathVerb) + verb) * _KINDS
        kind = _DENY if rule.effect is Effect.DENY else _ALLOW
        wanted |= 1 << (first + kind)
        decided |= 1 << (first + kind) | 1 << (first + _ALLOW)
        if rule.audit:
            wanted |= 1 << (first + _AUDIT)
    return Effects(wanted, decided | wanted)


def globs(pattern: Pattern) -> list[Glob]:
    """A pattern's alternatives. The pattern is valid: parsing has expanded it before."""
    text = pattern.text
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
