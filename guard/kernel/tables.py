# SPDX-License-Identifier: Apache-2.0
"""Generations: one compiled policy set in a kernel map, and the switch between two."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.wire.layout import ROOT, ROW

_ZERO = struct.pack("=I", 0)
_U64 = struct.Struct("=Q")

# The size classes that the build makes an object for (lsm/build.mk), as
# powers of two of the bytes of cells and rows.
SIZE_CLASSES = (18, 22, 26)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A generation as bytes: the root, and the data that its states point into."""

    root: bytes
    data: bytes
    host: int  # policies that apply to every task

    def value(self, bits: int) -> bytes:
        """The map value for size class ``bits``: struct tables of lsm/maps.h."""
        return (self.root + self.data).ljust(value_size(bits), b"\0")


def value_size(bits: int) -> int:
    """Bytes of struct tables in size class ``bits``."""
    return ROOT.size + (1 << bits) + ROW.size


def size_class(data_size: int) -> int | None:
    """The smallest size class that holds ``data_size`` bytes; None: none does."""
    return next((bits for bits in SIZE_CLASSES if data_size <= 1 << bits), None)


def create(libbpf: Libbpf, encoded: Encoded, bits: int) -> int:
    """A frozen map that holds the generation. Returns its descriptor."""
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_tables", len(_ZERO), value_size(bits), 1)
    try:
        libbpf.map_update(fd, _ZERO, encoded.value(bits), "fill tables")
        libbpf.map_freeze(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def switch(libbpf: Libbpf, current_fd: int, gate_fd: int, tables_fd: int, hosts: tuple[int, int]) -> None:
    """Put the generation in ``tables_fd`` in force, by one write to the outer map's slot.

    The kernel keeps the old one until no program can be reading it. ``hosts``
    are the host-wide policies of the old and the new generation: the gate that
    lets unlabelled tasks pass is opened for neither before the switch is over.
    """
    old, new = hosts
    libbpf.map_update(gate_fd, _ZERO, _U64.pack(old | new), "gate")
    libbpf.map_update(current_fd, _ZERO, struct.pack("=I", tables_fd), "switch")
    libbpf.map_update(gate_fd, _ZERO, _U64.pack(new), "gate")
