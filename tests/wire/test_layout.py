# SPDX-License-Identifier: Apache-2.0
"""The committed layout is the compiled objects' own, and another one is noticed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guard.plan.encode import DATA_BITS
from guard.wire import layout
from guard.wire.btf import Btf, btf_section
from guard.wire.check import mismatches
from guard.wire.generate import layout_source

ROOT = Path(__file__).parent.parent.parent
OBJECTS = [ROOT / "guard" / "objects" / f"guard-{bits}.bpf.o" for bits in DATA_BITS]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_the_committed_layout_is_the_one_that_the_object_has(path: Path) -> None:
    source = layout_source(Btf(btf_section(path.read_bytes())))
    committed = (ROOT / "guard" / "wire" / "layout.py").read_text()
    assert source == committed, "lsm/wire.h has changed: run `make wire` and commit layout.py"


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_every_shipped_object_belongs_to_this_guard(path: Path) -> None:
    assert mismatches(path.read_bytes()) == []


class Object:
    """A shipped object whose BTF can be changed in place."""

    def __init__(self) -> None:
        self.elf = bytearray(OBJECTS[0].read_bytes())
        section = btf_section(bytes(self.elf))
        self._at = bytes(self.elf).index(section)
        header, type_off, type_len, str_off, str_len = struct.unpack_from("<IIIII", section, 4)
        self.types = self._at + header + type_off
        self.types_end = self.types + type_len
        self.strings = self._at + header + str_off
        self._strings = bytes(self.elf[self.strings : self.strings + str_len])

    def rename(self, old: bytes, new: bytes) -> None:
        """Change a name in the string section; both are equally long."""
        assert len(old) == len(new)
        at = self._strings.index(b"\0" + old + b"\0") + 1
        self.elf[self.strings + at : self.strings + at + len(old)] = new

    def structure(self, name: bytes) -> int:
        """Where the type of a struct is: name, info, size, then twelve bytes a member."""
        at_name = self._strings.index(b"\0" + name + b"\0") + 1
        kind_struct = 4
        for at in range(self.types, self.types_end, 4):
            found, info = struct.unpack_from("<II", self.elf, at)
            if found == at_name and info >> 24 & 0x1F == kind_struct:
                return at
        raise AssertionError(name)

    def wrong(self) -> list[str]:
        return mismatches(bytes(self.elf))


def test_another_name_of_a_member_is_noticed() -> None:
    object_ = Object()
    object_.rename(b"path_size", b"path_siza")
    assert object_.wrong() == ["struct guard_event is laid out differently"]


def test_another_size_of_a_struct_is_noticed() -> None:
    object_ = Object()
    at = object_.structure(b"guard_task")
    struct.pack_into("<I", object_.elf, at + 8, layout.TASK.size + 8)
    assert object_.wrong() == ["struct guard_task is laid out differently"]


def test_another_offset_of_a_member_is_noticed() -> None:
    object_ = Object()
    at = object_.structure(b"guard_counters") + 12
    first, second = (struct.unpack_from("<III", object_.elf, at + 12 * i) for i in range(2))
    struct.pack_into("<III", object_.elf, at, *first[:2], second[2])
    struct.pack_into("<III", object_.elf, at + 12, *second[:2], first[2])
    assert object_.wrong() == ["struct guard_counters is laid out differently"]


def test_a_missing_struct_is_noticed() -> None:
    object_ = Object()
    object_.rename(b"guard_devices", b"guard_devicez")
    assert "struct guard_devices is missing" in object_.wrong()


def test_another_abi_version_is_noticed() -> None:
    object_ = Object()
    name = object_._strings.index(b"\0GUARD_ABI_VERSION\0") + 1
    entry = bytes(object_.elf).index(struct.pack("<Ii", name, layout.Abi.VERSION), object_.types)
    struct.pack_into("<Ii", object_.elf, entry, name, layout.Abi.VERSION + 1)
    ours = int(layout.Abi.VERSION)
    assert object_.wrong() == [f"the object's ABI version is {ours + 1}, ours is {ours}"]


def test_an_object_without_types_is_one_sentence() -> None:
    (said,) = mismatches(b"\x7fELF\x02\x01 and nothing more")
    assert said.startswith("the ELF object's section table")
