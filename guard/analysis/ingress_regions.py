# SPDX-License-Identifier: Apache-2.0
"""Every packet there can be, as far as some ingress sections can tell packets apart.

A region is a set of packets that match the same rules in the same way, with one
packet of it. Fields are independent of each other but where a protocol says
which of them there are, so the regions of a kind of packet are the distinct
intersections of its fields' classes: all of them are visited, or TooMany is
raised. Knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guard.analysis.ingress import TUNNELS
from guard.analysis.ingress_fields import Class, Sets, addresses, numbers, values
from guard.analysis.ingress_packet import PORTED, Fault, Packet, Part
from guard.policy.ingress import Action, IngressRule, IngressSection, Range, Tunnels

MOST = 400_000
"""Regions visited before giving up, to bound memory and time."""

_ADMITTING = (Action.ALLOW, Action.LIMIT, Action.REDIRECT)
_ICMP, _TCP, _ICMP6 = 1, 6, 58
_FIRST = (_TCP, 17, _ICMP, _ICMP6)
"""Protocols that are looked at first: they make examples that people know."""
_EXTENSIONS = frozenset({0, 43, 44, 60, 135, 139, 140})
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_HEADERS = {4: 20, 6: 40}
_SOLICIT, _LISTENER = (133, 134, 135, 136), (130, 131, 132, 143)

_SYN = 2
_USUAL_LENGTH = 60


class TooMany(Exception):
    """More than MOST regions: nothing is proved."""


@dataclass(frozen=True, slots=True)
class Region:
    """Packets of one kind that match alike: ``sure`` are the rules, as bits, that match by
    fields that could be read; ``unsure`` those that would match if what could not be read
    fitted. ``interface`` is where the packet came in.
    """

    packet: Packet
    interface: str
    sure: int
    unsure: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a packet is before its fields: ``protocol`` None where it cannot be seen."""

    family: int
    protocol: int | None
    part: Part
    fault: Fault | None

    @property
    def readable(self) -> bool:
        return self.fault is None and self.part is not Part.LATER


