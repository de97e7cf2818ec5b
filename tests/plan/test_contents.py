# SPDX-License-Identifier: Apache-2.0
"""Hashes of executables: from policies to the tables' list, and to the program that reads it."""

from __future__ import annotations

import struct

import pytest

from guard.plan import gates
from guard.plan.contents import contents
from guard.plan.encode import encode
from guard.plan.errors import PlanError
from guard.plan.host import build_host_plan
from guard.policy.load import load
from guard.policy.model import Policy
from guard.wire.layout import CONTENT, ROOT, Limit

ONE, TWO = "11" * 32, "2f" * 32


def policies(*hashes: tuple[str, ...]) -> tuple[Policy, ...]:
    """One policy for each of these lists of hashes; none: without sha256."""
    texts = [
        f"version: 1\nname: p{number}\nmode: enforce\n"
        f"subject: {{exe: /bin/p{number}"
        + (f", sha256: [{', '.join(repr(one) for one in some)}]" if some else "")
        + "}\nfile: {default: allow}\n"
        for number, some in enumerate(hashes)
    ]
    loaded = load((f"{number}.yaml", text.encode()) for number, text in enumerate(texts))
    assert loaded.usable, loaded.diagnostics
    return loaded.policies


def test_each_hash_has_the_policies_that_name_it() -> None:
    assert contents(policies((ONE, TWO), (), (TWO,))) == {
        bytes.fromhex(ONE): 0b001,
        bytes.fromhex(TWO): 0b101,
    }


def test_the_tables_hold_them_and_who_has_any() -> None:
    root = encode(build_host_plan(policies((ONE, TWO), (), (TWO,)), ()), 1).root
    assert struct.unpack_from("<Q", root, ROOT.fields["contents"].offset) == (0b101,)
    first = ROOT.fields["content"].offset
    assert root[first : first + 32] == bytes.fromhex(ONE)
    assert root[first + 32 : first + 40] == struct.pack("<Q", 0b001)
    second = first + CONTENT.size
    assert root[second : second + 40] == bytes.fromhex(TWO) + struct.pack("<Q", 0b101)
    assert not any(root[second + CONTENT.size :])


def test_more_than_the_tables_hold_are_refused_where_the_first_too_many_stands() -> None:
    hashes = tuple(f"{number:064x}" for number in range(Limit.CONTENTS + 1))
    (full,) = policies(hashes[:-1])
    assert len(contents([full])) == Limit.CONTENTS
    (over,) = policies(hashes)
    with pytest.raises(PlanError) as refused:
        contents([over])
    assert refused.value.message == (
        "subjects have more than 64 different sha256, and the tables hold no more"
        " (GUARD_LIMIT_CONTENTS)"
    )
    assert refused.value.span == over.subject.contents[-1].span


def test_the_program_that_hashes_is_needed_where_a_subject_says_so_and_nowhere_else() -> None:
    assert gates.CONTENTS in gates.needed(policies((ONE,)))
    assert gates.CONTENTS not in gates.needed(policies(()))
