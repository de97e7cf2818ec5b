# SPDX-License-Identifier: Apache-2.0
"""The partition of bytes that all automata of one table share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from guard.plan.units import Glob
from guard.policy.patterns import SLASH, Token


@dataclass(frozen=True, slots=True)
class ByteClasses:
    """``column[byte]`` is 0 for '/' and the byte's class, from 1, for others.

    ``count`` is the number of columns, '/' included.
    """

    column: tuple[int, ...]
    count: int

    def of(self, token: frozenset[int]) -> tuple[int, ...]:
        """The columns of a token's bytes; each column is wholly in it or wholly out."""
        return tuple(sorted({self.column[byte] for byte in token}))


def byte_classes(globs: Iterable[Glob]) -> ByteClasses:
    """The coarsest partition in which every token is a union of classes, '/' alone."""
    literals: set[int] = set()
    sets: set[frozenset[int]] = set()
    for literal, tail in globs:
        literals.update(literal)
        for token in tail:
            _collect(token, literals, sets)
    ordered = sorted(sets, key=sorted)
    numbers: dict[object, int] = {}
    column: list[int] = []
    for byte in range(256):
        if byte == SLASH:
            column.append(0)
            continue
        # A byte that some pattern spells out is a class of its own.
        key: object = byte if byte in literals else tuple(byte in one for one in ordered)
        column.append(numbers.setdefault(key, len(numbers) + 1))
    return ByteClasses(tuple(column), len(numbers) + 1)


def _collect(token: Token, literals: set[int], sets: set[frozenset[int]]) -> None:
    if isinstance(token, int):
        literals.add(token)
    elif isinstance(token, frozenset):
        sets.add(token)
