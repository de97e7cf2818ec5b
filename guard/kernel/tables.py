# SPDX-License-Identifier: Apache-2.0
"""Generations: one compiled policy set in a kernel map, and the switch between two."""

from __future__ import annotations

import os
import struct

from guard.kernel.libbpf import MAP_TYPE_ARRAY, Libbpf
from guard.plan.encode import Tables, value_size
from guard.wire.layout import ROOT

_ZERO = struct.pack("=I", 0)
_U64 = struct.Struct("=Q")


def create(libbpf: Libbpf, tables: Tables, bits: int) -> int:
    """A frozen map that holds the generation. Returns its descriptor."""
    fd = libbpf.map_create(MAP_TYPE_ARRAY, "guard_tables", len(_ZERO), value_size(bits), 1)
    try:
        libbpf.map_update(fd, _ZERO, tables.value(bits), "fill tables")
        libbpf.map_freeze(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def in_force(libbpf: Libbpf, current_fd: int, bits: int) -> int:
    """The number of the generation that is in force. Raises LibbpfError.

    Copies all of it: the kernel gives no part of an array's element.
    """
    slot = libbpf.map_lookup(current_fd, _ZERO, 4, "current generation")
    fd = libbpf.map_by_id(struct.unpack("=I", slot or _ZERO)[0])
    try:
        value = libbpf.map_lookup(fd, _ZERO, (value_size(bits) + 7) // 8 * 8, "tables") or b""
    finally:
        os.close(fd)
    field = ROOT.fields["generation"]
    return int(struct.unpack_from("=I", value, field.offset)[0])


def switch(
    libbpf: Libbpf, current_fd: int, gate_fd: int, tables_fd: int, hosts: tuple[int, int]
) -> None:
    """Put the generation in ``tables_fd`` in force, by one write to the outer map's slot.

    The kernel keeps the old one until no program can be reading it. ``hosts``
    are the host-wide policies of the old and the new generation: the gate that
    lets unlabelled tasks pass is opened for neither before the switch is over.
    """
    old, new = hosts
    libbpf.map_update(gate_fd, _ZERO, _U64.pack(old | new), "gate")
    libbpf.map_update(current_fd, _ZERO, struct.pack("=I", tables_fd), "switch")
    libbpf.map_update(gate_fd, _ZERO, _U64.pack(new), "gate")
