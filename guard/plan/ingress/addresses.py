# SPDX-License-Identifier: Apache-2.0
"""From what rules say about an address to a sorted list of intervals with classes.

IPv4 is a line of 2^32 positions, IPv6 one of 2^128 as pairs of halves. Knows
nothing of rules besides their prefixes, and not how the list lies in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.plan.ingress.classes import I64, U64, Classes, Ranges, classify, merged, without
from guard.plan.set_file import Prefixes, columns
from guard.policy.ingress import Prefix

U32 = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a rule says about one address: the union of prefixes and sets, less ``excepts``.

    No prefixes and no sets are all addresses.
    """

    prefixes: tuple[Prefix, ...]
    sets: tuple[str, ...]
    excepts: tuple[Prefix, ...]

    def is_any(self) -> bool:
        """Whether it says nothing."""
        return not (self.prefixes or self.sets or self.excepts)


@dataclass(frozen=True, slots=True)
class Line:
    """A cut line: interval i begins at boundary i - 1 (interval 0 at address 0).

    ``high`` and ``low`` are the boundaries' halves; IPv4 has its address in ``low``.
    """

    high: U64
    low: U64
    classes: Classes
    ranges: Ranges


def _gathered(
    family: int, said: Sequence[Addresses], sets: Mapping[str, Prefixes]
) -> tuple[I64, NDArray[np.bool_], Prefixes]:
    """A family's prefixes of all things in columns, with whose each is and if it is no except."""
    whose: list[int] = []
    wanted: list[bool] = []
    own: list[Prefix] = []
    owners, includes, parts = [], [], []
    for thing, one in enumerate(said):
        for include, prefixes in ((True, one.prefixes), (False, one.excepts)):
            for prefix in prefixes:
                if prefix.family == family:
                    whose.append(thing)
                    wanted.append(include)
                    own.append(prefix)
        for name in one.sets:
            size = len(sets[name].v4 if family == 4 else sets[name].v6_high)
            owners.append(np.full(size, thing, dtype=np.int64))
            includes.append(np.ones(size, dtype=bool))
            parts.append(sets[name])
    parts.append(columns(own))
    owners.append(np.array(whose, dtype=np.int64))
    includes.append(np.array(wanted, dtype=bool))
    joined = Prefixes(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("v4", "v4_lengths", "v6_high", "v6_low", "v6_lengths")
        )
    )
    return np.concatenate(owners), np.concatenate(includes), joined


def _bounds(family: int, some: Prefixes) -> tuple[U64, U64, U64, U64, NDArray[np.bool_]]:
    """First addresses and the addresses after the last, as halves; and whether one is after."""
    one = np.uint64(1)
    if family == 4:
        low = some.v4.astype(np.uint64)
        end = low + (one << (np.uint64(32) - some.v4_lengths.astype(np.uint64)))
        zero = np.zeros(len(low), dtype=np.uint64)
        return zero, low, zero, end, end < np.uint64(2**32)
    high, low = some.v6_high.astype(np.uint64), some.v6_low.astype(np.uint64)
    length = some.v6_lengths.astype(np.uint64)
    # A shift by 64 is not defined: each half by itself, cut to 0 .. 63.
    short = length <= 64
    end_low = np.where(short, low, low + (one << (np.uint64(128) - np.clip(length, 65, 128))))
    high_step = np.where(
        short, one << (np.uint64(64) - np.clip(length, 1, 64)), (end_low < low).astype(np.uint64)
    )
    end_high = high + high_step
    wrapped = (end_high < high) | ((end_high == high) & (end_low <= low))
    after = (length > 0) & ~wrapped
    return high, low, end_high, end_low, after


def cut(family: int, said: Sequence[Addresses], sets: Mapping[str, Prefixes]) -> Line:
    """Cut a family's line by what is said; ``said[i]`` is thing i, and none of them is any.

    ``sets`` has every set that is named.
    """
    owner, include, some = _gathered(family, said, sets)
    first_high, first_low, end_high, end_low, after = _bounds(family, some)

    high, low, ranks = _ranks(
        np.concatenate((first_high, end_high[after])), np.concatenate((first_low, end_low[after]))
    )
    intervals = len(low) + 1
    # The interval that begins at a boundary has the number after the boundary's.
    first = ranks[: len(owner)] + 1
    end = np.full(len(owner), intervals, dtype=np.int64)
    end[after] = ranks[len(owner) :] + 1
    ranges = merged(owner[include], first[include], end[include])
    if not include.all() or any(not one.prefixes and not one.sets for one in said):
        taken = merged(owner[~include], first[~include], end[~include])
        ranges = _less(said, ranges, taken, intervals)
    return _thinned(high, low, classify(intervals, len(said), ranges), ranges)


def _less(said: Sequence[Addresses], ranges: Ranges, taken: Ranges, intervals: int) -> Ranges:
    """Take the excepts out, of all addresses where a thing names none."""
    everything = np.array(
        [i for i, one in enumerate(said) if not one.prefixes and not one.sets], dtype=np.int64
    )
    whole = Ranges(
        np.concatenate((ranges.thing, everything)),
        np.concatenate((ranges.first, np.zeros(len(everything), dtype=np.int64))),
        np.concatenate((ranges.end, np.full(len(everything), intervals, dtype=np.int64))),
    )
    affected = np.isin(whole.thing, taken.thing)
    rest = without(
        Ranges(whole.thing[affected], whole.first[affected], whole.end[affected]), taken, intervals
    )
    return Ranges(
        np.concatenate((whole.thing[~affected], rest.thing)),
        np.concatenate((whole.first[~affected], rest.first)),
        np.concatenate((whole.end[~affected], rest.end)),
    )


def _ranks(high: U64, low: U64) -> tuple[U64, U64, I64]:
    """The different pairs in order, and each given pair's number among them."""
    order = np.lexsort((low, high)) if high.any() else np.argsort(low)
    high_sorted, low_sorted = high[order], low[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(high_sorted) != 0) | (np.diff(low_sorted) != 0)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.cumsum(new) - 1
    # Address 0 is where interval 0 begins anyway, but a boundary there keeps the numbers.
    return high_sorted[new], low_sorted[new], ranks


def _thinned(high: U64, low: U64, classes: Classes, ranges: Ranges) -> Line:
    """Without the boundaries that part two intervals of one class."""
    keep = np.diff(classes.of) != 0
    # Old interval number to new: how many kept boundaries are before it.
    number = np.concatenate(([0], np.cumsum(keep)))
    of = classes.of[np.concatenate(([True], keep))]
    # A range begins and ends where the class changes, so its ends are kept ones.
    ranges = Ranges(ranges.thing, number[ranges.first], number[ranges.end - 1] + 1)
    return Line(high[keep], low[keep], Classes(of, number[classes.where]), ranges)
