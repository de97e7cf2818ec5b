# SPDX-License-Identifier: Apache-2.0
"""The committed layout of the ingress filter is the compiled object's own."""

from __future__ import annotations

from guard.wire.btf import Btf, btf_section
from guard.wire.generate_ingress import layout_source
from tests.ingress.native import OBJECT, ROOT


def test_the_committed_layout_is_the_one_that_the_object_has() -> None:
    source = layout_source(Btf(btf_section(OBJECT.read_bytes())))
    committed = (ROOT / "guard" / "wire" / "ingress.py").read_text()
    assert source == committed, "lsm/xdp/wire.h has changed: run `make wire-ingress` and commit"
