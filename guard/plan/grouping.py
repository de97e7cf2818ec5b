# SPDX-License-Identifier: Apache-2.0
"""Which unit goes into which automaton.

One automaton is best: an open steps it once. But each pattern that starts
over at every component, and has a meaning of its own, can double the states.
So when one automaton passes its budget, patterns with a fixed beginning stay
in the first and the others are dealt out by policy. A unit that fits nowhere
is refused by name, with the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guard.plan.aliases import Start
from guard.plan.automaton import Automaton, Globs, explore, finish, tokens_of
from guard.plan.byteclasses import ByteClasses
from guard.plan.errors import Exploded, PlanError
from guard.plan.subsets import Dfa
from guard.plan.units import Ref, Unit, unanchored
from guard.policy.patterns import Wild
from guard.wire.layout import Limit

STATES_BASE = 40_000
"""States that any automaton may have: with some 50 columns, 8 MB before merging,
and under a second to explore."""

STATES_PER_TOKEN = 4
"""And as many more per token written. Lists of paths stay at one state per
token; more than a few mean that patterns multiply."""

STATES_TOTAL = 1_500_000
"""States explored over all attempts to group one set: what bounds the time to
compile, or to refuse, at about twenty seconds."""


@dataclass(slots=True)
class _Explorer:
    globs: Globs
    classes: ByteClasses
    starts: Sequence[Start]
    spent: int = 0

    def budget(self, units: Sequence[Unit]) -> int:
        tokens = sum(tokens_of(unit.paths + unit.excepts, self.globs) for unit in units)
        return STATES_BASE + STATES_PER_TOKEN * tokens

    def attempt(self, units: Sequence[Unit]) -> tuple[Dfa, tuple[Ref, ...]] | None:
        """The automaton of units, None if it passes the budget."""
        budget = self.budget(units)
        try:
            dfa, refs = explore(units, self.globs, self.classes, self.starts, budget)
        except Exploded:
            self.spent += budget
            return None
        self.spent += dfa.states
        return dfa, refs


def group(
    units: Sequence[Unit], globs: Globs, classes: ByteClasses, starts: Sequence[Start]
) -> list[Automaton]:
    """The automata, 1 to Limit.GROUPS, that together hold the units.

    Raises PlanError, which names the first pattern that cannot be held.
    """
    explorer = _Explorer(globs, classes, starts)
    whole = explorer.attempt(units)
    if whole is not None:
        return [finish(*whole)]
    free = {index for index, unit in enumerate(units) if _free(unit, globs)}
    fixed = [unit for index, unit in enumerate(units) if index not in free]
    loose = [units[index] for index in sorted(free)]
    dealt = _deal(loose, globs)
    automata: list[Automaton] = []
    for part in [fixed, *dealt]:
        if not part:
            continue
        fits = explorer.attempt(part)
        if fits is None:
            automata.clear()
            break
        automata.append(finish(*fits))
    if automata:
        return automata
    return _fill(fixed + [unit for part in dealt for unit in part], explorer)


def single(
    units: Sequence[Unit], globs: Globs, classes: ByteClasses, starts: Sequence[Start]
) -> Automaton:
    """One automaton that holds all units. Raises PlanError like ``group``."""
    explorer = _Explorer(globs, classes, starts)
    fits = explorer.attempt(units)
    if fits is None:
        count = _longest(units, explorer)
        raise _refusal(units, count, explorer)
    return finish(*fits)


def _free(unit: Unit, globs: Globs) -> bool:
    return any(
        unanchored(glob) for pattern in unit.paths + unit.excepts for glob in globs[pattern.text]
    )


def _deal(units: Sequence[Unit], globs: Globs) -> list[list[Unit]]:
    """Spread units over all automata but the first, whole policies together.

    What multiplies is how many different things can have been matched for
    good: per policy, the sets of facts that its trailing '/**' can give. The
    policy with most goes first, to the automaton with the smallest product.
    """
    policies: dict[int, list[Unit]] = {}
    for unit in units:
        policies.setdefault(unit.ref.policy, []).append(unit)
    weight = {bit: _memories(part, globs) for bit, part in policies.items()}
    bins: list[list[int]] = [[] for _ in range(Limit.GROUPS - 1)]
    product = [1] * len(bins)
    tokens = [0] * len(bins)
    for bit in sorted(policies, key=lambda bit: (-weight[bit], bit)):
        at = min(range(len(bins)), key=lambda i: (product[i], tokens[i], i))
        bins[at].append(bit)
        product[at] *= weight[bit]
        tokens[at] += sum(tokens_of(unit.paths, globs) for unit in policies[bit])
    return [[unit for bit in sorted(one) for unit in policies[bit]] for one in bins if one]


def _memories(units: Sequence[Unit], globs: Globs) -> int:
    """How many different sets of facts some units can have given for good."""
    given = {0}
    for unit in units:
        if any(
            tail and tail[-1] is Wild.GLOBSTAR
            for pattern in unit.paths
            for _, tail in globs[pattern.text]
        ):
            given |= {facts | unit.effects.decided for facts in given}
    return len(given)


def _fill(units: Sequence[Unit], explorer: _Explorer) -> list[Automaton]:
    """Fill one automaton after the other with as many units as it takes."""
    automata: list[Automaton] = []
    rest = list(units)
    while rest:
        count = _longest(rest, explorer)
        fits = explorer.attempt(rest[:count]) if count else None
        if fits is None or len(automata) == Limit.GROUPS or explorer.spent > STATES_TOTAL:
            raise _refusal(rest, count, explorer)
        automata.append(finish(*fits))
        rest = rest[count:]
    return automata


def _longest(units: Sequence[Unit], explorer: _Explorer) -> int:
    """How many units from the first on fit into one automaton, by bisection."""
    low, high = 0, len(units)
    fits: Callable[[int], bool] = lambda count: explorer.attempt(units[:count]) is not None
    while low < high and explorer.spent <= STATES_TOTAL:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _refusal(units: Sequence[Unit], count: int, explorer: _Explorer) -> PlanError:
    """The error for the first unit that does not fit after ``count`` that do."""
    before = explorer.attempt(units[:count])
    states = before[0].states if before else 0
    unit = units[min(count, len(units) - 1)]
    pattern = unit.paths[0]
    budget = explorer.budget(units[: count + 1])
    return PlanError(
        f"pattern {pattern.text!r} multiplies the automaton's states beyond {budget};"
        f" the {count} patterns placed before it need {states}",
        pattern.span,
        "begin the pattern with a fixed directory, or use fewer '*' and '**' that are"
        " followed by more text; patterns with the same effect cost less than different ones",
    )
