# SPDX-License-Identifier: Apache-2.0
"""Equivalence classes: which stretches of a number line the same things cover.

A field of packets is a line of positions, cut at boundaries into intervals.
Things (what rules say about the field) cover ranges of intervals. Intervals
that the same things cover are one class. Knows nothing of rules or packets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

# Any numbers will do; fixed ones give the same tables for the same policy.
_KEY_SEED = 0x6775617264

# Things whose subsets are numbered directly: 2^12 entries.
_FEW = 12


@dataclass(frozen=True, slots=True)
class Ranges:
    """Half-open ranges of interval numbers, each of one thing; a thing's do not overlap."""

    thing: I64
    first: I64
    end: I64


@dataclass(frozen=True, slots=True)
class Classes:
    """``of[i]`` is interval i's class, numbered by first appearance; ``where`` each one's first."""

    of: I64
    where: I64

    @property
    def count(self) -> int:
        """How many classes there are; at least one."""
        return len(self.where)


def merged(thing: I64, first: I64, end: I64) -> Ranges:
    """Ranges of each thing made disjoint: overlapping and touching ones become one."""
    keep = first < end
    thing, first, end = thing[keep], first[keep], end[keep]
    if not len(thing):
        return Ranges(thing, first, end)
    # Things one after another on one long line: a range never meets another thing's.
    span = int(end.max()) + 2
    low, high = first + thing * span, end + thing * span
    order = np.argsort(low)
    low, high, thing = low[order], high[order], thing[order]
    reach = np.maximum.accumulate(high)
    starts = np.ones(len(low), dtype=bool)
    starts[1:] = low[1:] > reach[:-1]
    at = np.flatnonzero(starts)
    last = np.append(at[1:], len(low)) - 1
    owner = thing[at]
    return Ranges(owner, low[at] - owner * span, reach[last] - owner * span)


