# SPDX-License-Identifier: Apache-2.0
"""How a cut address line lies in memory: struct ingress_intervals and its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.plan.ingress.addresses import Line
from guard.plan.ingress.classes import U64
from guard.plan.ingress.errors import IngressError
from guard.wire.ingress import Class

Array = NDArray[Any]

# Cells of an IPv6 root: a power of two, a few for each key.
_CELLS_PER_KEY = 2
_MOST_CELLS = 65536


@dataclass(frozen=True, slots=True)
class Packed:
    """Arrays to be placed, by the member of struct ingress_intervals that points at each."""

    arrays: dict[str, Array]
    numbers: dict[str, int]


def _classes(of: NDArray[np.int64], widest: int) -> tuple[int, Array]:
    """The width in bytes and the array of the intervals' classes."""
    if np.array_equal(of, np.arange(len(of)) & 1):
        return 0, np.empty(0, np.uint8)
    if widest == 4:
        return 4, of.astype(np.uint32)
    if of.max() < 256:
        return 1, of.astype(np.uint8)
    if of.max() >= 65536:
        raise IngressError(
            f"the rules tell {int(of.max()) + 1} kinds of addresses apart, more than 65536",
            remedy="put addresses that are treated alike into one set",
        )
    return 2, of.astype(np.uint16)


def pack4(line: Line) -> Packed:
    """A root cell for every 65 536 addresses, and the low halves of the boundaries."""
    cells = np.arange(65537, dtype=np.uint64) << np.uint64(16)
    root = np.searchsorted(line.low, cells).astype(np.uint32)
    width, classes = _classes(line.classes.of, 2)
    keys = (line.low & np.uint64(0xFFFF)).astype(np.uint16)
    return Packed({"root": root, "keys": keys, "classes": classes}, {"width": width})


def pack6(line: Line) -> Packed:
    """Keys are high halves; a /64 that longer prefixes divide has a list of its own."""
    high, low, of = line.high, line.low, line.classes.of
    divided = np.unique(high[low != 0])
    after = divided[divided != np.uint64(2**64 - 1)] + np.uint64(1)
    keys = np.unique(np.concatenate((high, after)))
    # The interval that each key's first address lies in: how many boundaries are up to it.
    upto = np.searchsorted(high, keys, side="left")
    at_key = np.zeros(len(keys), dtype=bool)
    inside = upto < len(high)
    at_key[inside] = (high[upto[inside]] == keys[inside]) & (low[upto[inside]] == 0)
    # Boundaries before (key, 0), and the one at it.
    of_key = of[upto + at_key]
    fine_first = fine_count = fine_of = np.empty(0, np.int64)
    fine_keys: U64 = np.empty(0, np.uint64)
    if len(divided):
        begin = np.searchsorted(high, divided, side="left")
        end = np.searchsorted(high, divided, side="right")
        has_zero = low[begin] == 0
        first = begin + has_zero
        fine_count = (end - first).astype(np.int64)
        fine_first = np.cumsum(fine_count) - fine_count
        fine_keys = low[low != 0]
        # Of each list: the class at its first address, then that after each key.
        index = np.repeat(first - fine_first - np.arange(len(divided)), fine_count + 1)
        fine_of = of[index + np.arange(len(index))]
        where = np.searchsorted(keys, divided)
        of_key[where] = int(Class.FINE) + np.arange(len(divided))
    width, classes = _classes(np.concatenate((of[:1], of_key)), 4)
    base, shift, cells = _root(keys)
    edges = base + (np.arange(cells, dtype=np.uint64) << np.uint64(shift))
    root = np.append(np.searchsorted(keys, edges), len(keys)).astype(np.uint32)
    # What is before the first cell is looked up in it.
    root[0] = 0
    fine = np.column_stack((fine_first, fine_count)).astype(np.uint32).reshape(-1)
    if len(fine_of) and fine_of.max() >= 65536:
        raise IngressError(
            "the rules tell more than 65536 kinds of IPv6 addresses apart",
            remedy="put addresses that are treated alike into one set",
        )
    return Packed(
        {
            "root": root,
            "keys": keys,
            "classes": classes,
            "fine": fine,
            "fine_keys": fine_keys,
            "fine_classes": fine_of.astype(np.uint16),
        },
        {"width": width, "base": int(base), "shift": shift, "cells": cells},
    )


def _root(keys: U64) -> tuple[np.uint64, int, int]:
    """Where cell 0 begins, how many bits a cell takes, and how many cells there are."""
    if not len(keys):
        return np.uint64(0), 63, 1
    base = keys[0]
    extent = int(keys[-1] - base)
    cells = 1
    while cells < min(_MOST_CELLS, _CELLS_PER_KEY * len(keys)):
        cells *= 2
    shift = max(0, extent.bit_length() - cells.bit_length() + 1)
    return base, shift, (extent >> shift) + 1
