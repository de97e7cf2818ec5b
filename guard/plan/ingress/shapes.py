# SPDX-License-Identifier: Apache-2.0
"""The seldom fields, each a line of its own, put together into at most three shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.plan.ingress.classes import U64, Classes, Ranges, classify, merged, rows
from guard.plan.ingress.errors import IngressError
from guard.plan.ingress.order import DENIALS
from guard.policy.ingress import IngressRule, Range
from guard.wire.ingress import Column, Fragment, Limit, Unread

_PORTS, _FLAGS, _VLANS, _LENGTHS = 65536, 256, 4096, 65536

# Cells of one shape times bytes of a row: what the compiler may take for it.
MOST_BYTES = 64 << 20
# A cell's row is a 16-bit number.
MOST_CELLS = 65536

# What a rule says about one field: ranges of positions.
Said = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """Fields with the stride of each, their tables of classes, and the rows of the cells."""

    strides: dict[Column, int]
    tables: dict[Column, NDArray[np.uint16]]
    cells: NDArray[np.uint16]
    rows: U64


def _with_unread(ranges: Sequence[Range], values: int, denies: bool) -> Said:
    out = [(r.first, r.last + 1) for r in ranges]
    if denies:
        at = values + Unread.UNREADABLE
        out.append((at, at + 1))
    return tuple(out)


def _source_ports(rule: IngressRule, _numbers: Mapping[str, int]) -> Said:
    if not rule.match.source_ports:
        return ()
    return _with_unread(rule.match.source_ports, _PORTS, rule.action in DENIALS)


def _tcp_flags(rule: IngressRule, _numbers: Mapping[str, int]) -> Said:
    if not rule.match.tcp_flags:
        return ()
    values = [
        Range(v, v)
        for v in range(_FLAGS)
        if any(v & flags.mask == flags.value for flags in rule.match.tcp_flags)
    ]
    return _with_unread(values, _FLAGS, rule.action in DENIALS)


def _fragment(rule: IngressRule, _numbers: Mapping[str, int]) -> Said:
    if rule.match.fragment is None:
        return ()
    return ((1, 3),) if rule.match.fragment else ((int(Fragment.WHOLE), 1),)


def _vlans(rule: IngressRule, _numbers: Mapping[str, int]) -> Said:
    return tuple((v, v + 1) for v in rule.match.vlans)


def _lengths(rule: IngressRule, _numbers: Mapping[str, int]) -> Said:
    return tuple((r.first, r.last + 1) for r in rule.match.lengths)


def _interfaces(rule: IngressRule, numbers: Mapping[str, int]) -> Said:
    return tuple((numbers[name], numbers[name] + 1) for name in rule.match.interfaces)


_FIELDS: dict[Column, tuple[int, Callable[[IngressRule, Mapping[str, int]], Said]]] = {
    Column.SOURCE_PORT: (_PORTS + int(Unread.COUNT), _source_ports),
    Column.TCP_FLAGS: (_FLAGS + int(Unread.COUNT), _tcp_flags),
    Column.FRAGMENT: (3, _fragment),
    Column.VLAN: (_VLANS, _vlans),
    Column.LENGTH: (_LENGTHS, _lengths),
    Column.INTERFACE: (int(Limit.INTERFACES) + 1, _interfaces),
}


@dataclass(frozen=True, slots=True)
class _Line:
    column: Column
    classes: Classes
    rows: U64


def _line(
    column: Column,
    rules: Sequence[IngressRule],
    bits: Sequence[int],
    numbers: Mapping[str, int],
    every: U64,
) -> _Line | None:
    positions, say = _FIELDS[column]
    by_said: dict[Said, list[int]] = {}
    for rule, bit in zip(rules, bits, strict=True):
        if one := say(rule, numbers):
            by_said.setdefault(one, []).append(bit)
    if not by_said:
        return None
    parts = [(t, a, b) for t, one in enumerate(by_said) for a, b in one]
    table = np.array(parts, dtype=np.int64).reshape(-1, 3)
    ranges: Ranges = merged(table[:, 0], table[:, 1], table[:, 2])
    classes = classify(positions, len(by_said), ranges)
    base = every.copy()
    told = np.array([bit for some in by_said.values() for bit in some], dtype=np.int64)
    np.bitwise_and.at(base, told >> 6, ~(np.uint64(1) << (told & 63).astype(np.uint64)))
    own = [np.array(some, dtype=np.int64) for some in by_said.values()]
    return _Line(column, classes, rows(classes, ranges, own, base))


def shapes(
    rules: Sequence[IngressRule], bits: Sequence[int], numbers: Mapping[str, int], every: U64
) -> list[Shape]:
    """The shapes that the rules need; none where no rule says anything of these fields.

    ``numbers`` are the interfaces' positions, ``every`` a row with all rules.
    Raises IngressError when the fields' values have too many combinations.
    """
    lines = [
        line
        for column in _FIELDS
        if (line := _line(column, rules, bits, numbers, every)) is not None
    ]
    lines.sort(key=lambda line: -line.classes.count)
    groups: list[list[_Line]] = []
    for line in lines:
        if len(groups) < int(Limit.SHAPES):
            groups.append([line])
        else:
            min(groups, key=_cells).append(line)
    return [_shape(group, len(every)) for group in groups]


def _cells(group: list[_Line]) -> int:
    product = 1
    for line in group:
        product *= line.classes.count
    return product


def _shape(group: list[_Line], words: int) -> Shape:
    cells = _cells(group)
    if len(group) > 1 and (cells > MOST_CELLS or cells * words * 8 > MOST_BYTES):
        names = ", ".join(sorted(line.column.name.lower().replace("_", " ") for line in group))
        raise IngressError(
            f"the rules' values of these fields have {cells} combinations, too many: {names}",
            remedy="use fewer different values of one of them",
        )
    strides, tables, stride = {}, {}, 1
    combined: U64 = np.full((1, words), 2**64 - 1, dtype=np.uint64)
    for line in group:
        strides[line.column] = stride
        tables[line.column] = line.classes.of.astype(np.uint16)
        stride *= line.classes.count
        # The later a field, the larger its stride: its class changes slowest.
        combined = (line.rows[:, None, :] & combined[None, :, :]).reshape(-1, words)
    if len(group) == 1:
        return Shape(strides, tables, np.arange(cells, dtype=np.uint16), combined)
    different, inverse = np.unique(combined, axis=0, return_inverse=True)
    return Shape(strides, tables, inverse.reshape(-1).astype(np.uint16), different)
