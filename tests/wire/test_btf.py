# SPDX-License-Identifier: Apache-2.0
"""The BTF reader takes what clang makes and refuses everything else in its own words."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.wire.btf import BTF_MAGIC, Btf, BtfError, btf_section

INT, STRUCT, ENUM, TYPEDEF, CONST = 1, 4, 6, 8, 10


def named_types(*types: tuple[str, int, int, int, bytes]) -> bytes:
    """A BTF section of (name, kind, members, size or type, what follows)."""
    strings = b"\0"
    body = b""
    for name, kind, members, size, rest in types:
        body += struct.pack("<III", len(strings), kind << 24 | members, size) + rest
        strings += name.encode() + b"\0"
    header = struct.pack("<HBBIIIII", BTF_MAGIC, 1, 0, 24, 0, len(body), len(body), len(strings))
    return header + body + strings


def elf(section: bytes) -> bytes:
    """The smallest ELF object with a .BTF section: no section, its names, .BTF."""
    names = b"\0.BTF\0"
    table = 64
    at = table + 3 * 64
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 0x28, table)
    struct.pack_into("<HHH", header, 0x3A, 64, 3, 1)
    rows = [
        bytes(64),
        struct.pack("<IIQQQQ", 0, 3, 0, 0, at, len(names)).ljust(64, b"\0"),
        struct.pack("<IIQQQQ", 1, 1, 0, 0, at + len(names), len(section)).ljust(64, b"\0"),
    ]
    return bytes(header) + b"".join(rows) + names + section


UNSIGNED = ("unsigned int", INT, 0, 4, struct.pack("<I", 32))
MEMBER = struct.pack("<III", 1, 2, 0)  # called "unsigned int", of type 2, at bit 0
STRUCTURE = named_types(
    UNSIGNED, ("u32", TYPEDEF, 0, 1, b""), ("thing", STRUCT, 1, 4, MEMBER),
    ("colour", ENUM, 1, 4, struct.pack("<Ii", 1, -5)),
)  # fmt: skip


def read_all(object_: bytes) -> None:
    """Everything that guard asks of an object."""
    btf = Btf(btf_section(object_))
    for one in btf.named("struct").values():
        btf.struct_members(one)
    for one in btf.named("enum").values():
        btf.enumerators(one)


def test_a_struct_and_an_enum_are_read() -> None:
    btf = Btf(btf_section(elf(STRUCTURE)))
    (member,) = btf.struct_members(btf.named("struct")["thing"])
    assert (member.offset, member.size, member.count, member.code) == (0, 4, 1, "I")
    assert btf.enumerators(btf.named("enum")["colour"]) == {"unsigned int": -5}


def test_a_section_with_another_magic_is_refused() -> None:
    with pytest.raises(BtfError, match="magic"):
        Btf(b"\0" * 24)


def test_a_typedef_of_itself_is_refused_and_not_followed_for_ever() -> None:
    round_ = named_types(UNSIGNED, ("loop", TYPEDEF, 0, 2, b""), ("s", STRUCT, 1, 4, MEMBER))
    with pytest.raises(BtfError, match="made of itself"):
        read_all(elf(round_))


def test_a_circle_of_two_modifiers_is_refused() -> None:
    pair = (("a", TYPEDEF, 0, 3, b""), ("b", CONST, 0, 2, b""))
    round_ = named_types(UNSIGNED, *pair, ("s", STRUCT, 1, 4, MEMBER))
    with pytest.raises(BtfError, match="made of itself"):
        read_all(elf(round_))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (("u", TYPEDEF, 0, 99, b""), "not among"),
        (("u", TYPEDEF, 0, 0, b""), "is void"),
        (("u", INT, 0, 3, struct.pack("<I", 24)), "integer of 3 bytes"),
        (("u", 2, 0, 1, b""), "may not cross the border"),
    ],
)
def test_a_member_that_makes_no_sense_is_refused(
    types: tuple[str, int, int, int, bytes], message: str
) -> None:
    with pytest.raises(BtfError, match=message):
        read_all(elf(named_types(UNSIGNED, types, ("s", STRUCT, 1, 4, MEMBER))))


def test_an_object_that_ends_anywhere_too_early_is_refused() -> None:
    whole = elf(STRUCTURE)
    for size in range(len(whole)):
        with pytest.raises(BtfError):
            read_all(whole[:size])


def test_a_section_table_beyond_all_memory_is_refused() -> None:
    object_ = bytearray(elf(STRUCTURE))
    struct.pack_into("<Q", object_, 0x28, 1 << 63)
    with pytest.raises(BtfError, match="section table"):
        read_all(bytes(object_))


def refused_or_read(object_: bytes, read: Callable[[bytes], None]) -> None:
    with contextlib.suppress(BtfError):
        read(object_)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(damage: list[tuple[int, int]]) -> None:
    object_ = bytearray(elf(STRUCTURE))
    for at, value in damage:
        object_[at % len(object_)] = value
    refused_or_read(bytes(object_), read_all)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_good_beginning_are_read_or_refused(rest: bytes) -> None:
    refused_or_read(b"\x7fELF\x02\x01" + rest, read_all)
    refused_or_read(elf(STRUCTURE[:24] + rest), read_all)
    refused_or_read(elf(struct.pack("<H", BTF_MAGIC) + rest), read_all)
