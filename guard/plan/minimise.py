# SPDX-License-Identifier: Apache-2.0
"""Equal states become one.

Most states of large rule sets lie on no cycle, and those are merged from the
leaves up by looking up their successors, in one pass. Only what lies between
cycles is refined block by block. The result can keep a few equal states
apart (a cycle and its unrolling); it never merges unequal ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.plan.order import components, spread
from guard.plan.subsets import DEAD, Class, Dfa

SELF = -1
Signature = tuple[Class, int, tuple[tuple[int, int], ...]]


@dataclass(slots=True)
class Minimal:
    """The merged automaton. State DEAD matches nothing, ever.

    ``singles[s]`` is (column, next) for a state of no class with one live
    column; any other state is in ``rich`` as (class, otherwise, edges).
    """

    count: int = 0
    single_column: dict[int, int] = field(default_factory=dict)
    single_next: dict[int, int] = field(default_factory=dict)
    rich: dict[int, tuple[Class, int, dict[int, int]]] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)

    def final(self, state: int) -> bool:
        """Whether everything below has the state's class."""
        entry = self.rich.get(state)
        return entry is not None and entry[1] == state and not entry[2]


def minimise(dfa: Dfa) -> Minimal:
    """Merge the equal states of an automaton."""
    return _Merger(dfa).run()


