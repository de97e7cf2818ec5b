# SPDX-License-Identifier: Apache-2.0
"""Two versions of an ingress section: the packets that they treat differently.

All regions of packets that the rules of both versions tell apart are visited,
and what the versions say to each is compared; every example is confirmed by the
reference evaluator on the packet itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from guard.analysis.ingress import Decision, Verdict, World, decide
from guard.analysis.ingress_fields import Sets
from guard.analysis.ingress_packet import Fault, Packet, Part
from guard.analysis.ingress_regions import Region, Rules
from guard.plan.agree import Disagreement
from guard.plan.changes import Direction, direction
from guard.policy.ingress import (
    Action,
    Default,
    Established,
    IngressRule,
    IngressSection,
    Limit,
    Per,
)

_DENIALS = (Action.DENY, Action.REJECT)
_LET_IN = (Verdict.ALLOW, Verdict.REDIRECT)
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58


@dataclass(frozen=True, slots=True)
class PacketChange:
    """Packets that one reason decided before and another decides now.

    ``packet`` is one of them, come in at ``interface``; ``situation`` says what else
    holds, '' if nothing. A side is None where that version does not filter there, and
    so lets it in. ``limited``: both let it in, and up to another rate.
    """

    name: str
    direction: Direction
    packet: Packet
    interface: str
    situation: str
    old: Decision | None
    new: Decision | None
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a section with its sets' prefixes; no section filters nothing."""

    section: IngressSection | None
    sets: Sets


def _never(_packet: Packet, _which: Established) -> bool:
    return False


def _own(packet: Packet, which: Established) -> bool:
    """Answers to what the host's own sockets and pings sent."""
    kinds = {_TCP: which.tcp, _UDP: which.udp, _ICMP: which.icmp, _ICMP6: which.icmp}
    return kinds.get(packet.protocol or 0, False)


def _forwarded(packet: Packet, which: Established) -> bool:
    return which.forwarded and packet.protocol == _TCP


@dataclass(frozen=True, slots=True)
class _Situation:
    """What is not in the packet, and the words for it."""

    words: str
    answers: Callable[[Packet, Established], bool] = _never
    tracked: bool = False


_NEW = _Situation("")
_ANSWER = _Situation("as an answer to something that this host sent", _own)
_FORWARDED = _Situation("of a connection that this host forwards", _forwarded)
_FOLLOWS = _Situation("after a first fragment that was let in", tracked=True)


def packet_changes(name: str, old: Version, new: Version) -> Iterator[PacketChange]:
    """One example for each pair of reasons. Raises TooMany, and Disagreement, which is a bug."""
    if _meaning(old) == _meaning(new):
        return
    versions = [one for one in (old, new) if one.section is not None]
    rules = Rules(
        [one.section for one in versions if one.section is not None],
        [one.sets for one in versions],
    )
    numbers = {id(one): number for number, one in enumerate(versions)}
    places = [numbers.get(id(one)) for one in (old, new)]
    seen: set[object] = set()
    for region in (*_frames(versions), *rules.regions()):
        for situation in _situations(region.packet, versions):
            sides = [
                _Side.of(one, rules, place, region, situation)
                for one, place in zip((old, new), places, strict=True)
            ]
            change = _change(name, region, situation, sides[0], sides[1], seen)
            if change is not None:
                for one, side in zip((old, new), sides, strict=True):
                    _confirm(name, one, region, situation, side)
                yield change


def _meaning(version: Version) -> object:
    """What decides, without names and places."""
    section = version.section
    if section is None:
        return None
    rules = frozenset((rule.action, rule.match, rule.limit, rule.target) for rule in section.rules)
    sets = frozenset((name, frozenset(some)) for name, some in version.sets.items())
    settings = [
        getattr(section, key)
        for key in ("default", "established", "fragments", "unreadable", "tunnels")
    ]
    return (
        rules,
        sets,
        *settings,
        frozenset(section.interfaces),
        frozenset(section.ethertypes),
    )


def _frames(versions: Sequence[Version]) -> Iterator[Region]:
    """Frames that are no IP packets, or are cut before their addresses."""
    sections = [one.section for one in versions if one.section is not None]
    named = sorted({each for one in sections for each in one.ethertypes})
    other = next(number for number in range(0x88B5, 0xFFFF) if number not in named)
    for interface in dict.fromkeys(name for one in sections for name in one.interfaces):
        for ethertype in (*named, other):
            yield Region(Packet(ethertype=ethertype), interface, 0, 0)
        yield Region(Packet(ethertype=0x0800, family=4, fault=Fault.TRUNCATED), interface, 0, 0)


