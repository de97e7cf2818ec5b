# SPDX-License-Identifier: Apache-2.0
"""Packets' counter slots become the rules of the filter's policy."""

from __future__ import annotations

import pytest

from guard.audit.record import Resolution
from guard.daemon.ingress_state import State
from guard.daemon.packet_index import PacketStateIndex
from guard.policy.load import load
from guard.wire.ingress import Limit, Reason

TEXT = b"""\
version: 1
name: edge
mode: enforce
subject: {host: true}
ingress:
  interfaces: [eth0]
  default: drop
  rules:
    - {id: ssh, allow: tcp, port: 22, why: admins}
    - {deny: udp}
"""
FIRST = int(Limit.FIRST_RULE_SLOT)


@pytest.fixture(scope="module")
def index() -> PacketStateIndex:
    loaded = load([("edge.yaml", TEXT)])
    assert loaded.usable, loaded.diagnostics
    (policy,) = loaded.policies
    assert policy.ingress is not None
    slots = {"edge/ssh": FIRST, "edge/ingress.2": FIRST + 1, "edge/gone": FIRST + 2}
    state = State("edge", "audit", "edge.yaml", policy.ingress, {}, slots=slots)
    return PacketStateIndex(state)


def test_a_rules_slot_is_the_rule(index: PacketStateIndex) -> None:
    assert index.resolve(FIRST, Reason.RULE) == (
        Resolution("edge", "audit", "ssh", "edge.yaml", 9, "admins", ())
    )
    assert index.resolve(FIRST + 1, Reason.RATE).rule == "ingress.2"


def test_the_default_is_the_sections(index: PacketStateIndex) -> None:
    found = index.resolve(Reason.DEFAULT, Reason.DEFAULT)
    assert (found.policy, found.rule, found.file) == ("edge", None, "edge.yaml")


@pytest.mark.parametrize("slot", [FIRST + 2, FIRST + 3])
def test_a_slot_of_no_rule_is_no_guess(index: PacketStateIndex, slot: int) -> None:
    with pytest.raises(LookupError, match=f"slot {slot}"):
        index.resolve(slot, Reason.RULE)
