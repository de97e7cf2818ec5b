# SPDX-License-Identifier: Apache-2.0
"""Which unit goes into which automaton.

One automaton is best: an open steps it once. But each pattern that starts
over at every component, and has a meaning of its own, can double the states.
So when one automaton passes its budget, patterns with a fixed beginning stay
in the first and the others are dealt out by policy. A unit that fits nowhere
is refused by name, with the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.plan.aliases import Start
from guard.plan.automaton import Automaton, Globs, explore, finish, tokens_of
from guard.plan.byteclasses import ByteClasses
from guard.plan.errors import Exploded, PlanError
from guard.plan.subsets import Dfa
from guard.plan.units import Ref, Unit, unanchored
from guard.policy.patterns import Wild
from guard.wire.layout import Limit

STATES_BASE = 60_000
"""States that any automaton may have before merging. Four of these with 60 columns
fill the largest size class, and each takes one to two seconds to explore."""

STATES_PER_TOKEN = 4
"""And as many more per token written. Lists of paths stay at one state per
token; more than a few mean that patterns multiply."""

HOPELESS = 4
"""Groupings whose estimate is this many times STATES_BASE, and more than the tokens
written, are tried after the others, the smallest estimate first: a failed attempt
takes a second or two. A long list of paths alone is not hopeless."""

STATES_TOTAL = 500_000
"""States explored by failed attempts before no other grouping is tried: what bounds
the time to refuse a set, at 10 to 20 seconds."""


@dataclass(slots=True)
class _Explorer:
    globs: Globs
    classes: ByteClasses
    starts: Sequence[Start]
    spent: int = 0
    failed: Sequence[Unit] = ()

    def all(self, parts: Sequence[Sequence[Unit]]) -> list[Automaton] | None:
        """An automaton for each part; None, and ``failed``, if one passes its budget."""
        automata: list[Automaton] = []
        for part in parts:
            fits = self.attempt(part)
            if fits is None:
                self.failed = part
                return None
            automata.append(finish(*fits))
        return automata

    def budget(self, units: Sequence[Unit]) -> int:
        return STATES_BASE + STATES_PER_TOKEN * _tokens(units, self.globs)

    def attempt(self, units: Sequence[Unit]) -> tuple[Dfa, tuple[Ref, ...]] | None:
        """The automaton of units, None if it passes the budget."""
        budget = self.budget(units)
        try:
            dfa, refs = explore(units, self.globs, self.classes, self.starts, budget)
        except Exploded:
            self.spent += budget
            return None
        return dfa, refs


def group(
    units: Sequence[Unit], globs: Globs, classes: ByteClasses, starts: Sequence[Start]
) -> list[Automaton]:
    """The automata, 1 to Limit.GROUPS, that together hold the units.

    Raises PlanError, which names the first pattern that cannot be held.
    """
    explorer = _Explorer(globs, classes, starts)
    automata = None
    for parts in _groupings(units, globs):
        automata = explorer.all(parts)
        if automata is not None or explorer.spent > STATES_TOTAL:
            break
    if automata is None:
        raise _refusal(explorer.failed, explorer)
    return automata


def single(
    units: Sequence[Unit], globs: Globs, classes: ByteClasses, starts: Sequence[Start]
) -> Automaton:
    """One automaton that holds all units. Raises PlanError like ``group``."""
    explorer = _Explorer(globs, classes, starts)
    automata = explorer.all([list(units)])
    if automata is None:
        raise _refusal(explorer.failed, explorer)
    return automata[0]


def _groupings(units: Sequence[Unit], globs: Globs) -> list[list[list[Unit]]]:
    """Ways to spread the units, the preferred first.

    First all in one. Then only patterns that are loose from the root on are
    spread, then all that repeat anywhere: whole policies together, so that a
    task steps few automata, or else equal patterns of all policies together,
    whose states coincide.
    """
    ways: list[tuple[int, list[list[Unit]]]] = []
    seen: list[set[int]] = []
    for anywhere in (False, True):
        loose = {at for at, unit in enumerate(units) if _loose(unit, globs, anywhere=anywhere)}
        fixed = [unit for at, unit in enumerate(units) if at not in loose]
        rest = [unit for at, unit in enumerate(units) if at in loose]
        if not anywhere:
            ways.append((_memories(rest, globs) * _tokens(units, globs), [list(units)]))
        if loose in seen or not loose or len(units) == 1:
            continue
        seen.append(loose)
        ways.append(_deal(fixed, _by_policy(rest), globs))
        ways.append(_deal(fixed, _by_text(rest), globs))
    limit = max(HOPELESS * STATES_BASE, _tokens(units, globs))
    return [parts for _, parts in sorted(ways, key=lambda way: way[0] * (way[0] > limit))]


def _loose(unit: Unit, globs: Globs, *, anywhere: bool) -> bool:
    return any(
        unanchored(glob) and (anywhere or glob[0] == b"/")
        for pattern in unit.paths + unit.excepts
        for glob in globs[pattern.text]
    )


def _by_policy(units: Sequence[Unit]) -> list[list[Unit]]:
    lots: dict[int, list[Unit]] = {}
    for unit in units:
        lots.setdefault(unit.ref.policy, []).append(unit)
    return list(lots.values())


def _by_text(units: Sequence[Unit]) -> list[list[Unit]]:
    lots: dict[tuple[str, ...], list[Unit]] = {}
    for unit in units:
        lots.setdefault(tuple(p.text for p in unit.paths + unit.excepts), []).append(unit)
    return list(lots.values())


def _deal(fixed: list[Unit], lots: list[list[Unit]], globs: Globs) -> tuple[int, list[list[Unit]]]:
    """Deal out lots of units, each to the automaton that it leaves smallest; the
    estimate of the largest comes first.

    What multiplies is how many different things can have been matched before:
    the product of an automaton's lots' memories. It multiplies the tokens of
    the lots and of ``fixed``; and below each of the ``fixed`` that match for
    good, the lots' tokens once more. The factors fit what was measured on
    mixtures of 20 policies of 30 patterns.
    """
    parts: list[list[Unit]] = [list(fixed)] + [[] for _ in range(Limit.GROUPS - 1)]
    product = [1] * len(parts)
    tokens = [0] * len(parts)
    fixed_tokens = [_tokens(fixed, globs)] + [0] * (len(parts) - 1)
    factor = [2 + sum(_remembers(unit, globs) for unit in fixed) // 2] + [2] * (len(parts) - 1)
    memories = [_memories(lot, globs) for lot in lots]
    largest = 0
    for at in sorted(range(len(lots)), key=lambda at: (-memories[at], at)):
        more = _tokens(lots[at], globs)
        states = [
            product[to] * memories[at] * (fixed_tokens[to] + factor[to] * (tokens[to] + more))
            for to in range(len(parts))
        ]
        to = states.index(min(states))
        parts[to] += lots[at]
        product[to] *= memories[at]
        tokens[to] += more
        largest = max(largest, states[to])
    return largest, [part for part in parts if part]


def _tokens(units: Sequence[Unit], globs: Globs) -> int:
    return sum(tokens_of(unit.paths + unit.excepts, globs) for unit in units)


def _remembers(unit: Unit, globs: Globs) -> bool:
    """Whether a path can have matched the unit before its end is read."""
    return any(
        tail and isinstance(tail[-1], Wild)
        for pattern in unit.paths
        for _, tail in globs[pattern.text]
    )


def _memories(units: Sequence[Unit], globs: Globs) -> int:
    """How many different sets of facts some units can have given while a path is read.

    A trailing '**' gives for good and a trailing '*' to the component's end. Equal
    patterns give together.
    """
    gives: dict[str, int] = {}
    for unit in units:
        if _remembers(unit, globs):
            text = " ".join(pattern.text for pattern in unit.paths)
            shift = 1 << unit.ref.policy
            gives[text] = gives.get(text, 0) | unit.effects.decided | shift
    given = {0}
    for facts in gives.values():
        given |= {before | facts for before in given}
        if len(given) > STATES_BASE:
            break
    return len(given)


def _refusal(units: Sequence[Unit], explorer: _Explorer) -> PlanError:
    """The error for the first of the units that multiplies those before it too far."""
    fits, states, step = 0, 0, 1
    fails = len(units)
    while fits + 1 < fails:
        count = min(fits + step, fails - 1)
        attempt = explorer.attempt(units[:count])
        if attempt is None:
            fails = count
            step = max(1, (fails - fits) // 2)
        else:
            fits, states = count, attempt[0].states
            step = min(step * 2, max(1, (fails - fits) // 2))
    pattern = units[fits].paths[0]
    budget = explorer.budget(units[: fits + 1])
    return PlanError(
        f"pattern {pattern.text!r} multiplies the automaton's states beyond {budget};"
        f" the {fits} patterns before it need {states}",
        pattern.span,
        "begin the pattern with a fixed directory, or use fewer '*' and '**' that are"
        " followed by more text; patterns with the same effect cost less than different ones",
    )
