# SPDX-License-Identifier: Apache-2.0
"""Small hash tables that the kernel only reads: every key within a few slots of its first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from guard.plan.errors import PlanError

_MULTIPLIERS = 4096
"""Tried before giving up: a table half full was never seen to need ten."""

K = TypeVar("K", bound=Hashable)


def hash_keys(
    keys: Sequence[K], first: Callable[[K, int], int], slots: int, probes: int
) -> tuple[int, dict[int, K]]:
    """A multiplier, and which key is in each slot that is taken.

    ``first`` gives a key's first slot under a multiplier. Raises PlanError where
    no multiplier places all keys.
    """
    multiplier = 0x9E3779B1
    for _ in range(_MULTIPLIERS):
        placed = _place(keys, first, multiplier, slots, probes)
        if placed is not None:
            return multiplier, placed
        # Any odd number will do; these are spread well and always the same.
        multiplier = (multiplier * 0x2545F491 + 0x9E3779B2) & 0xFFFFFFFF | 1
    raise PlanError(f"no hash places {len(keys)} keys")


def _place(
    keys: Sequence[K], first: Callable[[K, int], int], multiplier: int, slots: int, probes: int
) -> dict[int, K] | None:
    """Slots for all keys, None if some slots are wanted by too many.

    The kernel looks at all of a key's slots, empty ones or not, so one that
    finds them taken may move another key on (Kuhn's matching).
    """
    taken: dict[int, K] = {}

    def settle(key: K, tried: set[int]) -> bool:
        start = first(key, multiplier)
        for probe in range(probes):
            slot = (start + probe) % slots
            if slot not in tried:
                tried.add(slot)
                if slot not in taken or settle(taken[slot], tried):
                    taken[slot] = key
                    return True
        return False

    return taken if all(settle(key, set()) for key in keys) else None
