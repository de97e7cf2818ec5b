# SPDX-License-Identifier: Apache-2.0
"""Sections and frames in few words, for the tests of what the filter does."""

from __future__ import annotations

import ipaddress
from typing import Any

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from guard.plan.ingress.build import Host, Options, Plan, build
from guard.plan.set_file import columns
from guard.policy.ingress import (
    Action,
    AddressSet,
    Default,
    FlowMatch,
    IngressRule,
    IngressSection,
    Prefix,
    Range,
)
from guard.policy.source import Span
from guard.wire.ingress import Limit
from tests.ingress.native import Filter

SPAN = Span("made.yaml", 1, 1, 1, 2)
HOST = Host({"lo": 1}, 250)


def prefix(text: str) -> Prefix:
    """A prefix as people write it."""
    network = ipaddress.ip_network(text)
    return Prefix(network.version, int(network.network_address), network.prefixlen)


def port(number: int) -> tuple[Range, ...]:
    """One port."""
    return (Range(number, number),)


def rule(name: str, action: Action, match: FlowMatch | None = None, **rest: Any) -> IngressRule:
    """A rule; without a match it is about every packet."""
    return IngressRule(name, action, match or FlowMatch(), SPAN, **rest)


def section(*rules: IngressRule, default: Default = Default.DROP, **rest: Any) -> IngressSection:
    """A section about lo, whose default is to drop."""
    return IngressSection(interfaces=("lo",), default=default, rules=rules, span=SPAN, **rest)


def named(name: str, *prefixes: str) -> AddressSet:
    """A set."""
    return AddressSet(name, tuple(prefix(p) for p in prefixes), None, SPAN)


def put(
    filter_: Filter, made: IngressSection, slots: dict[str, int] | None = None, **options: Any
) -> Plan:
    """Build a section and switch to it; its rules have counters of their own, or ``slots``."""
    sets = {one.name: columns(one.prefixes) for one in made.sets}
    if slots is None:
        first = int(Limit.FIRST_RULE_SLOT)
        slots = {f"used {i}": i for i in range(first, first + filter_.used)}
        filter_.used += len(made.rules)
    plan = build(made, sets, HOST, Options(**options), slots)
    filter_.swap(plan)
    return plan


def frame(packet: Packet) -> bytes:
    """An IP packet in a frame."""
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)
