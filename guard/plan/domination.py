# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a set still matter, and which rules a set matches.

Below a path that a rule has matched for good (``/x/**``), rules that could
only give the same or less are dropped. Without this, every pattern that can
match for good doubles the sets; with it, only those with a meaning of their
own do. Verdicts stay exact. The rules named are then some that decide, not
all that match.

Every rule has facts (guard.plan.units.Effects) that it can give. A rule with
excepts also has two facts of its own, 'a path matches' and 'an except
matches', and its common facts count as given only when no except can match
any more. A node can be dropped when all facts below it are given or moot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from guard.plan.trie import NO_CHAIN, Trie, crosses
from guard.plan.units import Effects
from guard.policy.patterns import SLASH, Wild

ALL = -1
"""All facts there are."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as an automaton sees it: its number is its place in the list."""

    effects: Effects
    deny: bool
    excepts: bool


class Domination:
    """Settles sets of nodes of one trie.

    ``below[n]`` are the facts of patterns that end at n or below; ``beyond[n]``
    those of patterns that end after at least one more '/'.
    """

    def __init__(self, trie: Trie, rules: Sequence[Rule]) -> None:
        self._trie = trie
        self._rules = rules
        common = max((rule.effects.decided.bit_length() for rule in rules), default=0)
        self._path_fact: dict[int, int] = {}
        for number, rule in enumerate(rules):
            if rule.excepts:
                self._path_fact[number] = 1 << (common + 2 * len(self._path_fact))
        self._path_facts = sum(self._path_fact.values())
        self._number = {path: number for number, path in self._path_fact.items()}
        self.below: list[int] = []
        self.beyond: list[int] = []
        self._size = len(trie.chain)
        self._aliases: list[int] = []
        loop = trie.loop
        self._forever = {n for n in trie.ends if loop.get(n) is Wild.GLOBSTAR}
        self._component = {n for n in trie.ends if loop.get(n) is Wild.STAR}
        self._rank = {n: self._order(n) for n in self._forever | self._component}
        if self._path_fact:
            self.measure()

    def plain(self, node: int) -> bool:
        """Whether a set of this node alone needs no settling."""
        return not self._path_fact or not self.below[node] & self._path_facts * 3

    def settle(self, nodes: Set[int]) -> tuple[Iterable[int], tuple[int, ...]]:
        """The nodes of a closed set that matter, and the rules that the set matches."""
        if self._path_fact or (
            len(nodes) > 1 and (nodes & self._forever or nodes & self._component)
        ):
            return self._prune(nodes)
        ends = self._trie.ends
        matched = {end >> 1 for node in nodes if node in ends for end in ends[node]}
        return nodes, tuple(sorted(matched))

    def add_alias(self, facts: int) -> None:
        """Take note of one more node, appended to the trie, with these facts beyond it."""
        self._aliases.append(facts)
        if self.below:
            self.below.append(facts)
            self.beyond.append(facts)

    def measure(self) -> None:
        """Compute ``below`` and ``beyond``, which most small sets never need."""
        trie = self._trie
        if self.below:
            return
        size = self._size
        below = [0] * size
        beyond = [0] * size
        chain, branches, ends, loop = trie.chain, trie.branches, trie.ends, trie.loop
        for node in range(size - 1, -1, -1):
            under = after = 0
            byte = chain[node]
            if byte != NO_CHAIN:
                under = below[node + 1]
                after = under if byte == SLASH else beyond[node + 1]
            if node in branches:
                for token, child in branches[node].items():
                    under |= below[child]
                    after |= below[child] if crosses(token) else beyond[child]
            if node in ends:
                for end in ends[node]:
                    under |= self._facts(end)
            if node in loop:
                if loop[node] is Wild.DIRS:
                    under |= below[node + 1]
                if loop[node] is not Wild.STAR:
                    after = under
            below[node] = under
            beyond[node] = after
        self.below = below + self._aliases
        self.beyond = beyond + self._aliases

    def _facts(self, end: int) -> int:
        path = self._path_fact.get(end >> 1)
        if path is None:
            return self._rules[end >> 1].effects.wanted
        return path << (end & 1)

    def _order(self, node: int) -> tuple[bool, int, int]:
        """Which of several matches is named first: deny rules, then in the order written."""
        first = min(end >> 1 for end in self._trie.ends[node])
        deny = any(self._rules[end >> 1].deny for end in self._trie.ends[node])
        return (not deny, first, node)

    def _prune(self, nodes: Set[int]) -> tuple[list[int], tuple[int, ...]]:
        self.measure()
        below, beyond, ends = self.below, self.beyond, self._trie.ends
        forever = sorted(nodes & self._forever, key=self._rank.__getitem__)
        alive = 0
        for node in nodes:
            alive |= below[node]
        dead = self._dead(forever, alive)
        given, deciding = self._given(forever)
        if alive & self._path_facts:
            given, moot, settled = self._judge(forever, alive, dead, given, deciding)
        else:
            moot, settled = alive & self._path_facts << 1, 0
        useless = given | moot | settled
        here = 0
        component: set[int] = set()
        for node in sorted(nodes & self._component, key=self._rank.__getitem__):
            gain = 0
            for end in ends[node]:
                if end >> 1 not in self._path_fact:
                    gain |= self._rules[end >> 1].effects.decided
            if gain & ~(useless | here):
                here |= gain
                component.add(node)
        kept = [
            node
            for node in sorted(nodes)
            if node in deciding
            or node in component
            or beyond[node] & ~useless
            or below[node] & ~(useless | here)
        ]
        if dead:
            self._keep_excepts(kept, forever)
        return kept, self._matched(kept, moot)

    def _keep_excepts(self, kept: list[int], forever: list[int]) -> None:
        """What says that an except has matched must outlive the rule's paths."""
        while True:
            paths = 0
            for node in kept:
                paths |= self.below[node]
            more = [
                node
                for node in forever
                if node not in kept
                and any(
                    end & 1 and self._path_fact[end >> 1] & paths for end in self._trie.ends[node]
                )
            ]
            if not more:
                return
            kept += more

    def _dead(self, forever: list[int], alive: int) -> int:
        """Path facts of the rules that an except has taken out for good."""
        dead = 0
        if alive & self._path_facts:
            for node in forever:
                for end in self._trie.ends[node]:
                    if end & 1:
                        dead |= self._path_fact[end >> 1]
        return dead

    def _given(self, forever: list[int]) -> tuple[int, set[int]]:
        """What rules without excepts give for good, and the nodes that give it."""
        given = 0
        deciding: set[int] = set()
        for node in forever:
            gain = 0
            for end in self._trie.ends[node]:
                if end >> 1 not in self._path_fact:
                    gain |= self._rules[end >> 1].effects.decided
            if gain & ~given:
                given |= gain
                deciding.add(node)
        return given, deciding

    def _judge(
        self, forever: list[int], alive: int, dead: int, given: int, deciding: set[int]
    ) -> tuple[int, int, int]:
        """Rules with excepts: what is given for good with them, the own facts of
        those that do not count, and the path facts of those that one path matches
        for good.

        The excepts of a rule that does not count are forgotten, so it must never
        seem to match for good later. Hence the fixed order: a rule is left out
        only for rules without excepts or rules before it, and those stay.
        """
        paths = alive & self._path_facts
        # An except is moot when no path of its rule is left.
        moot = alive & (self._path_facts << 1) & ~(paths << 1)
        settled = 0
        last: dict[int, int] = {}
        for node in reversed(forever):
            for end in self._trie.ends[node]:
                if not end & 1:
                    last[end >> 1] = node
        while paths:
            path = paths & -paths
            paths ^= path
            number = self._number[path]
            effects = self._rules[number].effects
            if path & dead or not effects.wanted & ~given:
                moot |= path | path << 1
            elif number in last:
                # One path that matches for good is as good as several.
                deciding.add(last[number])
                settled |= path
                if not path << 1 & alive:
                    given |= effects.decided
        return given, moot, settled

    def _matched(self, kept: list[int], moot: int) -> tuple[int, ...]:
        paths: set[int] = set()
        excepted: set[int] = set()
        for node in kept:
            for end in self._trie.ends.get(node, ()):
                (excepted if end & 1 else paths).add(end >> 1)
        return tuple(
            sorted(
                number for number in paths - excepted if not self._path_fact.get(number, 0) & moot
            )
        )
