# SPDX-License-Identifier: Apache-2.0
"""What an ingress section means: the plain evaluator that everything else must agree with.

Decides one packet from the model alone, rule by rule. Knows nothing of tables,
classes or the kernel; what only a kernel knows (sockets, what was sent, how
full a limit is) is asked of the caller.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from guard.analysis.ingress_packet import PORTED, Packet, Part
from guard.policy.ingress import (
    Action,
    Default,
    Established,
    Fragments,
    IngressRule,
    IngressSection,
    Prefix,
    Range,
    Tunnels,
    Unreadable,
)

# The protocols of docs/manual/ingress.md that carry packets which no rule sees.
TUNNELS = frozenset({4, 41, 47, 50, 51, 97, 108, 115, 137})

_DENIALS = (Action.DENY, Action.REJECT)
_ADMITTING = (Action.ALLOW, Action.LIMIT, Action.REDIRECT)
_ICMP, _TCP, _ICMP6 = 1, 6, 58
_BITS = {4: 32, 6: 128}


class Verdict(enum.Enum):
    """What becomes of a packet."""

    ALLOW = "allow"
    DROP = "drop"
    REJECT = "reject"
    REDIRECT = "redirect"


class Reason(enum.Enum):
    """Why, where no rule decided."""

    RULE = "rule"
    DEFAULT = "default"
    ESTABLISHED = "established"
    NEIGHBOUR = "neighbour"
    ETHERTYPE = "ethertype"
    NOT_IP = "not_ip"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TAGS = "tags"
    EXTENSIONS = "extensions"
    TINY_FRAGMENT = "tiny_fragment"
    FRAGMENT = "fragment"
    TRACKED = "tracked"
    TUNNEL = "tunnel"
    RATE = "rate"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and by whom: ``rules`` are all that could have been named for it.

    ``observers`` are the audit and mirror rules that match.
    """

    verdict: Verdict
    reason: Reason
    rules: tuple[IngressRule, ...] = ()
    observers: tuple[IngressRule, ...] = ()


def _never(_packet: Packet, _which: Established) -> bool:
    return False


def _always(_rule: IngressRule, _packet: Packet) -> bool:
    return True


def _not_tracked(_packet: Packet) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class World:
    """What is not in the packet.

    ``sets`` are the prefixes of every set that rules name. ``answers``: whether
    the packet answers something that was sent. ``within``: whether a limit has
    room. ``tracked``: whether a later fragment's first was let in.
    """

    sets: Mapping[str, Sequence[Prefix]]
    interface: str = ""
    answers: Callable[[Packet, Established], bool] = _never
    within: Callable[[IngressRule, Packet], bool] = _always
    tracked: Callable[[Packet], bool] = _not_tracked


def decide(
    section: IngressSection,
    packet: Packet,
    world: World,
    match: Callable[[bool], Sequence[IngressRule]] | None = None,
) -> Decision:
    """The decision on one packet.

    ``match`` gives the rules that match it, for whoever knows them, by whether the
    packet follows a first fragment that was let in; else each rule is looked at.
    """
    if not section.rules and section.default is Default.ALLOW:
        return Decision(Verdict.ALLOW, Reason.EMPTY)
    by_default = Verdict.DROP if section.default is Default.DROP else Verdict.ALLOW
    if packet.fault is not None and (
        section.unreadable is Unreadable.DROP or packet.source is None
    ):
        return Decision(Verdict.DROP, Reason(packet.fault.value))
    if packet.family is None:
        if packet.ethertype in section.ethertypes:
            return Decision(Verdict.ALLOW, Reason.ETHERTYPE)
        return Decision(by_default, Reason.NOT_IP)
    tracked = False
    if packet.part is Part.LATER:
        if section.fragments is Fragments.DROP:
            return Decision(Verdict.DROP, Reason.FRAGMENT)
        tracked = packet.fault is None and world.tracked(packet)
    if match is not None:
        matching = match(tracked)
    else:
        every = section.rules
        matching = [rule for rule in every if matches(section, rule, packet, world, tracked)]
    observers = tuple(rule for rule in matching if rule.action in (Action.AUDIT, Action.MIRROR))

    def of(action: Action) -> tuple[IngressRule, ...]:
        return tuple(rule for rule in matching if rule.action is action)

    for action, verdict in ((Action.DENY, Verdict.DROP), (Action.REJECT, Verdict.REJECT)):
        if rules := of(action):
            return Decision(verdict, Reason.RULE, rules, observers)
    limits = of(Action.LIMIT)
    over = tuple(rule for rule in limits if not world.within(rule, packet))
    if over:
        return Decision(Verdict.DROP, Reason.RATE, over, observers)
    if rules := of(Action.REDIRECT):
        return Decision(Verdict.REDIRECT, Reason.RULE, rules, observers)
    if rules := limits or of(Action.ALLOW):
        return Decision(Verdict.ALLOW, Reason.RULE, rules, observers)
    verdict, reason = _undecided(section, packet, world, tracked, by_default)
    return Decision(verdict, reason, (), observers)


