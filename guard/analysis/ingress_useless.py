# SPDX-License-Identifier: Apache-2.0
"""Ingress rules that one other rule makes useless: it matches all that they match, and decides.

Proved field by field from the text. A rule that only several others cover
together is not found, and what a set's file holds is not known here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from guard.analysis.ingress import TUNNELS
from guard.analysis.ingress_regions import Rules
from guard.policy import packet_text
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.ingress import (
    Action,
    FlowMatch,
    IngressRule,
    IngressSection,
    Prefix,
    Range,
    Tunnels,
)

MOST = 300
"""Rules of a section that are compared pair by pair; of more, only the first so many."""

_DENIALS = (Action.DENY, Action.REJECT)
_BEATEN = (Action.ALLOW, Action.LIMIT, Action.REDIRECT)


def find(section: IngressSection) -> Iterator[Diagnostic]:
    """The rules that can be left out together, with no verdict changed."""
    left = list(section.rules[:MOST])
    for rule in reversed(left[:]):
        cover = next(
            (other for other in left if other is not rule and _vain(rule, other, section)), None
        )
        if cover is None:
            continue
        left.remove(rule)
        same = rule.match == cover.match and rule.action is cover.action
        denied = cover.action in _DENIALS
        yield Diagnostic(
            Code.DUPLICATE_RULE if same else Code.SHADOWED_RULE,
            f"the rule {quoted(rule.id)} says the same as {quoted(cover.id)}"
            if same
            else f"the rule {quoted(rule.id)} changes nothing: whatever packet it matches,"
            f" {quoted(cover.id)} decides",
            rule.span,
            "again here" if same else _example(rule, section),
            (
                Related(
                    cover.span,
                    "first here"
                    if same
                    else f"{'denied' if denied else 'let in'} by this rule anyway",
                ),
            ),
            "deny beats allow: use not-from or not-to in the other rule, or leave this one out"
            if denied and rule.action in _BEATEN
            else "leave it out, or narrow the other rule",
        )


def _vain(rule: IngressRule, other: IngressRule, section: IngressSection) -> bool:
    """Whether a rule changes nothing because of another one."""
    if other.action in _DENIALS and rule.action in _BEATEN:
        pass
    elif rule.action is other.action and rule.action in (*_DENIALS, Action.ALLOW):
        if rule.sample not in (0, other.sample):
            return False  # it is recorded otherwise
    else:
        return False
    named = section.tunnels is Tunnels.NAMED and other.action is Action.ALLOW
    if named and not other.match.protocols and TUNNELS & set(rule.match.protocols):
        return False  # without a protocol a rule lets no tunnel in
    return _holds(other.match, rule.match)


def _example(rule: IngressRule, section: IngressSection) -> str:
    """A packet that the rule matches, in words; '' if none is known without the sets' files."""
    alone = dataclasses.replace(section, rules=(rule,))
    sets = {one.name: one.prefixes for one in section.sets}
    for region in Rules([alone], [sets]).regions():
        packet = region.packet
        if not region.sure or packet.family is None:
            continue
        assert packet.source is not None and packet.destination is not None
        options = packet_text.options(
            packet.protocol, packet.tcp_flags, packet.icmp_type, packet.vlan, packet.length
        )
        words = [
            packet_text.protocol(packet.protocol),
            packet_text.end(packet.family, packet.source, packet.source_port),
            ">",
            packet_text.end(packet.family, packet.destination, packet.destination_port),
            *options,
        ]
        return f"for example {' '.join(words)}"
    return ""


def _holds(wide: FlowMatch, narrow: FlowMatch) -> bool:
    """Whether every packet that ``narrow`` matches, read in whole or in part, ``wide`` does."""
    if wide.family is not None and wide.family != narrow.family:
        return False
    ends = (
        (wide.sources, wide.source_sets, wide.source_excepts),
        (wide.destinations, wide.destination_sets, wide.destination_excepts),
    )
    others = (
        (narrow.sources, narrow.source_sets, narrow.source_excepts),
        (narrow.destinations, narrow.destination_sets, narrow.destination_excepts),
    )
    if not all(_holds_end(*one, *other) for one, other in zip(ends, others, strict=True)):
        return False
    if not _listed(wide.protocols, narrow.protocols):
        return False
    for some, few in (
        (wide.source_ports, narrow.source_ports),
        (wide.destination_ports, narrow.destination_ports),
        (wide.lengths, narrow.lengths),
    ):
        if some and not (few and all(_within(one, some) for one in few)):
            return False
    if wide.fragment is not None and wide.fragment != narrow.fragment:
        return False
    if (wide.icmp_types, wide.icmp6_types) != ((), ()) and (
        (wide.icmp_types, wide.icmp6_types) != (narrow.icmp_types, narrow.icmp6_types)
    ):
        return False
    return (
        _listed(wide.tcp_flags, narrow.tcp_flags)
        and _listed(wide.vlans, narrow.vlans)
        and _listed(wide.interfaces, narrow.interfaces)
    )


def _listed(wide: Collection[object], narrow: Collection[object]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _within(one: Range, some: Sequence[Range]) -> bool:
    return any(each.first <= one.first and one.last <= each.last for each in some)


def _holds_end(
    wide: Sequence[Prefix],
    wide_sets: Sequence[str],
    wide_excepts: Sequence[Prefix],
    narrow: Sequence[Prefix],
    narrow_sets: Sequence[str],
    narrow_excepts: Sequence[Prefix],
) -> bool:
    # What the wide one leaves alone, the narrow one must leave alone as well.
    if not all(any(_holds_prefix(mine, each) for mine in narrow_excepts) for each in wide_excepts):
        return False
    if not wide and not wide_sets:
        return True
    if not narrow and not narrow_sets:
        return False
    return set(narrow_sets) <= set(wide_sets) and all(
        any(_holds_prefix(mine, each) for mine in wide) for each in narrow
    )


def _holds_prefix(wide: Prefix, narrow: Prefix) -> bool:
    if wide.family != narrow.family or wide.length > narrow.length:
        return False
    shift = (32 if wide.family == 4 else 128) - wide.length
    return wide.address >> shift == narrow.address >> shift
