# SPDX-License-Identifier: Apache-2.0
"""Writes guard/wire/layout.py from the BTF of a compiled object.

``python -m guard.wire.generate OBJECT`` prints the module; ``make wire`` puts
it in place, and a test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

from guard.wire.btf import Btf, BtfError, Member, btf_section

# C enum -> Python class and the prefix its members drop.
ENUMS = {
    "guard_abi": ("Abi", "GUARD_ABI_"),
    "guard_limit": ("Limit", "GUARD_LIMIT_"),
    "guard_section": ("Section", "GUARD_SECTION_"),
    "guard_path_verb": ("PathVerb", "GUARD_PATH_"),
    "guard_net_verb": ("NetVerb", "GUARD_NET_"),
    "guard_kernel_op": ("KernelOp", "GUARD_KERNEL_"),
    "guard_id_kind": ("IdKind", "GUARD_ID_"),
    "guard_hook": ("Hook", "GUARD_HOOK_"),
    "guard_reason": ("Reason", "GUARD_REASON_"),
    "guard_task_flag": ("TaskFlag", "GUARD_TASK_"),
    "guard_event_flag": ("EventFlag", "GUARD_EVENT_"),
    "guard_state": ("State", "GUARD_STATE_"),
    "guard_column": ("Column", "GUARD_COLUMN_"),
}

STRUCTS = {
    "guard_verb_row": "VERB_ROW",
    "guard_row": "ROW",
    "guard_device": "DEVICE",
    "guard_id": "ID",
    "guard_gated": "GATED",
    "guard_content": "CONTENT",
    "guard_root": "ROOT",
    "guard_devices": "DEVICES",
    "guard_task": "TASK",
    "guard_counters": "COUNTERS",
    "guard_merging": "MERGING",
    "guard_allowance": "ALLOWANCE",
    "guard_event": "EVENT",
}

_HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""Generated from lsm/wire.h by `make wire`: the layout of what crosses the kernel border.

Do not edit: tests/wire regenerates this file and compares.
"""

from __future__ import annotations

from enum import IntEnum

from guard.wire.structure import Field, Struct
'''


def layout_source(btf: Btf) -> str:
    """The text of layout.py for these types.

    Raises BtfError when a type of ours (its name begins with guard_) is missing,
    unknown to the tables above, or has a hole: wire.h must say every byte.
    """
    enums, structs = btf.named("enum"), btf.named("struct")
    ours = {name for name in (*enums, *structs) if name.startswith("guard_")}
    unknown = ours - set(ENUMS) - set(STRUCTS)
    if unknown:
        raise BtfError(f"wire.h has types that guard/wire/generate.py does not know: {unknown}")
    parts = [_HEAD]
    for name, (class_name, prefix) in ENUMS.items():
        lines = [f"\n\nclass {class_name}(IntEnum):\n    # enum {name}\n"]
        for member, value in btf.enumerators(enums[name]).items():
            lines.append(f"    {member.removeprefix(prefix)} = {value}\n")
        parts.append("".join(lines))
    parts.append("\n\n")
    for name, constant in STRUCTS.items():
        members = btf.struct_members(structs[name])
        size = structs[name].size_or_type
        _refuse_holes(name, size, members)
        lines = [f'{constant} = Struct(\n    "{name}",\n    {size},\n    {{\n']
        for m in members:
            lines.append(
                f'        "{m.name}": Field({m.offset}, {m.size}, {m.count}, "{m.code}"),\n'
            )
        lines.append("    },\n)\n")
        parts.append("".join(lines))
    named = ", ".join(STRUCTS.values())
    parts.append(f"\nSTRUCTS = ({named})\n")
    return "".join(parts)


def _refuse_holes(name: str, size: int, members: tuple[Member, ...]) -> None:
    at = 0
    for member in members:
        if member.offset != at:
            raise BtfError(f"struct {name} has a hole of {member.offset - at} bytes at {at}")
        at += member.size
    if at != size:
        raise BtfError(f"struct {name} has {size - at} bytes of padding at its end")


def main(argv: list[str]) -> int:
    """Print layout.py for the object named in ``argv``; returns the exit status."""
    if len(argv) != 1:
        print("usage: python -m guard.wire.generate OBJECT", file=sys.stderr)
        return 2
    sys.stdout.write(layout_source(Btf(btf_section(Path(argv[0]).read_bytes()))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