def without(one: Ranges, other: Ranges, intervals: int) -> Ranges:
    """What ``one`` covers and ``other`` does not, of things that are in both."""
    parts: list[tuple[int, int, int]] = []
    for thing in np.unique(one.thing):
        covered = np.zeros(intervals + 1, dtype=np.int8)
        for ranges, step in ((one, 1), (other, -2)):
            own = ranges.thing == thing
            np.add.at(covered, ranges.first[own], step)
            np.add.at(covered, ranges.end[own], -step)
        left = np.cumsum(covered[:-1]) == 1
        edges = np.flatnonzero(np.diff(np.concatenate(([0], left.view(np.int8), [0]))))
        parts += [(int(thing), int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    table = np.array(parts, dtype=np.int64).reshape(-1, 3)
    return Ranges(table[:, 0], table[:, 1], table[:, 2])


def classify(intervals: int, things: int, ranges: Ranges) -> Classes:
    """The classes of ``intervals`` intervals under ``things`` things.

    Each thing has a random key of 128 bits; what covers an interval is known by
    the sum (exclusive or) of its things' keys. Two different sums that are
    equal by chance would be one in 2^128 / intervals^2.
    """
    if things <= _FEW:
        return _classify_few(intervals, things, ranges)
    keys = np.random.default_rng(_KEY_SEED).integers(
        0, 2**64, size=(2, things + 1), dtype=np.uint64
    )
    sums = np.zeros((2, intervals + 1), dtype=np.uint64)
    for half in range(2):
        np.bitwise_xor.at(sums[half], ranges.first, keys[half][ranges.thing])
        np.bitwise_xor.at(sums[half], ranges.end, keys[half][ranges.thing])
        np.bitwise_xor.accumulate(sums[half], out=sums[half])
    high, low = sums[0][:intervals], sums[1][:intervals]
    order = np.lexsort((low, high))
    new = np.ones(intervals, dtype=bool)
    new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    group = np.empty(intervals, dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    # lexsort is stable, so the first of each group is its first on the line.
    appeared = order[new]
    number = np.empty(len(appeared), dtype=np.int64)
    number[np.argsort(appeared, kind="stable")] = np.arange(len(appeared))
    return Classes(number[group], np.sort(appeared))


def _classify_few(intervals: int, things: int, ranges: Ranges) -> Classes:
    """The same where a bit for each thing fits a table's index: no sorting."""
    covers = np.zeros(intervals + 1, dtype=np.uint16)
    bits = (1 << np.arange(things + 1)).astype(np.uint16)
    np.bitwise_xor.at(covers, ranges.first, bits[ranges.thing])
    np.bitwise_xor.at(covers, ranges.end, bits[ranges.thing])
    np.bitwise_xor.accumulate(covers, out=covers)
    covers = covers[:intervals]
    # Written from the end, so that the first of each stays.
    first = np.full(1 << things, intervals, dtype=np.int64)
    first[covers[::-1]] = np.arange(intervals - 1, -1, -1)
    where = np.sort(first[first < intervals])
    number = np.zeros(1 << things, dtype=np.int64)
    number[covers[where]] = np.arange(len(where))
    return Classes(number[covers], where)


def rows(classes: Classes, ranges: Ranges, bits: list[I64], base: U64) -> U64:
    """A row of bits for each class: ``base``, and bit b where a thing that b is among covers it.

    ``bits[t]`` are the bits of thing t. Returns words of 64 bits, classes by words.
    """
    out = np.zeros((classes.count + 1, len(base)), dtype=np.uint64)
    first = np.searchsorted(classes.where, ranges.first)
    end = np.searchsorted(classes.where, ranges.end)
    seen = first < end
    thing, first, end = ranges.thing[seen], first[seen], end[seen]
    order = np.argsort(thing, kind="stable")
    thing, first, end = thing[order], first[order], end[order]
    starts = np.searchsorted(thing, np.arange(len(bits)))
    ends = np.searchsorted(thing, np.arange(len(bits)), side="right")
    # All pairs of a range and a word that its thing has bits in.
    words, masks, counts = _words(bits)
    per_range = np.repeat(counts, ends - starts)
    if per_range.sum():
        at = np.repeat(np.arange(len(thing)), per_range)
        offsets = np.cumsum(counts) - counts
        within = np.arange(len(at)) - np.repeat(np.cumsum(per_range) - per_range, per_range)
        pair = offsets[thing[at]] + within
        np.bitwise_xor.at(out, (first[at], words[pair]), masks[pair])
        np.bitwise_xor.at(out, (end[at], words[pair]), masks[pair])
    np.bitwise_xor.accumulate(out, axis=0, out=out)
    return out[:-1] | base


def pack(words: U64, most: int) -> U64:
    """Rows of up to ``most`` nonzero words as those words, after one with their numbers.

    The numbers are 16 bits each, from the lowest; 65535 is no number.
    """
    row, number = np.nonzero(words)
    place = np.arange(len(row)) - np.searchsorted(row, row)
    numbers = np.full((len(words), 4), 0xFFFF, dtype=np.uint16)
    numbers[row, place] = number
    out = np.zeros((len(words), 1 + most), dtype=np.uint64)
    out[:, 0] = numbers.view(np.uint64)[:, 0]
    out[row, 1 + place] = words[row, number]
    return out


def _words(bits: list[I64]) -> tuple[I64, U64, I64]:
    """For each thing the words that it has bits in, their masks, and how many they are."""
    counts = np.array([len(b) for b in bits], dtype=np.int64)
    if not counts.sum():
        return np.empty(0, np.int64), np.empty(0, np.uint64), counts
    owner = np.repeat(np.arange(len(bits)), counts)
    bit = np.concatenate([b for b in bits if len(b)]).astype(np.int64)
    key = owner << 32 | bit >> 6
    order = np.argsort(key, kind="stable")
    key, mask = key[order], np.uint64(1) << (bit[order] & 63).astype(np.uint64)
    starts = np.flatnonzero(np.concatenate(([True], np.diff(key) != 0)))
    masks = np.bitwise_or.reduceat(mask, starts)
    words = key[starts] & 0xFFFFFFFF
    return words, masks, np.bincount(key[starts] >> 32, minlength=len(bits))
