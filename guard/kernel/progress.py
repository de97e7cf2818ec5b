# SPDX-License-Identifier: Apache-2.0
"""How many losses the audit stream has told of, kept in the kernel beside what it counts.

A guard that is killed cannot say it, and its successor must neither tell a loss
twice nor leave one out. Written after the telling: who is killed in between has
it told again.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from guard.errors import HostError
from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.kernel.pins import Instance

PIN = "progress"

_ZERO = struct.pack("=I", 0)


@dataclass(frozen=True, slots=True)
class Told:
    """``dropped``: records per possible CPU that the rings had no room for; ``missed``:
    calls that passed a program by (guard.kernel.attachment).
    """

    missed: int
    dropped: tuple[int, ...]

    def pack(self) -> bytes:
        """As the map has it: native 64-bit numbers."""
        return struct.pack(f"={1 + len(self.dropped)}Q", self.missed, *self.dropped)


class Progress:
    """The pinned map of one instance."""

    def __init__(self, libbpf: Libbpf, fd: int, told: Told) -> None:
        self._libbpf, self._fd, self.told = libbpf, fd, told

    def tell(self, missed: int, dropped: Sequence[int]) -> None:
        """These have been told of. Raises LibbpfError."""
        told = Told(missed, tuple(dropped))
        if told != self.told:
            self._libbpf.map_update(self._fd, _ZERO, told.pack(), PIN)
            self.told = told

    def close(self) -> None:
        """Close the descriptor; the map stays pinned."""
        os.close(self._fd)


def begin(libbpf: Libbpf, instance: Instance) -> Progress:
    """Pin a map for an instance that was just loaded. Raises LibbpfError."""
    told = Told(0, (0,) * libbpf.possible_cpus())
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_progress", len(_ZERO), len(told.pack()), 1)
    try:
        libbpf.pin(fd, instance.map(PIN))
    except BaseException:
        os.close(fd)
        raise
    return Progress(libbpf, fd, told)


def adopt(libbpf: Libbpf, instance: Instance) -> Progress:
    """What an earlier guard left. Raises LibbpfError or HostError."""
    fd = libbpf.open_pin(instance.map(PIN))
    try:
        size = 8 * (1 + libbpf.possible_cpus())
        raw = libbpf.map_lookup(fd, _ZERO, size, PIN)
        if raw is None:
            raise HostError(f"guard instance {instance.name!r} does not say what it told of")
        missed, *dropped = struct.unpack(f"={size // 8}Q", raw)
    except BaseException:
        os.close(fd)
        raise
    return Progress(libbpf, fd, Told(missed, tuple(dropped)))
