# SPDX-License-Identifier: Apache-2.0
"""The order in which an automaton's states can be merged: its strongly connected
components, successors first (Tarjan's algorithm, without recursion).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.plan.subsets import DEAD, Dfa


def components(dfa: Dfa) -> list[list[int]]:
    """The strongly connected components reachable from the starts, successors first."""
    count = len(dfa.classes)
    index = [0] * count
    low = [0] * count
    found: list[list[int]] = []
    stack: list[int] = []
    clock = 0
    done = count + 1
    for root in (DEAD, *dfa.starts):
        if index[root]:
            continue
        clock += 1
        index[root] = low[root] = clock
        stack.append(root)
        path: list[tuple[int, Iterator[int]]] = [(root, _successors(dfa, root))]
        while path:
            state, rest = path[-1]
            for target in rest:
                if not index[target]:
                    clock += 1
                    index[target] = low[target] = clock
                    stack.append(target)
                    path.append((target, _successors(dfa, target)))
                    break
                low[state] = min(low[state], low[target])
            else:
                path.pop()
                if path and low[state] < low[path[-1][0]]:
                    low[path[-1][0]] = low[state]
                if low[state] == index[state]:
                    component: list[int] = []
                    while True:
                        member = stack.pop()
                        # Finished states must not lower the ones that lead to them.
                        low[member] = done
                        component.append(member)
                        if member == state:
                            break
                    found.append(component)
    return found


def _successors(dfa: Dfa, state: int) -> Iterator[int]:
    yield dfa.otherwise[state]
    yield from dfa.edges[state].values()


def spread(dfa: Dfa, order: Sequence[Sequence[int]]) -> tuple[list[bool], list[bool]]:
    """For every state: whether a cycle of several states leads to it, and whether
    it leads to one. States on such a cycle count for both.
    """
    after = [False] * len(dfa.classes)
    before = [False] * len(dfa.classes)
    for component in order:
        hit = len(component) > 1 or any(
            before[target] for state in component for target in _successors(dfa, state)
        )
        if hit:
            for state in component:
                before[state] = True
    for component in reversed(order):
        hit = len(component) > 1 or any(after[state] for state in component)
        if hit:
            for state in component:
                after[state] = True
                for target in _successors(dfa, state):
                    after[target] = True
    return after, before
