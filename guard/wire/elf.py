# SPDX-License-Identifier: Apache-2.0
"""Where an ELF object's variables lie in their sections: for constants that are set before load.

Only little-endian 64-bit ELF, as guard.wire.btf. Knows nothing of what is set.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_SYMBOL_TABLE = 2  # SHT_SYMTAB, elf(5)
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


class ElfError(Exception):
    """The bytes are not an ELF object with a symbol table."""


class Variable(NamedTuple):
    """A variable's section, and its place and size in it, in bytes."""

    section: str
    offset: int
    size: int


def variables(elf: bytes) -> dict[str, Variable]:
    """Every named symbol with a size, by name. Raises ElfError."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not a 64-bit little-endian ELF object")
    try:
        (table,) = struct.unpack_from("<Q", elf, 0x28)
        size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
        sections = [_SECTION.unpack_from(elf, table + size * i) for i in range(count)]
        titles = [_text(elf, sections[names][4] + section[0]) for section in sections]
        found = {}
        for section in sections:
            if section[1] != _SYMBOL_TABLE:
                continue
            start, length = section[4], section[5]
            strings = sections[section[6]][4]
            for at in range(start, start + length, _SYMBOL.size):
                name, _, _, owner, value, extent = _SYMBOL.unpack_from(elf, at)
                if extent and owner < len(titles):
                    found[_text(elf, strings + name)] = Variable(titles[owner], value, extent)
    except (struct.error, IndexError, ValueError) as error:
        raise ElfError(f"the ELF object's tables: {error}") from None
    return found


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("ascii", "replace")
