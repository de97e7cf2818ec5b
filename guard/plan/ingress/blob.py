# SPDX-License-Identifier: Apache-2.0
"""One generation's bytes: the root's members by name, and arrays placed after it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.plan.ingress.errors import IngressError
from guard.wire import ingress as wire
from guard.wire.structure import Struct

# A generation is 2^bits bytes: small ones share a size, so that most reloads fit.
LEAST_BITS = 20
MOST_BITS = 27

# lsm/xdp/maps.h: behind the last masked offset there is room for a row.
SLACK = 8192

_ALIGN = 64


class Blob:
    """Bytes that grow. Members of ``root`` that are not set are 0."""

    def __init__(self) -> None:
        self.root: dict[str, int | list[int]] = {}
        self._head = bytearray(wire.ROOT.size)
        self._parts: list[NDArray[np.uint8]] = []
        self._at = -(-wire.ROOT.size // _ALIGN) * _ALIGN

    def place(self, array: NDArray[Any]) -> int:
        """Put an array down, its offset is returned: a multiple of a cache line."""
        at = self._at
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        rest = -len(flat) % _ALIGN
        self._parts += [flat, np.zeros(rest, dtype=np.uint8)]
        self._at += len(flat) + rest
        return at

    def nested(self, member: str, struct_: Struct, values: Mapping[str, int]) -> None:
        """Set the members of a struct in the root."""
        self.element(member, struct_, 0, values)

    def element(self, member: str, struct_: Struct, index: int, values: Mapping[str, int]) -> None:
        """Set members of one struct of an array in the root."""
        base = wire.ROOT.fields[member].offset + index * struct_.size
        for name, value in values.items():
            part = struct_.fields[name]
            struct.pack_into(f"<{part.code}", self._head, base + part.offset, value)

    def finish(self) -> tuple[bytearray, int]:
        """All bytes, and the size class. Raises IngressError when there are too many."""
        for name, value in self.root.items():
            part = wire.ROOT.fields[name]
            values = value if isinstance(value, list) else [value]
            struct.pack_into(f"<{len(values)}{part.code}", self._head, part.offset, *values)
        bits = max(LEAST_BITS, (self._at - 1).bit_length())
        if bits > MOST_BITS:
            raise IngressError(
                f"the tables would take {self._at >> 20} MiB, more than {1 << MOST_BITS - 20}",
                remedy="put addresses that are treated alike into one set, or split the rules "
                "over fewer combinations of source, destination and port",
            )
        out = bytearray(self._at)
        out[: len(self._head)] = self._head
        at = -(-wire.ROOT.size // _ALIGN) * _ALIGN
        view = np.frombuffer(out, dtype=np.uint8)
        for part_ in self._parts:
            view[at : at + len(part_)] = part_
            at += len(part_)
        del view
        return out, bits
