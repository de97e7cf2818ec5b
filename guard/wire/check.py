# SPDX-License-Identifier: Apache-2.0
"""Compares a BPF object's own layout with the one this Python was generated for."""

from __future__ import annotations

from typing import NamedTuple

from guard.wire.btf import Btf, BtfError, btf_section
from guard.wire.layout import STRUCTS, Abi
from guard.wire.structure import Struct


class Ours(NamedTuple):
    """What an object must have: structs, and the enumerator with the version."""

    structs: tuple[Struct, ...] = STRUCTS
    enum: str = "guard_abi"
    member: str = "GUARD_ABI_VERSION"
    version: int = int(Abi.VERSION)


LSM = Ours()


def mismatches(elf: bytes, wanted: Ours = LSM) -> list[str]:
    """What in the object differs from this Python's own layout, one sentence each.

    Every struct that crosses the border must be in the object, with the same
    members, and the object's version must be ours. An empty list
    means that the two may talk to each other.
    """
    try:
        btf = Btf(btf_section(elf))
        structs = btf.named("struct")
        found = []
        for ours in wanted.structs:
            theirs = structs.get(ours.name)
            if theirs is None:
                found.append(f"struct {ours.name} is missing")
                continue
            members = {
                m.name: (m.offset, m.size, m.count, m.code) for m in btf.struct_members(theirs)
            }
            expected = {
                name: (f.offset, f.size, f.count, f.code) for name, f in ours.fields.items()
            }
            if theirs.size_or_type != ours.size or members != expected:
                found.append(f"struct {ours.name} is laid out differently")
        abi = btf.named("enum").get(wanted.enum)
        version = btf.enumerators(abi).get(wanted.member) if abi else None
        if version != wanted.version:
            found.append(f"the object's ABI version is {version}, ours is {wanted.version}")
    except BtfError as error:
        return [str(error)]
    return found
