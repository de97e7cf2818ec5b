# SPDX-License-Identifier: Apache-2.0
"""Writes guard/wire/ingress.py from the BTF of the ingress filter's object.

``python -m guard.wire.generate_ingress OBJECT`` prints the module; ``make
wire-ingress`` puts it in place, and a test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

from guard.wire.btf import Btf, BtfError, btf_section

PREFIX = "ingress_"

_HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""Generated from lsm/xdp/wire.h by `make wire-ingress`: what crosses the border to XDP.

Do not edit: tests/ingress regenerates this file and compares.
"""

from __future__ import annotations

from enum import IntEnum

from guard.wire.structure import Field, Struct
'''


def layout_source(btf: Btf) -> str:
    """The text of ingress.py: an IntEnum for each enum ingress_X, a Struct for each struct.

    Raises BtfError when a struct has a hole: wire.h must say every byte.
    """
    parts = [_HEAD]
    for name, enum in sorted(btf.named("enum").items()):
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX)
        lines = [f"\n\nclass {words.title().replace('_', '')}(IntEnum):\n    # enum {name}\n"]
        for member, value in btf.enumerators(enum).items():
            lines.append(f"    {member.removeprefix(_member_prefix(words))} = {value}\n")
        parts.append("".join(lines))
    parts.append("\n\n")
    constants = []
    for name, struct in sorted(btf.named("struct").items()):
        if not name.startswith(PREFIX) or not struct.members:
            continue
        constants.append(constant := name.removeprefix(PREFIX).upper())
        lines = [f'{constant} = Struct(\n    "{name}",\n    {struct.size_or_type},\n    {{\n']
        at = 0
        for m in btf.struct_members(struct):
            if m.offset != at:
                raise BtfError(f"struct {name} has a hole of {m.offset - at} bytes at {at}")
            at += m.size
            lines.append(
                f'        "{m.name}": Field({m.offset}, {m.size}, {m.count}, "{m.code}"),\n'
            )
        if at != struct.size_or_type:
            raise BtfError(
                f"struct {name} has {struct.size_or_type - at} bytes of padding at its end"
            )
        lines.append("    },\n)\n")
        parts.append("".join(lines))
    named = "".join(f"    {constant},\n" for constant in constants)
    parts.append(f"\nSTRUCTS = (\n{named})\n")
    return "".join(parts)


def _member_prefix(words: str) -> str:
    """What the names of an enum's members begin with."""
    return f"INGRESS_{words.upper()}_" if words != "service_kind" else "INGRESS_SERVICE_"


def main(argv: list[str]) -> int:
    """Print ingress.py for the object named in ``argv``; returns the exit status."""
    if len(argv) != 1:
        print("usage: python -m guard.wire.generate_ingress OBJECT", file=sys.stderr)
        return 2
    sys.stdout.write(layout_source(Btf(btf_section(Path(argv[0]).read_bytes()))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
