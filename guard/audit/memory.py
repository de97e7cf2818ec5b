# SPDX-License-Identifier: Apache-2.0
"""A cache of bounded size that keeps what is in use. Knows nothing of what it holds."""

from __future__ import annotations

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Generations(Generic[_K, _V]):
    """Two dicts: when the young one is full, it becomes the old one, and that is forgotten.

    At most ``2 * size`` entries; one that is asked for in time is carried over.
    Costs one look-up for what is young, where an exact LRU writes on each.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        """What was put under the key, None if it was nothing or is forgotten."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: _K, value: _V) -> None:
        """Remembers a value, which must not be None."""
        if len(self._young) >= self._size and key not in self._young:
            self._old = self._young
            self._young = {}
        self._young[key] = value

    def clear(self) -> None:
        """Forgets everything."""
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
