# SPDX-License-Identifier: Apache-2.0
"""The service field: protocol with destination port or ICMP type, as one line of positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guard.plan.ingress.classes import Classes, Ranges, classify, merged
from guard.plan.ingress.order import ADMITTING, DENIALS
from guard.policy.ingress import IngressRule, Range
from guard.wire.ingress import ServiceKind, Unread

# IANA protocol numbers
ICMP, TCP, UDP, DCCP, ICMP6, SCTP, UDPLITE = 1, 6, 17, 33, 58, 132, 136

PORTED = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
TYPED = frozenset({ICMP, ICMP6})

# IPIP, 6in4, GRE, ESP, AH, EtherIP, IPComp, L2TP, MPLS in IP: a host that takes
# them finds another packet inside, which no rule of this interface has seen.
TUNNELS = frozenset({4, 41, 47, 50, 51, 97, 108, 115, 137})

_PORTS, _TYPES, _PROTOCOLS = 65536, 256, 256


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule says about the service; ``values`` holds (protocol, ranges), or nothing.

    ``protocols`` None is every protocol; those of ``without`` never match.
    ``denies``: what cannot be read matches.
    """

    protocols: tuple[int, ...] | None
    values: tuple[tuple[int, tuple[Range, ...]], ...]
    without: frozenset[int]
    denies: bool


@dataclass(frozen=True, slots=True)
class Services:
    """The line: ``base``, ``kind`` of each protocol, ``unknown``'s position, and its classes."""

    base: tuple[int, ...]
    kind: tuple[ServiceKind, ...]
    unknown: int
    classes: Classes
    ranges: Ranges
    used: bool


def said(rule: IngressRule, named_tunnels: bool) -> Said:
    """The service part of a rule."""
    match, denies = rule.match, rule.action in DENIALS
    possible = set(match.protocols) if match.protocols else set(range(_PROTOCOLS))
    if match.source_ports or match.destination_ports:
        possible &= PORTED
    if match.tcp_flags:
        possible &= {TCP}
    values: list[tuple[int, tuple[Range, ...]]] = []
    if match.icmp_types or match.icmp6_types:
        types = {ICMP: match.icmp_types, ICMP6: match.icmp6_types}
        possible &= {protocol for protocol, some in types.items() if some}
        values += [(p, tuple(Range(t, t) for t in types[p])) for p in sorted(possible)]
    if match.destination_ports:
        values += [(p, match.destination_ports) for p in sorted(possible)]
    without: frozenset[int] = frozenset()
    if named_tunnels and rule.action in ADMITTING and not match.protocols:
        without = TUNNELS
    everything = len(possible) == _PROTOCOLS
    return Said(None if everything else tuple(sorted(possible)), tuple(values), without, denies)


def says_nothing(one: Said) -> bool:
    """Whether every packet matches."""
    return one.protocols is None and not one.values and not one.without


def cut(things: Sequence[Said]) -> Services:
    """Lay out the line for what is said, and class it. ``things[i]`` is thing i."""
    valued = {protocol for one in things for protocol, _ in one.values}
    base, kind, at = [], [], 0
    for protocol in range(_PROTOCOLS):
        base.append(at)
        if protocol not in valued:
            kind.append(ServiceKind.PLAIN)
            at += 1
        elif protocol in PORTED:
            kind.append(ServiceKind.PORT)
            at += _PORTS + int(Unread.COUNT)
        else:
            kind.append(ServiceKind.TYPE)
            at += _TYPES + int(Unread.COUNT)
    unknown = at
    positions = at + int(Unread.COUNT)
    parts: list[tuple[int, int, int]] = []
    for thing, one in enumerate(things):
        parts += ((thing, a, b) for a, b in _positions(one, base, kind, unknown))
    table = np.array(parts, dtype=np.int64).reshape(-1, 3)
    ranges = merged(table[:, 0], table[:, 1], table[:, 2])
    used = any(not says_nothing(one) for one in things)
    return Services(
        tuple(base), tuple(kind), unknown, classify(positions, len(things), ranges), ranges, used
    )


def _positions(
    one: Said, base: list[int], kind: list[ServiceKind], unknown: int
) -> list[tuple[int, int]]:
    """Half-open ranges of positions that match."""
    spans = {ServiceKind.PLAIN: 1, ServiceKind.PORT: _PORTS, ServiceKind.TYPE: _TYPES}
    values = dict(one.values)
    out: list[tuple[int, int]] = []
    for protocol in range(_PROTOCOLS) if one.protocols is None else one.protocols:
        if protocol in one.without:
            continue
        at, span = base[protocol], spans[kind[protocol]]
        if protocol in values:
            out += [(at + r.first, at + r.last + 1) for r in values[protocol]]
            if one.denies:
                out.append((at + span, at + span + 1))
        else:
            tail = 0 if kind[protocol] is ServiceKind.PLAIN else int(Unread.COUNT)
            out.append((at, at + span + tail))
    if one.denies or says_nothing(one):
        out.append((unknown + Unread.UNREADABLE, unknown + Unread.UNREADABLE + 1))
    if says_nothing(one):
        out.append((unknown + Unread.TRACKED, unknown + Unread.TRACKED + 1))
    return out
