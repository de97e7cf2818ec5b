# SPDX-License-Identifier: Apache-2.0
"""Compares a BPF object's own layout with the one this Python was generated for."""

from __future__ import annotations

from guard.wire.btf import Btf, BtfError, btf_section
from guard.wire.layout import STRUCTS, Abi


def mismatches(elf: bytes) -> list[str]:
    """What in the object differs from guard/wire/layout.py, one sentence each.

    Every struct that crosses the border must be in the object, with the same
    members, and the object's GUARD_ABI_VERSION must be ours. An empty list
    means that the two may talk to each other.
    """
    try:
        btf = Btf(btf_section(elf))
        structs = btf.named("struct")
        found = []
        for ours in STRUCTS:
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
        abi = btf.named("enum").get("guard_abi")
        version = btf.enumerators(abi).get("GUARD_ABI_VERSION") if abi else None
        if version != Abi.VERSION:
            found.append(f"the object's ABI version is {version}, ours is {int(Abi.VERSION)}")
    except BtfError as error:
        return [str(error)]
    return found
