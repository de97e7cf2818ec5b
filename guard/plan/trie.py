# SPDX-License-Identifier: Apache-2.0
"""The nondeterministic automaton: a trie of pattern tokens.

A node stands for a prefix of tokens that some patterns share, so the literal
parts of large rule sets are walked by one node at a time. Runs of literal
bytes are nodes in sequence, which costs one list entry each. Knows nothing of
effects or of sets of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.plan.units import Glob
from guard.policy.patterns import SLASH, Token, Wild

NO_CHAIN = -1
ROOT = 0


@dataclass(slots=True)
class Trie:
    """Nodes are numbers; a child's is greater than its parent's.

    ``chain[n]`` is the literal byte that leads from n to n + 1, or NO_CHAIN;
    ``branches[n]`` holds n's other children by token. Below a STAR or GLOBSTAR
    token is a node that repeats (``loop``). A DIRS token takes two nodes: one
    that repeats over whole components, which is the child, and right after it
    the node behind the token. ``ends[n]``: the rules whose pattern ends at n,
    each as 2 * rule, plus 1 for an except.
    """

    chain: list[int] = field(default_factory=lambda: [NO_CHAIN])
    branches: dict[int, dict[Token, int]] = field(default_factory=dict)
    loop: dict[int, Wild] = field(default_factory=dict)
    ends: dict[int, list[int]] = field(default_factory=dict)

    def insert(self, glob: Glob, end: int) -> None:
        """Add one alternative of a pattern."""
        literal, tail = glob
        chain = self.chain
        node = ROOT
        at = 0
        size = len(literal)
        while at < size:
            if chain[node] == literal[at]:
                node += 1
            else:
                branch = self.branches.get(node)
                child = branch.get(literal[at]) if branch else None
                if child is None:
                    node = self._grow(node, literal[at:])
                    break
                node = child
            at += 1
        for token in tail:
            branch = self.branches.get(node)
            child = branch.get(token) if branch else None
            if child is None and isinstance(token, int):
                child = node + 1 if chain[node] == token else self._grow(node, bytes((token,)))
            elif child is None:
                child = self._grow_token(node, token)
            node = child + 1 if token is Wild.DIRS else child
        ends = self.ends.setdefault(node, [])
        if end not in ends:
            ends.append(end)

    def _grow(self, node: int, literal: bytes) -> int:
        """Add a run of new nodes below ``node``; the last one is returned."""
        chain = self.chain
        if node == len(chain) - 1:
            chain.pop()
        else:
            self.branches.setdefault(node, {})[literal[0]] = len(chain)
            literal = literal[1:]
        chain.extend(literal)
        chain.append(NO_CHAIN)
        return len(chain) - 1

    def _grow_token(self, node: int, token: Token) -> int:
        child = len(self.chain)
        self.branches.setdefault(node, {})[token] = child
        self.chain.append(NO_CHAIN)
        if isinstance(token, Wild):
            self.loop[child] = token
        if token is Wild.DIRS:
            # The repeating node must not be taken for the start of a chain.
            self.chain.append(NO_CHAIN)
        return child


def closure(trie: Trie, node: int) -> tuple[int, ...]:
    """The nodes reached from a node without a byte, itself included, less those
    from which only such steps lead on.
    """
    found = [node]
    needed: list[int] = []
    for member in found:
        branch = trie.branches.get(member, {})
        wild = 0
        for token, child in branch.items():
            if isinstance(token, Wild):
                wild += 1
                found.append(child)
                if token is Wild.DIRS:
                    found.append(child + 1)
        if (
            wild < len(branch)
            or trie.chain[member] != NO_CHAIN
            or member in trie.ends
            or member in trie.loop
        ):
            needed.append(member)
    return tuple(needed)


def crosses(token: Token) -> bool:
    """Whether reading the token can read a '/'."""
    return token == SLASH or token is Wild.GLOBSTAR or token is Wild.DIRS
