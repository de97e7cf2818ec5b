# SPDX-License-Identifier: Apache-2.0
"""Reads the BTF section of an ELF object: the sizes and offsets that clang gave.

Format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of the kernel.
Only little-endian 64-bit ELF, which is what clang's bpf target emits on the
machines guard supports. Knows nothing of guard's own types.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BTF_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")

# Kinds of include/uapi/linux/btf.h and the bytes that follow a type of each:
# a fixed amount, and an amount for each of its vlen members.
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF = range(1, 9)
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO, _VAR, _DATASEC = range(9, 16)
_FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = range(16, 20)
_EXTRA = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EXTRA_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_MODIFIERS = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})


class BtfError(Exception):
    """The bytes are not an ELF object with a well-formed BTF section."""


@dataclass(frozen=True, slots=True)
class Type:
    """One BTF type: kind, name, its size or referred type, and its members' raw words."""

    kind: int
    name: str
    size_or_type: int
    members: tuple[tuple[int, int, int], ...]
    array: tuple[int, int] | None  # element type, element count


@dataclass(frozen=True, slots=True)
class Member:
    """A struct member with typedefs resolved: ``code`` as in guard.wire.structure.Field."""

    name: str
    offset: int
    size: int
    count: int
    code: str


class Btf:
    """The types of one object, by id; id 0 is void."""

    def __init__(self, section: bytes) -> None:
        try:
            magic, _version, _flags, header, type_off, type_len, str_off, str_len = (
                _HEADER.unpack_from(section)
            )
        except struct.error as error:
            raise BtfError(f"BTF header: {error}") from None
        if magic != BTF_MAGIC:
            raise BtfError(f"BTF magic is {magic:#x}, not {BTF_MAGIC:#x}")
        self._strings = section[header + str_off : header + str_off + str_len]
        self._types: list[Type | None] = [None]
        at, end = header + type_off, header + type_off + type_len
        while at < end:
            # Every type takes bytes of the section, so this ends where the section does.
            try:
                at = self._read_type(section, at)
            except struct.error as error:
                raise BtfError(f"BTF type {len(self._types)}: {error}") from None

    def _string(self, offset: int) -> str:
        try:
            return self._strings[offset : self._strings.index(b"\0", offset)].decode()
        except ValueError as error:
            raise BtfError(f"BTF string at {offset}: {error}") from None

    def _read_type(self, section: bytes, at: int) -> int:
        name, info, size_or_type = _TYPE.unpack_from(section, at)
        at = at + _TYPE.size
        kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
        members: list[tuple[int, int, int]] = []
        array = None
        if kind == _ARRAY:
            element, _index, count = struct.unpack_from("<III", section, at)
            array = (element, count)
        elif kind in (_STRUCT, _UNION):
            members = [struct.unpack_from("<III", section, at + 12 * i) for i in range(vlen)]
        elif kind == _ENUM:
            members = [(*struct.unpack_from("<Ii", section, at + 8 * i), 0) for i in range(vlen)]
        self._types.append(Type(kind, self._string(name), size_or_type, tuple(members), array))
        extra: int = _EXTRA.get(kind, 0) + _EXTRA_EACH.get(kind, 0) * vlen
        return at + extra

    def _resolve(self, type_id: int) -> Type:
        at = type_id
        # A chain of modifiers longer than the types goes round in a circle.
        for _ in self._types:
            if at >= len(self._types):
                raise BtfError(f"type {at} is not among the {len(self._types)} of the object")
            found = self._types[at]
            if found is None:
                raise BtfError(f"type {type_id} is void")
            if found.kind not in _MODIFIERS:
                return found
            at = found.size_or_type
        raise BtfError(f"type {type_id} is made of itself")

    def named(self, kind: str) -> dict[str, Type]:
        """All types of ``kind`` ("struct" or "enum") that have a name."""
        wanted = {"struct": _STRUCT, "enum": _ENUM}[kind]
        return {t.name: t for t in self._types if t is not None and t.kind == wanted and t.name}

    def enumerators(self, enum: Type) -> dict[str, int]:
        """Names and values of an enum, in order of declaration."""
        return {self._string(name): value for name, value, _ in enum.members}

    def _element(self, type_: Type) -> tuple[int, str]:
        """Size in bytes and code of one element."""
        if type_.kind == _INT:
            letters = {1: "B", 2: "H", 4: "I", 8: "Q"}
            if type_.size_or_type not in letters:
                raise BtfError(f"an integer of {type_.size_or_type} bytes may not cross the border")
            code = letters[type_.size_or_type]
            if type_.name == "char":
                code = "c"
            elif not type_.name.startswith("unsigned"):
                code = code.lower()
            return type_.size_or_type, code
        if type_.kind == _STRUCT:
            return type_.size_or_type, type_.name
        raise BtfError(f"a member of kind {type_.kind} ({type_.name}) may not cross the border")

    def struct_members(self, type_: Type) -> tuple[Member, ...]:
        """Members of a struct, in order of offset.

        Raises BtfError for kinds that wire.h does not allow: pointers, unions,
        bit fields, nested arrays.
        """
        out = []
        for name, type_id, bits in type_.members:
            if bits % 8:
                raise BtfError(f"{type_.name}.{self._string(name)} is a bit field")
            target, count = self._resolve(type_id), 1
            if target.array is not None:
                element, count = target.array
                target = self._resolve(element)
            size, code = self._element(target)
            out.append(Member(self._string(name), bits // 8, size * count, count, code))
        return tuple(out)


def btf_section(elf: bytes) -> bytes:
    """The .BTF section of an ELF object's bytes.

    Raises BtfError when ``elf`` is no 64-bit little-endian ELF or lacks one.
    """
    if elf[:6] != b"\x7fELF\x02\x01":
        raise BtfError("not a 64-bit little-endian ELF object")
    try:
        (table,) = struct.unpack_from("<Q", elf, 0x28)
        size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", elf, table + size * i) for i in range(count)]
        names = headers[names_index]
        strings = elf[names[4] : names[4] + names[5]]
        for name, _type, _flags, _address, offset, length in headers:
            if strings[name : strings.index(b"\0", name)] == b".BTF":
                return elf[offset : offset + length]
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise BtfError(f"the ELF object's section table: {error}") from None
    raise BtfError("the object has no .BTF section; was it compiled with -g?")
