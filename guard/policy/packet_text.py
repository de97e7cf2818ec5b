# SPDX-License-Identifier: Apache-2.0
"""Packets to words: what guard.policy.packet_words reads is written here, and what it
cannot say besides. Takes the fields one by one: knows no packet of anybody's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from guard.policy.vocabulary_ingress import FLAGS, ICMP, ICMP6, ICMP6_TYPES, ICMP_TYPES, PROTOCOLS

_USUAL_LENGTH = 60


def end(family: int, address: int, port: int | None) -> str:
    """An address with its port, if it has one."""
    if family == 4:
        text = str(ipaddress.IPv4Address(address))
    else:
        text = f"[{ipaddress.IPv6Address(address)}]"
    return text if port is None else f"{text}:{port}"


def protocol(number: int | None) -> str:
    """A protocol's word, or its number."""
    if number is None:
        return "unknown"
    return next((word for word, each in PROTOCOLS.items() if each == number), str(number))


def options(
    number: int | None, flags: int | None, kind: int | None, vlan: int, length: int
) -> list[str]:
    """The words for what is not usual."""
    found = []
    if flags is not None:
        names = [word for word, bit in FLAGS.items() if flags & bit]
        found.append(f"flags {','.join(names) or 'none'}")
    if kind is not None:
        types: Mapping[str, int] = {ICMP: ICMP_TYPES, ICMP6: ICMP6_TYPES}.get(number or 0, {})
        found.append(f"type {next((word for word, n in types.items() if n == kind), kind)}")
    if vlan:
        found.append(f"vlan {vlan}")
    if length != _USUAL_LENGTH:
        found.append(f"length {length}")
    return found