def _undecided(
    section: IngressSection, packet: Packet, world: World, tracked: bool, by_default: Verdict
) -> tuple[Verdict, Reason]:
    """No rule decided."""
    if tracked:
        return Verdict.ALLOW, Reason.TRACKED
    if section.tunnels is Tunnels.NAMED and packet.protocol in TUNNELS:
        return Verdict.DROP, Reason.TUNNEL
    if packet.fault is not None:
        return by_default, Reason(packet.fault.value)
    established = section.established
    if by_default is Verdict.DROP and established is not None:
        if established.neighbours and is_neighbour(packet):
            return Verdict.ALLOW, Reason.NEIGHBOUR
        if packet.transport and world.answers(packet, established):
            return Verdict.ALLOW, Reason.ESTABLISHED
    return by_default, Reason.DEFAULT


def is_neighbour(packet: Packet) -> bool:
    """Neighbour discovery, or a listener message, that cannot come from another network."""
    if packet.family != 6 or packet.protocol != _ICMP6 or packet.icmp_type is None:
        return False
    if packet.icmp_type in (133, 134, 135, 136):
        return packet.hops == 255
    link_local = packet.source is not None and packet.source >> 118 == 0xFE80 >> 6
    return packet.icmp_type in (130, 131, 132, 143) and packet.hops == 1 and link_local


def matches(
    section: IngressSection, rule: IngressRule, packet: Packet, world: World, tracked: bool
) -> bool:
    """Whether a rule matches: every field that it gives, what cannot be read as denials see it."""
    answers = list(_fields(section, rule, packet, world))
    if False in answers:
        return False
    if None in answers:
        return rule.action in _DENIALS and not tracked
    return True


def _fields(
    section: IngressSection, rule: IngressRule, packet: Packet, world: World
) -> Iterable[bool | None]:
    """One answer a field: yes, no, or None where it cannot be read."""
    match, protocol = rule.match, packet.protocol
    assert packet.family is not None and packet.source is not None
    assert packet.destination is not None
    yield match.family is None or match.family == packet.family
    yield _address(
        packet.family, packet.source, match.sources, match.source_sets, match.source_excepts, world
    )
    yield _address(
        packet.family,
        packet.destination,
        match.destinations,
        match.destination_sets,
        match.destination_excepts,
        world,
    )
    if match.protocols:
        yield None if protocol is None else protocol in match.protocols
    elif section.tunnels is Tunnels.NAMED and rule.action in _ADMITTING:
        yield None if protocol is None else protocol not in TUNNELS
    if match.source_ports:
        yield _of(protocol, PORTED, packet.source_port, match.source_ports)
    if match.destination_ports:
        yield _of(protocol, PORTED, packet.destination_port, match.destination_ports)
    if match.tcp_flags:
        values = [v for v in range(256) for f in match.tcp_flags if v & f.mask == f.value]
        yield _of(protocol, {_TCP}, packet.tcp_flags, [Range(v, v) for v in values])
    if match.icmp_types or match.icmp6_types:
        types = {_ICMP: match.icmp_types, _ICMP6: match.icmp6_types}
        given = {number for number, some in types.items() if some}
        own = types.get(protocol, ()) if protocol is not None else ()
        yield _of(protocol, given, packet.icmp_type, [Range(t, t) for t in own])
    if match.fragment is not None:
        yield match.fragment == (packet.part is not Part.WHOLE)
    if match.vlans:
        yield packet.vlan in match.vlans
    if match.lengths:
        yield _within(min(packet.length, 65535), match.lengths)
    if match.interfaces:
        yield world.interface in match.interfaces


def _of(
    protocol: int | None, having: Iterable[int], value: int | None, ranges: Sequence[Range]
) -> bool | None:
    """A field that only some protocols have."""
    if protocol is not None and protocol not in having:
        return False
    return None if value is None else _within(value, ranges)


def _within(value: int, ranges: Sequence[Range]) -> bool:
    return any(r.first <= value <= r.last for r in ranges)


def _address(
    family: int,
    address: int,
    prefixes: Sequence[Prefix],
    sets: Sequence[str],
    excepts: Sequence[Prefix],
    world: World,
) -> bool:
    def in_any(some: Iterable[Prefix]) -> bool:
        return any(
            p.family == family
            and address >> _BITS[family] - p.length == p.address >> _BITS[family] - p.length
            for p in some
        )

    if in_any(excepts):
        return False
    if not prefixes and not sets:
        return True
    return in_any(prefixes) or any(in_any(world.sets[name]) for name in sets)
