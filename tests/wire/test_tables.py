# SPDX-License-Identifier: Apache-2.0
"""The tables' size classes and their order, which C and Python each know."""

from __future__ import annotations

import re
from pathlib import Path

from guard.kernel.engine import OBJECTS
from guard.plan.encode import DATA_BITS, value_size
from guard.wire.btf import Btf, btf_section
from guard.wire.layout import DEVICES, ROOT, ROW

ROOT_DIRECTORY = Path(__file__).parents[2]


def test_objects_are_built_for_the_size_classes_that_the_encoder_knows() -> None:
    built = re.search(
        r"^TABLE_BITS := ([\d ]+)$", (ROOT_DIRECTORY / "lsm/build.mk").read_text(), re.MULTILINE
    )
    assert built is not None
    assert tuple(map(int, built[1].split())) == DATA_BITS


def test_a_maps_value_is_laid_out_as_the_programs_read_it() -> None:
    for bits in DATA_BITS:
        btf = Btf(btf_section((OBJECTS / f"guard-{bits}.bpf.o").read_bytes()))
        tables = btf.named("struct")["tables"]
        members = {one.name: (one.offset, one.size) for one in btf.struct_members(tables)}
        data = (1 << bits) + ROW.size
        assert members == {
            "root": (0, ROOT.size),
            "data": (ROOT.size, data),
            "devices": (ROOT.size + data, DEVICES.size),
        }
        assert tables.size_or_type == value_size(bits)
