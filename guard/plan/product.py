# SPDX-License-Identifier: Apache-2.0
"""Several automata of packed tables, fed the same path: what they can reach together.

Every combination of states that some canonical path leads to is visited once,
the ones with the shortest paths first. So a combination that is not visited is
proved impossible, and one that is visited comes with a path that shows it.
What the strings are is a language's business; paths are the usual one.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from guard.plan.languages import PATHS, Language
from guard.plan.plan import CELL, Plan
from guard.wire.layout import State

MOST = 2_000_000
"""Combinations visited before giving up, to bound memory and time. Two versions of a
policy visit little more than one of them has states."""

States = tuple[int, ...]


class TooLarge(Exception):
    """More than MOST combinations: nothing is proved."""


class Product:
    """Automata that are stepped together: each a plan and a start state's word in it."""

    def __init__(self, machines: Sequence[tuple[Plan, int]], language: Language = PATHS) -> None:
        self._cells = [_cells(plan) for plan, _ in machines]
        self._start: States = (*(start for _, start in machines), language.start)
        self._language = language
        self._moves = _moves([plan for plan, _ in machines], language)
        self._from: dict[States, tuple[States, int] | None] = {}

    def reachable(
        self, alive: Callable[[States], bool] = lambda _: True
    ) -> Iterator[tuple[States, States]]:
        """State words, one for each automaton, that some string leads to; and the key that
        ``path`` takes, whose last number is the phase. What is not ``alive`` is not gone on
        from, and not given. Raises TooLarge.
        """
        came = self._from
        ends, following = self._language.ends, self._language.following
        came.clear()
        came[self._start] = None
        waiting = deque([self._start])
        while waiting:
            key = waiting.popleft()
            if key[-1] in ends:
                yield key[:-1], key
            for byte, offsets in self._moves:
                phase = following(key[-1], byte)
                if phase is None:
                    continue
                reached = (
                    *(
                        state if state & State.FINAL else cells[(state + offset) // CELL]
                        for state, cells, offset in zip(key, self._cells, offsets, strict=False)
                    ),
                    phase,
                )
                if reached not in came and alive(reached):
                    if len(came) >= MOST:
                        raise TooLarge
                    came[reached] = key, byte
                    waiting.append(reached)

    def path(self, key: States) -> bytes:
        """A shortest canonical path that leads to a reached combination."""
        found = bytearray()
        step = self._from[key]
        while step is not None:
            key, byte = step
            found.append(byte)
            step = self._from[key]
        return bytes(reversed(found)) or b"/"


def _cells(plan: Plan) -> array[int]:
    cells = array("I")
    cells.frombytes(plan.data)
    if sys.byteorder != "little":
        cells.byteswap()
    return cells


def _moves(plans: Sequence[Plan], language: Language) -> list[tuple[int, tuple[int, ...]]]:
    """One byte for each set of bytes that no automaton and no phase tells apart."""
    moves: dict[tuple[object, ...], tuple[int, tuple[int, ...]]] = {}
    for byte in language.liked:
        offsets = tuple(plan.column[byte] for plan in plans)
        special = byte if byte in language.special else None
        moves.setdefault((special, *offsets), (byte, offsets))
    return list(moves.values())
