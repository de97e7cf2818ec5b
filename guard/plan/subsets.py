# SPDX-License-Identifier: Apache-2.0
"""The subset construction: a trie's reachable sets of nodes become states.

Bounded: it stops with Exploded at its budget, so no set of patterns can take
long. Knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from guard.plan.aliases import Alias
from guard.plan.byteclasses import ByteClasses
from guard.plan.domination import ALL, Domination, Rule
from guard.plan.errors import Exploded
from guard.plan.trie import NO_CHAIN, ROOT, Trie, closure
from guard.policy.patterns import SLASH, Wild

DEAD = 0

WORK_PER_STATE = 100
"""Set members looked at per state of the budget. Usual sets need ten to fifty; large
sets with many edges are slow to explore long before their states are many."""

Class = tuple[int, ...]
"""The rules that a state matches, by number, ascending."""


@dataclass(slots=True)
class Dfa:
    """A deterministic automaton, not yet minimal. State DEAD matches nothing, ever.

    ``otherwise[s]`` is the next state for columns that ``edges[s]`` does not
    list. A state with a ``run`` stands for a sequence of len(run) states of no
    class, each with one live column; the last leads to ``otherwise[s]``.
    ``states`` counts all. ``starts`` are the states asked for, in order.
    """

    classes: list[Class] = field(default_factory=list)
    otherwise: list[int] = field(default_factory=list)
    edges: list[dict[int, int]] = field(default_factory=list)
    runs: dict[int, list[int]] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    states: int = 0

    def add(self, matched: Class) -> int:
        """A new state, its edges still to come."""
        self.classes.append(matched)
        self.otherwise.append(DEAD)
        self.edges.append({})
        self.states += 1
        return len(self.classes) - 1


def determinise(
    trie: Trie,
    rules: Sequence[Rule],
    bytes_: ByteClasses,
    starts: Sequence[Sequence[Alias]],
    budget: int,
) -> Dfa:
    """The automaton of a trie from several starts.

    A start is where an object's file system is seen in the host: its names are
    the union over its aliases. Raises Exploded beyond ``budget`` states.
    """
    return _Subsets(trie, rules, bytes_, budget).run(starts)


class _Subsets:
    def __init__(self, trie: Trie, rules: Sequence[Rule], bytes_: ByteClasses, budget: int) -> None:
        self._trie = trie
        self._domination = Domination(trie, rules)
        self._bytes = bytes_
        self._budget = budget
        self._looked_at = 0
        self._dfa = Dfa()
        self._dfa.add(())
        self._closures: dict[int, tuple[int, ...]] = {}
        for node, branch in trie.branches.items():
            if any(isinstance(token, Wild) for token in branch):
                self._closures[node] = closure(trie, node)
        self._columns: dict[frozenset[int], tuple[int, ...]] = {}
        self._single: dict[int, int] = {}
        self._settled: dict[frozenset[int], int] = {frozenset(): DEAD}
        self._seen: dict[frozenset[int], int] = {frozenset(): DEAD}
        self._work: list[tuple[int, Iterable[int]]] = []
        # Ends of in-filesystem prefixes: what matches there, and the nodes after a '/'.
        self._gates: dict[int, tuple[int, ...]] = {}

    def run(self, starts: Sequence[Sequence[Alias]]) -> Dfa:
        for aliases in starts:
            self._dfa.starts.append(self._start(aliases))
            self._drain()
        return self._dfa

    def _drain(self) -> None:
        work = self._work
        while work:
            state, nodes = work.pop()
            self._connect(state, nodes)

    def _start(self, aliases: Sequence[Alias]) -> int:
        """A state for the root of a file system, nothing read yet.

        Only '/' is ever read there, so every column leads where '/' does; that
        lets a start below a matched subtree be final.
        """
        nodes: set[int] = set()
        for alias in aliases:
            if alias.root == b"/":
                nodes.add(self._gate(alias.mountpoint, ALL))
                continue
            self._domination.measure()
            facts = 0
            for node in self._feed({ROOT}, alias.mountpoint):
                facts |= self._domination.below[node]
            if facts:
                nodes.add(self._lead(alias.root, self._gate(alias.mountpoint, facts), facts))
        if not nodes:
            return DEAD
        kept, matched = self._domination.settle(nodes)
        state = self._dfa.add(matched)
        targets: set[int] = set()
        for node in kept:
            if node in self._gates:
                targets.update(self._gates[node])
            else:
                targets.add(self._trie.branches[node][SLASH])
        self._dfa.otherwise[state] = self._intern(targets)
        return state

    def _gate(self, mountpoint: bytes, facts: int) -> int:
        """A node for the place where a file system is mounted in the host's tree."""
        at = self._feed({ROOT}, mountpoint)
        after = at if mountpoint == b"/" else self._feed(at, b"/")
        gate = self._append(facts)
        ends = {end for node in at for end in self._trie.ends.get(node, ())}
        if ends:
            self._trie.ends[gate] = sorted(ends)
        self._gates[gate] = tuple(sorted(after))
        return gate

    def _lead(self, root: bytes, gate: int, facts: int) -> int:
        """Nodes that read an in-filesystem prefix up to a gate; the first is returned."""
        node = gate
        for byte in reversed(root):
            before = self._append(facts)
            self._trie.branches[before] = {byte: node}
            node = before
        return node

    def _append(self, facts: int) -> int:
        self._trie.chain.append(NO_CHAIN)
        self._domination.add_alias(facts)
        return len(self._trie.chain) - 1

    def _feed(self, nodes: set[int], text: bytes) -> set[int]:
        """The exact set after some bytes: nothing dropped, so sets can be joined."""
        for byte in text:
            column = self._bytes.column[byte]
            repeat, cross, targets = self._moves(nodes)
            nodes = set(targets.get(column, ()))
            nodes |= cross if byte == SLASH else repeat
        return nodes

    def _moves(self, nodes: Iterable[int]) -> tuple[set[int], set[int], dict[int, list[int]]]:
        """What a set moves to: on any byte but '/', on '/', and on single columns besides."""
        trie, column, closures = self._trie, self._bytes.column, self._closures
        chain, branches, loop = trie.chain, trie.branches, trie.loop
        repeat: set[int] = set()
        cross: set[int] = set()
        targets: dict[int, list[int]] = {}
        for node in nodes:
            byte = chain[node]
            if byte != NO_CHAIN:
                child = node + 1
                at = targets.setdefault(column[byte], [])
                at.extend(closures[child]) if child in closures else at.append(child)
            if node in branches:
                for token, child in branches[node].items():
                    if isinstance(token, Wild):
                        continue
                    columns = (column[token],) if isinstance(token, int) else self._of(token)
                    reached = closures.get(child, (child,))
                    for k in columns:
                        targets.setdefault(k, []).extend(reached)
            if node in loop:
                wild = loop[node]
                reached = closures.get(node, (node,))
                repeat.update(reached)
                if wild is not Wild.STAR:
                    cross.update(reached)
                if wild is Wild.DIRS:
                    cross.update(closures.get(node + 1, (node + 1,)))
            elif node in self._gates:
                cross.update(self._gates[node])
        return repeat, cross, targets

    def _of(self, token: frozenset[int]) -> tuple[int, ...]:
        if token not in self._columns:
            self._columns[token] = self._bytes.of(token)
        return self._columns[token]

    def _connect(self, state: int, nodes: Iterable[int]) -> None:
        """Give a state its edges."""
        repeat, cross, targets = self._moves(nodes)
        self._looked_at += (len(repeat) + 1) * (len(targets) + 1)
        otherwise = self._intern(repeat)
        edges: dict[int, int] = {}
        slash = targets.pop(0, ())
        if slash or cross:
            target = self._intern(cross.union(slash))
        else:
            target = DEAD
        if target != otherwise:
            edges[0] = target
        for column in sorted(targets):
            reached = targets[column]
            if repeat:
                target = self._intern(repeat.union(reached))
            elif len(reached) == 1:
                target = self._intern_one(reached[0])
            else:
                target = self._intern(set(reached))
            if target != otherwise:
                edges[column] = target
        self._dfa.otherwise[state] = otherwise
        self._dfa.edges[state] = edges

    def _intern(self, nodes: set[int]) -> int:
        """The state of a closed set."""
        if len(nodes) == 1:
            (node,) = nodes
            return self._intern_one(node)
        key = frozenset(nodes)
        state = self._seen.get(key)
        if state is None:
            state = self._seen[key] = self._settle(key)
        return state

    def _intern_one(self, node: int) -> int:
        state = self._single.get(node)
        if state is None:
            if self._domination.plain(node):
                state = self._chain(node)
            else:
                state = self._settle(frozenset((node,)))
            self._single[node] = state
        return state

    def _settle(self, key: frozenset[int]) -> int:
        kept, matched = self._domination.settle(key)
        settled = frozenset(kept)
        state = self._settled.get(settled)
        if state is None:
            if len(settled) == 1 and len(key) > 1 and self._domination.plain(*settled):
                state = self._intern_one(*settled)
            else:
                state = self._dfa.add(matched)
                self._check()
                self._work.append((state, settled))
            self._settled[settled] = state
        return state

    def _chain(self, node: int) -> int:
        """The state of one node; if it starts a run of literal bytes, of the whole run."""
        trie = self._trie
        chain, branches, ends, loop = trie.chain, trie.branches, trie.ends, trie.loop
        column = self._bytes.column
        dfa = self._dfa
        run: list[int] = []
        last = node
        while (
            (byte := chain[last]) != NO_CHAIN
            and last not in branches
            and last not in ends
            and last not in loop
        ):
            run.append(column[byte])
            last += 1
        if len(run) < 2:
            matched = {end >> 1 for end in ends.get(node, ())}
            state = dfa.add(tuple(sorted(matched)))
            self._check()
            self._work.append((state, (node,)))
            return state
        state = dfa.add(())
        dfa.states += len(run) - 1
        self._check()
        dfa.runs[state] = run
        # The end may be an epsilon-closed set; settle it like any other.
        dfa.otherwise[state] = self._intern(set(self._closures.get(last, (last,))))
        return state

    def _check(self) -> None:
        if self._dfa.states > self._budget or self._looked_at > self._budget * WORK_PER_STATE:
            raise Exploded(self._budget)
