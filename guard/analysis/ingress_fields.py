# SPDX-License-Identifier: Apache-2.0
"""Where the rules of ingress sections tell packets apart, field by field.

Of each field the values fall into classes that every rule treats alike; a class
is the rules that it fits, as bits, and one value that stands for it. Rules may
be of several sections. Knows nothing of verdicts.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from guard.policy.ingress import IngressRule, Prefix, Range

BITS = {4: 32, 6: 128}

_MAPPED = (0xFFFF << 32, (0xFFFF << 32) + (1 << 32) - 1)
"""::ffff:0:0/96: from no such address a packet is read."""

_EASY = {
    4: (0xC6336407, 0xCB007107, 0x0A000001),
    6: (0x20010DB8 << 96 | 7, 0xFD << 120 | 1, 0xFE80 << 112 | 1),
}
"""Addresses that are easy to read: 198.51.100.7, 203.0.113.7, 10.0.0.1 and IPv6's like."""

LINK_LOCAL = Prefix(6, 0xFE80 << 112, 10)

Sets = Mapping[str, Sequence[Prefix]]


class Class(NamedTuple):
    """Values of one field: one of them, the rules that they fit, and what else is told apart."""

    value: int
    rules: int
    extra: int = 0


Member = tuple[int, int]
"""The first and last value of an interval."""


def intervals(some: Iterable[Member]) -> list[Member]:
    """Intervals without overlap, in order."""
    found: list[Member] = []
    for first, last in sorted(some):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def without(some: Sequence[Member], others: Sequence[Member], top: int) -> list[Member]:
    """The intervals ``some`` with those of ``others`` taken out; both are in order."""
    gaps: list[Member] = []
    low = 0
    for first, last in others:
        if first > low:
            gaps.append((low, first - 1))
        low = last + 1
    if low <= top:
        gaps.append((low, top))
    found: list[Member] = []
    at = 0
    for first, last in some:
        while at and gaps and gaps[min(at, len(gaps) - 1)][0] > first:
            at -= 1
        for low, high in gaps[at:]:
            if low > last:
                break
            if high >= first:
                found.append((max(first, low), min(last, high)))
        while at < len(gaps) and gaps[at][1] < first:
            at += 1
    return found


def sweep(
    fitting: Sequence[Sequence[Member]],
    domain: Sequence[Member],
    easy: Sequence[int] = (),
    extra: Callable[[int], int] = lambda _: 0,
) -> list[Class]:
    """The classes of a field's values: ``fitting[n]`` are the values of rule n, ``domain`` is
    what the field can be, and ``easy`` are values that are taken for examples if they will do.

    ``extra`` must not change but where some rule's values begin or end.
    """
    events: dict[int, int] = {}
    for rule, members in enumerate(fitting):
        for first, last in members:
            events[first] = events.get(first, 0) ^ 1 << rule
            events[last + 1] = events.get(last + 1, 0) ^ 1 << rule
    for first, last in domain:
        events.setdefault(first, 0)
        events.setdefault(last + 1, 0)
    points = sorted(events)
    masks: list[int] = []
    mask = 0
    for point in points:
        mask ^= events[point]
        masks.append(mask)
    inside = _Inside(domain)
    found: dict[tuple[int, int], Class] = {}
    for value in easy:
        at = bisect.bisect_right(points, value) - 1
        if at >= 0 and inside(value):
            found.setdefault((masks[at], extra(value)), Class(value, masks[at], extra(value)))
    for point, mask in zip(points, masks, strict=True):
        if inside(point):
            found.setdefault((mask, extra(point)), Class(point, mask, extra(point)))
    return list(found.values())


class _Inside:
    """Whether a value is in one of some intervals in order."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._firsts = [first for first, _ in members]

    def __call__(self, value: int) -> bool:
        at = bisect.bisect_right(self._firsts, value) - 1
        return at >= 0 and value <= self._members[at][1]


def prefixes(some: Iterable[Prefix], family: int) -> list[Member]:
    """The addresses of a family that prefixes hold."""
    bits = BITS[family]
    return intervals(
        (one.address, one.address | (1 << bits - one.length) - 1)
        for one in some
        if one.family == family
    )


def addresses(
    rules: Sequence[IngressRule], sets: Sequence[Sets], family: int, *, source: bool
) -> list[Class]:
    """The classes of source or destination addresses; ``sets[n]`` are those of rule n's section."""
    top = (1 << BITS[family]) - 1
    known: dict[object, list[Member]] = {}
    fitting = []
    for rule, own in zip(rules, sets, strict=True):
        key = (_ends(rule, source), id(own))
        if key not in known:
            some, names, excepts = key[0]
            listed = [*some, *(prefix for name in names for prefix in own[name])]
            every = prefixes(listed, family) if some or names else [(0, top)]
            known[key] = without(every, prefixes(excepts, family), top) if excepts else every
        fitting.append(known[key])
    domain = [(0, top)]
    if family == 6:
        # The last one divides link-local addresses from others, and is no rule's.
        fitting.append(prefixes([LINK_LOCAL], 6))
        if source:
            domain = without(domain, [_MAPPED], top)
    local = 1 << len(rules) if family == 6 else 0
    swept = sweep(fitting, domain, _EASY[family] if source else _EASY[family][2:])
    return [Class(one.value, one.rules & ~local, int(bool(one.rules & local))) for one in swept]


_Ends = tuple[tuple[Prefix, ...], tuple[str, ...], tuple[Prefix, ...]]


def _ends(rule: IngressRule, source: bool) -> _Ends:
    match = rule.match
    if source:
        return match.sources, match.source_sets, match.source_excepts
    return match.destinations, match.destination_sets, match.destination_excepts


def numbers(
    rules: Sequence[IngressRule],
    of: Callable[[IngressRule], Sequence[Range]],
    domain: Member,
    easy: Sequence[int] = (),
) -> list[Class]:
    """The classes of a number that rules give as ranges; a rule without any fits every value."""
    fitting = [
        intervals((each.first, each.last) for each in of(rule)) or [domain] for rule in rules
    ]
    return sweep(fitting, [domain], easy)


def values(
    candidates: Iterable[int],
    fits: Callable[[int], int],
    extra: Callable[[int], int] = lambda _: 0,
) -> Iterator[Class]:
    """The classes of a field of few values, tried one by one."""
    seen: set[tuple[int, int]] = set()
    for value in candidates:
        key = fits(value), extra(value)
        if key not in seen:
            seen.add(key)
            yield Class(value, *key)