class _Merger:
    def __init__(self, dfa: Dfa) -> None:
        self._dfa = dfa
        self._out = Minimal()
        self._merged: list[int] = [SELF] * len(dfa.classes)
        self._singles: dict[int, int] = {}
        self._known: dict[Signature, int] = {}

    def run(self) -> Minimal:
        dfa = self._dfa
        self._lookup(DEAD)
        order = components(dfa)
        after, before = spread(dfa, order)
        for component in order:
            if not before[component[0]]:
                self._lookup(component[0])
        core = [s for component in order for s in component if after[s] and before[s]]
        if core:
            self._refine(core)
        for component in order:
            if not after[component[0]]:
                self._lookup(component[0])
        self._out.starts = [self._merged[state] for state in dfa.starts]
        return self._out

    def _new(self) -> int:
        self._out.count += 1
        return self._out.count - 1

    def _lookup(self, state: int) -> None:
        """Merge a state all of whose successors, but itself, are merged."""
        if self._merged[state] != SELF:
            return
        dfa, merged = self._dfa, self._merged
        run = dfa.runs.get(state)
        if run is not None:
            self._merged[state] = self._chain(run, merged[dfa.otherwise[state]])
            return
        otherwise = merged[dfa.otherwise[state]] if dfa.otherwise[state] != state else SELF
        edges = {
            column: merged[target] if target != state else SELF
            for column, target in dfa.edges[state].items()
        }
        self._merged[state] = self._state(dfa.classes[state], otherwise, edges)

    def _chain(self, run: list[int], target: int) -> int:
        out, singles = self._out, self._singles
        for column in reversed(run):
            key = target << 9 | column
            known = singles.get(key)
            if known is None:
                known = singles[key] = out.count
                out.count += 1
                out.single_column[known] = column
                out.single_next[known] = target
            target = known
        return target

    def _state(self, matched: Class, otherwise: int, edges: dict[int, int]) -> int:
        """The merged state with these successors, SELF for itself."""
        edges = {column: target for column, target in edges.items() if target != otherwise}
        if otherwise == DEAD and not matched and len(edges) == 1:
            ((column, target),) = edges.items()
            if target != SELF:
                return self._chain([column], target)
        if otherwise != SELF and not edges:
            entry = self._out.rich.get(otherwise)
            if entry is not None and entry[0] == matched and self._out.final(otherwise):
                return otherwise
        signature = (matched, otherwise, tuple(sorted(edges.items())))
        known = self._known.get(signature)
        if known is None:
            known = self._known[signature] = self._new()
            self._enter(known, matched, otherwise, edges)
        return known

    def _enter(self, state: int, matched: Class, otherwise: int, edges: dict[int, int]) -> None:
        own = {column: state if t == SELF else t for column, t in edges.items()}
        self._out.rich[state] = (matched, state if otherwise == SELF else otherwise, own)

    def _refine(self, core: list[int]) -> None:
        """Merge the states between cycles: split blocks until all in one agree."""
        members, successors = self._unrolled(core)
        block: list[int] = [0] * len(members)
        blocks: list[list[int]] = []
        first: dict[object, int] = {}
        for number, (matched, _, _) in enumerate(members):
            at = first.setdefault(matched, len(blocks))
            if at == len(blocks):
                blocks.append([])
            blocks[at].append(number)
            block[number] = at
        before: list[list[int]] = [[] for _ in members]
        for number, targets in enumerate(successors):
            for target in targets:
                before[target].append(number)
        dirty = set(range(len(blocks)))
        while dirty:
            at = dirty.pop()
            if len(blocks[at]) == 1:
                continue
            parts: dict[object, list[int]] = {}
            for number in blocks[at]:
                _, otherwise, edges = members[number]
                # Merged targets are below zero, and so never mistaken for blocks.
                rest = block[otherwise] if otherwise >= 0 else otherwise
                listed = []
                for column, target in edges:
                    to = block[target] if target >= 0 else target
                    if to != rest:
                        listed.append((column, to))
                parts.setdefault((rest, tuple(listed)), []).append(number)
            if len(parts) == 1:
                continue
            largest = max(parts.values(), key=len)
            moved = [part for part in parts.values() if part is not largest]
            blocks[at] = largest
            for part in moved:
                for number in part:
                    block[number] = len(blocks)
                blocks.append(part)
            for part in moved:
                for number in part:
                    dirty.update(block[source] for source in before[number])
        self._emit(core, members, block, len(blocks))

    def _unrolled(
        self, core: list[int]
    ) -> tuple[list[tuple[Class, int, tuple[tuple[int, int], ...]]], list[list[int]]]:
        """The core with runs as single states; targets outside it as ~merged."""
        dfa, merged = self._dfa, self._merged
        number = {state: at for at, state in enumerate(core)}
        members: list[tuple[Class, int, tuple[tuple[int, int], ...]]] = []
        extra: list[tuple[int, list[int]]] = []
        dead = ~merged[DEAD]

        def place(target: int) -> int:
            return number[target] if target in number else ~merged[target]

        following = len(core)
        for state in core:
            run = dfa.runs.get(state)
            if run is not None:
                members.append(((), dead, ((run[0], following),)))
                extra.append((place(dfa.otherwise[state]), run[1:]))
                following += len(run) - 1
                continue
            edges = tuple((c, place(t)) for c, t in sorted(dfa.edges[state].items()))
            members.append((dfa.classes[state], place(dfa.otherwise[state]), edges))
        for target, rest in extra:
            for at, column in enumerate(rest):
                last = at == len(rest) - 1
                members.append(((), dead, ((column, target if last else len(members) + 1),)))
        successors = [
            [t for t in {otherwise, *(t for _, t in edges)} if t >= 0]
            for _, otherwise, edges in members
        ]
        return members, successors

    def _emit(
        self,
        core: list[int],
        members: list[tuple[Class, int, tuple[tuple[int, int], ...]]],
        block: list[int],
        count: int,
    ) -> None:
        base = self._out.count
        self._out.count += count

        def place(target: int) -> int:
            return base + block[target] if target >= 0 else ~target

        done: set[int] = set()
        for number, (matched, otherwise, edges) in enumerate(members):
            if block[number] in done:
                continue
            done.add(block[number])
            rest = place(otherwise)
            own = {c: place(t) for c, t in edges if place(t) != rest}
            state = base + block[number]
            self._out.rich[state] = (matched, rest, own)
            self._known[matched, rest, tuple(sorted(own.items()))] = state
            if rest == DEAD and not matched and len(own) == 1:
                ((column, target),) = own.items()
                self._singles.setdefault(target << 9 | column, state)
        for at, state in enumerate(core):
            self._merged[state] = base + block[at]
