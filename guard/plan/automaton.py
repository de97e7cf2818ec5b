# SPDX-License-Identifier: Apache-2.0
"""One automaton from units: trie, sets, merging. Knows no bytes of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from guard.plan.aliases import Start
from guard.plan.byteclasses import ByteClasses
from guard.plan.domination import Rule
from guard.plan.minimise import Minimal, minimise
from guard.plan.subsets import Dfa, determinise
from guard.plan.trie import Trie
from guard.plan.units import Glob, Ref, Unit
from guard.policy.model import Pattern

Globs = Mapping[str, Sequence[Glob]]
"""Every pattern text's alternatives, read once."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """A merged automaton; rule numbers in its classes index ``refs``."""

    minimal: Minimal
    refs: tuple[Ref, ...]
    explored: int


def explore(
    units: Iterable[Unit], globs: Globs, classes: ByteClasses, starts: Sequence[Start], budget: int
) -> tuple[Dfa, tuple[Ref, ...]]:
    """The automaton of some units before merging. Raises Exploded beyond ``budget``."""
    trie = Trie()
    numbers: dict[Ref, int] = {}
    rules: list[Rule] = []
    insert = trie.insert
    for unit in units:
        number = numbers.setdefault(unit.ref, len(rules))
        if number == len(rules):
            rules.append(Rule(unit.effects, unit.deny, bool(unit.excepts)))
        for patterns, end in ((unit.paths, 2 * number), (unit.excepts, 2 * number + 1)):
            for pattern in patterns:
                for glob in globs[pattern.text]:
                    insert(glob, end)
    return determinise(trie, rules, classes, starts, budget), tuple(numbers)


def finish(dfa: Dfa, refs: tuple[Ref, ...]) -> Automaton:
    """Merge an explored automaton's states."""
    return Automaton(minimise(dfa), refs, dfa.states)


def tokens_of(patterns: Sequence[Pattern], globs: Globs) -> int:
    """How many tokens patterns have: the size of the problem as it was written."""
    return sum(
        len(literal) + len(tail) for pattern in patterns for literal, tail in globs[pattern.text]
    )