def _situations(packet: Packet, versions: Sequence[Version]) -> Iterator[_Situation]:
    yield _NEW
    if packet.part is Part.LATER and packet.fault is None:
        yield _FOLLOWS
    known = [
        one.section.established
        for one in versions
        if one.section is not None and one.section.default is Default.DROP
    ]
    if packet.transport and any(known):
        yield _ANSWER
        if packet.protocol == _TCP and any(each.forwarded for each in known if each):
            yield _FORWARDED


@dataclass(frozen=True, slots=True)
class _Side:
    """What one version says to a region; None for the decision where it does not filter."""

    decision: Decision | None
    limits: tuple[IngressRule, ...]

    @staticmethod
    def of(
        version: Version, rules: Rules, place: int | None, region: Region, situation: _Situation
    ) -> _Side:
        section = version.section
        if section is None or place is None or region.interface not in section.interfaces:
            return _Side(None, ())
        sure, unsure = rules.of(place, region.sure), rules.of(place, region.unsure)

        def match(tracked: bool) -> list[IngressRule]:
            return sure + [rule for rule in unsure if rule.action in _DENIALS and not tracked]

        decision = decide(section, region.packet, _world(version, region, situation), match)
        limits = [rule for rule in sure if rule.action is Action.LIMIT]
        return _Side(decision, tuple(limits) if _let_in(decision) and decision.rules else ())

    @property
    def rules(self) -> bool:
        return self.decision is not None and bool(self.decision.rules)

    @property
    def reason(self) -> object:
        if self.decision is None:
            return None
        ids = frozenset(rule.id for rule in (*self.decision.rules, *self.limits))
        return self.decision.verdict, self.decision.reason, ids


def _world(version: Version, region: Region, situation: _Situation) -> World:
    return World(
        version.sets,
        region.interface,
        answers=situation.answers,
        tracked=lambda _: situation.tracked,
    )


def _let_in(decision: Decision | None) -> bool:
    return decision is None or decision.verdict in _LET_IN


def _change(
    name: str,
    region: Region,
    situation: _Situation,
    old: _Side,
    new: _Side,
    seen: set[object],
) -> PacketChange | None:
    was, now = _let_in(old.decision), _let_in(new.decision)
    limited = was and now
    if limited:
        loosens = _elsewhere(old, new) or _compared(old.limits, new.limits)
        if loosens is None:
            return None
    elif was == now:
        return None
    else:
        loosens = now
    # What no rule decides is told apart by what it was recognised by.
    packet = region.packet
    kind = (packet.ethertype, packet.protocol if packet.transport and situation.words else None)
    reason = old.reason, new.reason, kind if not (old.rules or new.rules) else None
    if reason in seen:
        return None
    seen.add(reason)
    return PacketChange(
        name,
        direction(loosens),
        region.packet,
        region.interface,
        situation.words,
        old.decision,
        new.decision,
        limited,
    )


def _elsewhere(old: _Side, new: _Side) -> bool:
    """Whether a packet now goes to another place than before."""

    def target(side: _Side) -> object:
        if side.decision is None or side.decision.verdict is not Verdict.REDIRECT:
            return None
        return frozenset(rule.target for rule in side.decision.rules)

    return target(old) != target(new)


def _compared(old: Sequence[IngressRule], new: Sequence[IngressRule]) -> bool | None:
    """Whether limits became looser; None if they are the same. What is neither looser nor
    stricter for certain counts as looser.
    """
    before, after = ({_limit_key(rule) for rule in some} for some in (old, new))
    if before == after:
        return None
    # Who shares one rule's limit changed: which way that goes depends on the traffic.
    return not _as_strict([key[0] for key in after], [key[0] for key in before]) or (
        {key[0] for key in before} == {key[0] for key in after}
    )


def _limit_key(rule: IngressRule) -> tuple[Limit, object]:
    assert rule.limit is not None
    return rule.limit, rule.match if rule.limit.per is Per.RULE else None


def _as_strict(limits: Sequence[Limit], others: Sequence[Limit]) -> bool:
    """Whether whatever stays within the one stays within the others."""
    return all(
        any(
            (one.per, one.unit) == (other.per, other.unit)
            and one.rate <= other.rate
            and one.burst <= other.burst
            for one in limits
        )
        for other in others
    )


def _confirm(
    name: str, version: Version, region: Region, situation: _Situation, side: _Side
) -> None:
    section = version.section
    if section is None or side.decision is None:
        return
    said = decide(section, region.packet, _world(version, region, situation))
    if said != side.decision:
        raise Disagreement(
            f"policy {name!r}: {region.packet} at {region.interface} is decided by"
            f" {said.reason.value}, not by {side.decision.reason.value}"
        )
