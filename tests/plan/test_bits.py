# SPDX-License-Identifier: Apache-2.0
"""A policy keeps its bit, and nobody gets the bit of one that is gone."""

from __future__ import annotations

import pytest

from guard.plan.bits import arrange, is_retired
from guard.plan.build import build_plan
from guard.plan.errors import PlanError
from guard.policy.load import load
from guard.policy.model import Policy
from guard.wire.layout import Limit


def named(*names: str) -> tuple[Policy, ...]:
    """Policies that differ in their names."""
    text = "---\n".join(
        f"version: 1\nname: {name}\nmode: enforce\nsubject: {{host: true}}\n"
        "file: {default: allow, rules: [{deny: read, path: /x}]}\n"
        for name in names
    )
    return load([("p.yaml", text.encode())]).policies


def names(policies: tuple[Policy, ...]) -> list[str]:
    return [policy.name for policy in policies]


def test_policies_keep_their_bits_whatever_their_order() -> None:
    assert names(arrange(named("a", "b", "c"), named("c", "a", "b"))) == ["a", "b", "c"]


def test_a_new_policy_gets_a_bit_that_nobody_had() -> None:
    arranged = arrange(named("a", "b"), named("c", "b"))
    assert names(arranged) == ["", "b", "c"]
    assert [is_retired(policy) for policy in arranged] == [True, False, False]
    again = arrange(arranged, named("a"))
    assert names(again) == ["", "", "", "a"]


def test_what_is_retired_says_nothing_in_the_tables() -> None:
    plan = build_plan(arrange(named("a", "b"), named("b")))
    masks = plan.masks
    assert (masks.host, masks.enforce, masks.exe, masks.inherit) == (0b10, 0b10, 0, 0)
    assert all(gated.policies & 0b01 == 0 for gated in masks.sections)


def test_when_the_bits_are_used_up_it_is_said() -> None:
    before = named(*(f"p{number}" for number in range(Limit.POLICIES)))
    assert len(arrange(before, before)) == Limit.POLICIES
    with pytest.raises(PlanError, match="there would be 65") as caught:
        arrange(before, named("other"))
    assert caught.value.help is not None and "unload" in caught.value.help