class Rules:
    """Rules of one or two sections, numbered through: rule n is bit n."""

    def __init__(self, sections: Sequence[IngressSection], sets: Sequence[Sets]) -> None:
        self.sections = sections
        self.rules: list[IngressRule] = []
        self._sets: list[Sets] = []
        self._named: list[bool] = []
        self.first: list[int] = []
        for section, own in zip(sections, sets, strict=True):
            self.first.append(len(self.rules))
            self.rules += section.rules
            self._sets += [own] * len(section.rules)
            self._named += [section.tunnels is Tunnels.NAMED] * len(section.rules)
        self.every = (1 << len(self.rules)) - 1

    def of(self, number: int, mask: int) -> list[IngressRule]:
        """The rules of a section that a mask has, in their order."""
        rules = self.sections[number].rules
        mask = mask >> self.first[number] & (1 << len(rules)) - 1
        return [rule for at, rule in enumerate(rules) if mask >> at & 1] if mask else []

    def _mask(self, fitting: Iterable[bool]) -> int:
        return sum(1 << at for at, fits in enumerate(fitting) if fits)

    def regions(self) -> Iterator[Region]:
        """All regions of IP packets that can be read as far as their addresses. Raises TooMany."""
        interfaces = list(dict.fromkeys(name for one in self.sections for name in one.interfaces))
        whole: list[_Kind] = []
        for family in (4, 6):
            whole += self._kinds(family)
        ends = {family: self._ends(family) for family in (4, 6)}
        vlans = self._vlans()
        visited = 0
        for interface in interfaces:
            at = self._mask(
                not rule.match.interfaces or interface in rule.match.interfaces
                for rule in self.rules
            )
            for kind in whole:
                for region in self._of_kind(kind, interface, at, ends[kind.family], vlans):
                    visited += 1
                    if visited > MOST:
                        raise TooMany
                    yield region

    def _kinds(self, family: int) -> Iterator[_Kind]:
        """The kinds of packets of a family that rules or sections tell apart."""
        candidates = [number for number in range(256) if family == 4 or number not in _EXTENSIONS]
        candidates.sort(key=lambda number: (number not in _FIRST, number))
        apart = values(candidates, self._of_protocol, _protocol_kind)
        protocols: list[int | None] = [one.value for one in apart]
        if family == 6:
            protocols.append(None)
        for part in Part:
            for fault in (None, Fault.TRUNCATED):
                for protocol in protocols:
                    if protocol is None and fault is None and part is not Part.LATER:
                        continue
                    yield _Kind(family, protocol, part, fault)

    def _of_protocol(self, protocol: int) -> int:
        return self._mask(self._fits(rule, named, protocol) for rule, named in self._both())

    def _both(self) -> Iterable[tuple[IngressRule, bool]]:
        return zip(self.rules, self._named, strict=True)

    def _fits(self, rule: IngressRule, named: bool, protocol: int) -> bool:
        if rule.match.protocols:
            return protocol in rule.match.protocols
        return not (named and rule.action in _ADMITTING and protocol in TUNNELS)

    def _ends(self, family: int) -> list[tuple[Class, Class]]:
        """Pairs of source and destination that match different rules."""
        found: dict[tuple[int, int], tuple[Class, Class]] = {}
        sources = addresses(self.rules, self._sets, family, source=True)
        destinations = addresses(self.rules, self._sets, family, source=False)
        if len(sources) * len(destinations) > 10 * MOST:
            raise TooMany
        for source in sources:
            for destination in destinations:
                key = source.rules & destination.rules, source.extra
                found.setdefault(key, (source, destination))
        return list(found.values())

    def _vlans(self) -> list[Class]:
        named = {vlan for rule in self.rules for vlan in rule.match.vlans}
        other = next(vlan for vlan in range(4095) if vlan not in named)
        return list(
            values(
                [0, *sorted(named), other],
                lambda vlan: self._mask(
                    not rule.match.vlans or vlan in rule.match.vlans for rule in self.rules
                ),
            )
        )

    def _of_kind(
        self,
        kind: _Kind,
        interface: str,
        at: int,
        ends: Sequence[tuple[Class, Class]],
        vlans: Sequence[Class],
    ) -> Iterator[Region]:
        sure, maybe = self._before_fields(kind)
        sure, maybe = sure & at, maybe & at
        local = kind.protocol == _ICMP6 and kind.readable
        found: dict[tuple[int, int, int], tuple[Class, ...]] = {}
        for source, destination in ends:
            rules = source.rules & destination.rules
            extra = source.extra if local else 0
            found.setdefault((sure & rules, maybe & rules, extra), (source, destination))
        fields = [vlans, self._lengths(kind), *self._transport(kind)]
        for classes in fields:
            joined: dict[tuple[int, int, int], tuple[Class, ...]] = {}
            for (yes, perhaps, extra), chosen in found.items():
                for one in classes:
                    key = yes & one.rules, perhaps & one.rules, extra | one.extra << 1
                    joined.setdefault(key, (*chosen, one))
            if len(joined) > MOST:
                raise TooMany
            found = joined
        for (yes, perhaps, _), chosen in found.items():
            for packet in self._packets(kind, chosen):
                yield Region(packet, interface, yes, perhaps & ~yes)

    def _before_fields(self, kind: _Kind) -> tuple[int, int]:
        """The rules that fit a kind for certain, and those that fit unless something that
        cannot be read is against it.
        """
        sure = maybe = 0
        for number, (rule, named) in enumerate(self._both()):
            match, protocol, bit = rule.match, kind.protocol, 1 << number
            answers: list[bool | None] = [match.family in (None, kind.family)]
            if match.fragment is not None:
                answers.append(match.fragment == (kind.part is not Part.WHOLE))
            if protocol is not None:
                answers.append(self._fits(rule, named, protocol))
            elif match.protocols or (named and rule.action in _ADMITTING):
                answers.append(None)
            having = (
                (match.source_ports or match.destination_ports, PORTED),
                (match.tcp_flags, {_TCP}),
                (match.icmp_types or match.icmp6_types, _typed(rule)),
            )
            for given, protocols in having:
                if given and protocol is not None and protocol not in protocols:
                    answers.append(False)
                elif given and not kind.readable:
                    answers.append(None)
            if False not in answers:
                maybe |= bit
                sure |= bit * (None not in answers)
        return sure, maybe

    def _lengths(self, kind: _Kind) -> list[Class]:
        least = _HEADERS[kind.family]
        if kind.readable and kind.protocol in (*PORTED, _ICMP, _ICMP6):
            least += 20 if kind.protocol == _TCP else 8
        return numbers(
            self.rules, lambda rule: rule.match.lengths, (least, 65535), (_USUAL_LENGTH,)
        )

    def _transport(self, kind: _Kind) -> Iterator[list[Class]]:
        """The classes of the fields that a kind has after its addresses."""
        if not kind.readable:
            return
        if kind.protocol in PORTED:
            yield numbers(self.rules, lambda rule: rule.match.source_ports, (0, 65535), (40000,))
            yield numbers(
                self.rules, lambda rule: rule.match.destination_ports, (0, 65535), (22, 443)
            )
        if kind.protocol == _TCP:
            yield list(values((_SYN, *range(256)), self._flags))
        if kind.protocol in (_ICMP, _ICMP6):
            own = kind.protocol

            def types(value: int) -> int:
                return self._mask(_type_fits(rule, own, value) for rule in self.rules)

            extra = _neighbour if own == _ICMP6 else (lambda _: 0)
            yield list(values(range(256), types, extra))

    def _flags(self, value: int) -> int:
        return self._mask(
            not rule.match.tcp_flags
            or any(value & each.mask == each.value for each in rule.match.tcp_flags)
            for rule in self.rules
        )

    def _packets(self, kind: _Kind, chosen: Sequence[Class]) -> Iterator[Packet]:
        source, destination, vlan, length, *rest = (one.value for one in chosen)
        packet = Packet(
            ethertype=_ETHERTYPES[kind.family],
            vlan=vlan,
            family=kind.family,
            source=source,
            destination=destination,
            protocol=kind.protocol,
            part=kind.part,
            length=length,
            hops=64,
            transport=kind.readable,
            fault=kind.fault,
        )
        if kind.readable and kind.protocol in PORTED:
            packet.source_port, packet.destination_port, *flags = rest
            packet.tcp_flags = flags[0] if flags else None
        elif kind.readable and kind.protocol in (_ICMP, _ICMP6):
            packet.icmp_type = rest[0]
            near = {1: 255, 2: 1}.get(_neighbour(rest[0])) if kind.family == 6 else None
            if near is not None and kind.protocol == _ICMP6:
                yield _with_hops(packet, near)
        yield packet


def _with_hops(packet: Packet, hops: int) -> Packet:
    made = Packet(**{name: getattr(packet, name) for name in Packet.__slots__})
    made.hops = hops
    return made


def _protocol_kind(protocol: int) -> int:
    """What the meaning of rules and sections tells apart in protocols."""
    special = {_TCP: 1, _ICMP: 2, _ICMP6: 3, 17: 4}.get(protocol, 0)
    return special << 2 | (protocol in PORTED) << 1 | (protocol in TUNNELS)


def _typed(rule: IngressRule) -> set[int]:
    given = {_ICMP: rule.match.icmp_types, _ICMP6: rule.match.icmp6_types}
    return {number for number, some in given.items() if some}


def _type_fits(rule: IngressRule, protocol: int, value: int) -> bool:
    if not rule.match.icmp_types and not rule.match.icmp6_types:
        return True
    own: Sequence[int] = rule.match.icmp_types if protocol == _ICMP else rule.match.icmp6_types
    return any(one.first <= value <= one.last for one in (Range(t, t) for t in own))


def _neighbour(icmp_type: int) -> int:
    """Whether a type is one of those that come in from neighbours, and of which sort."""
    return 1 if icmp_type in _SOLICIT else 2 if icmp_type in _LISTENER else 0
