# SPDX-License-Identifier: Apache-2.0
"""Merged automata to the bytes of the tables: rows first, then cells."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from guard.plan.minimise import Minimal
from guard.plan.units import Ref
from guard.wire.layout import ROW, VERB_ROW, Column, Limit, State

VerbMasks = tuple[int, int, int, int, int]
RowKey = tuple[VerbMasks, ...]
"""For each verb in use: the members of struct guard_verb_row."""


@dataclass(slots=True)
class Classes:
    """Class ids and rows, shared by all automata of one table.

    ``row_of`` gives the masks of a set of rules. Id 0 and row 0 are no rule.
    """

    row_of: Callable[[tuple[Ref, ...]], RowKey]
    refs: list[tuple[Ref, ...]] = field(default_factory=list)
    row_numbers: list[int] = field(default_factory=list)
    rows: dict[RowKey, int] = field(default_factory=dict)
    _ids: dict[tuple[Ref, ...], int] = field(default_factory=dict)

    def id(self, refs: tuple[Ref, ...]) -> int:
        """The id of a class, new or known."""
        known = self._ids.get(refs)
        if known is None:
            known = self._ids[refs] = len(self.refs)
            self.refs.append(refs)
            self.row_numbers.append(self.rows.setdefault(self.row_of(refs), len(self.rows)))
        return known


def pack_rows(rows: Sequence[RowKey]) -> bytes:
    """The rows as an array of struct guard_row."""
    verb = struct.Struct(VERB_ROW.format())
    empty = bytes(VERB_ROW.size)
    parts: list[bytes] = []
    for row in rows:
        parts += [verb.pack(*masks) for masks in row]
        parts += [empty] * (Limit.VERBS - len(row))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Packed:
    """The bytes after struct guard_root, and every automaton's start words."""

    data: bytes
    starts: tuple[tuple[int, ...], ...]
    dead: int


def pack(
    automata: Sequence[tuple[Minimal, Sequence[Ref]]], classes: Classes, columns: int
) -> Packed:
    """Lay out automata over ``columns`` byte columns; rules are given by their refs.

    The first automaton's dead state is the table's first state: the foreign one.
    """
    width = Column.SLASH + columns
    stride = width * 4
    ids = [_class_ids(minimal, refs, classes) for minimal, refs in automata]
    rows = pack_rows(list(classes.rows))
    base = len(rows)
    cells = array("I")
    starts: list[tuple[int, ...]] = []
    for (minimal, _), class_id in zip(automata, ids, strict=True):
        words = list(range(base, base + stride * minimal.count, stride))
        for state in minimal.rich:
            if minimal.final(state):
                words[state] |= State.FINAL
        cells.extend(_states(minimal, class_id, classes, words, width))
        starts.append(tuple(words[state] for state in minimal.starts))
        base += stride * minimal.count
    if sys.byteorder != "little":
        cells.byteswap()
    return Packed(rows + cells.tobytes(), tuple(starts), len(rows) | State.FINAL)


def _class_ids(
    minimal: Minimal, refs: Sequence[Ref], classes: Classes
) -> dict[tuple[int, ...], int]:
    known: dict[tuple[int, ...], int] = {}
    for matched, _, _ in minimal.rich.values():
        if matched not in known:
            unique = {refs[number] for number in matched}
            ordered = sorted(unique, key=lambda ref: (ref.policy, ref.section, ref.rule))
            known[matched] = classes.id(tuple(ordered))
    return known


def _states(
    minimal: Minimal,
    class_id: dict[tuple[int, ...], int],
    classes: Classes,
    words: Sequence[int],
    width: int,
) -> array[int]:
    """One automaton's cells."""
    columns = width - Column.SLASH
    cells = array("I", [0, 0] + [words[0]] * columns) * minimal.count
    following = minimal.single_next
    for state, column in minimal.single_column.items():
        cells[state * width + Column.SLASH + column] = words[following[state]]
    for state, (matched, otherwise, edges) in minimal.rich.items():
        at = state * width
        number = class_id[matched]
        cells[at + Column.ROW] = classes.row_numbers[number] * ROW.size
        cells[at + Column.CLASS] = number
        at += Column.SLASH
        if otherwise:
            cells[at : at + columns] = array("I", [words[otherwise]]) * columns
        for column, target in edges.items():
            cells[at + column] = words[target]
    return cells
