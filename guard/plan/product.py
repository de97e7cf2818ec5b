# SPDX-License-Identifier: Apache-2.0
"""Several automata of packed tables, fed the same path: what they can reach together.

Every combination of states that some canonical path leads to is visited once,
the ones with the shortest paths first. So a combination that is not visited is
proved impossible, and one that is visited comes with a path that shows it.
Paths are of any length; NUL is in none.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Iterator, Sequence

from guard.plan.plan import CELL, Plan
from guard.policy.patterns import SLASH
from guard.wire.layout import State

MOST = 2_000_000
"""Combinations visited before giving up, to bound memory and time. Two versions of a
policy visit little more than one of them has states."""

_ROOT, _AFTER_SLASH, _DOT, _DOTS, _NAME = range(5)
"""How far a path has come: which continuations keep it canonical, and whether it may end."""

_ENDS = frozenset((_ROOT, _NAME))
_DOT_BYTE = ord(".")

# Bytes that a reader likes in an example come first.
_LIKED = (
    b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
    + bytes(range(33, 127))
    + bytes(range(1, 256))
)

States = tuple[int, ...]


class TooLarge(Exception):
    """More than MOST combinations: nothing is proved."""


class Product:
    """Automata that are stepped together: each a plan and a start state's word in it."""

    def __init__(self, machines: Sequence[tuple[Plan, int]]) -> None:
        self._cells = [_cells(plan) for plan, _ in machines]
        self._start: States = (*(start for _, start in machines), _ROOT)
        self._moves = _moves([plan for plan, _ in machines])
        self._from: dict[States, tuple[States, int] | None] = {}

    def reachable(self) -> Iterator[tuple[States, States]]:
        """State words, one for each automaton, that some path leads to; and the key that
        ``path`` takes. Raises TooLarge.
        """
        came = self._from
        came.clear()
        came[self._start] = None
        waiting = deque([self._start])
        while waiting:
            key = waiting.popleft()
            if key[-1] in _ENDS:
                yield key[:-1], key
            for byte, offsets in self._moves:
                phase = _following(key[-1], byte)
                if phase is None:
                    continue
                reached = (
                    *(
                        state if state & State.FINAL else cells[(state + offset) // CELL]
                        for state, cells, offset in zip(key, self._cells, offsets, strict=False)
                    ),
                    phase,
                )
                if reached not in came:
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


def _moves(plans: Sequence[Plan]) -> list[tuple[int, tuple[int, ...]]]:
    """One byte for each set of bytes that no automaton and no rule of names tells apart."""
    moves: dict[tuple[object, ...], tuple[int, tuple[int, ...]]] = {}
    for byte in _LIKED:
        offsets = tuple(plan.column[byte] for plan in plans)
        special = byte if byte in (SLASH, _DOT_BYTE) else None
        moves.setdefault((special, *offsets), (byte, offsets))
    return list(moves.values())


def _following(phase: int, byte: int) -> int | None:
    """The phase after one more byte; None where no canonical path goes on so."""
    if byte == SLASH:
        return _AFTER_SLASH if phase in _ENDS else None
    if phase == _ROOT:
        return None
    if byte == _DOT_BYTE and phase in (_AFTER_SLASH, _DOT):
        return _DOT if phase == _AFTER_SLASH else _DOTS
    return _NAME
