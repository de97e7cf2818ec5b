# SPDX-License-Identifier: Apache-2.0
"""The ingress part of `guard diff`: set files read, packets in words. Imported only where a
policy has the section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.analysis.ingress import Decision, Reason
from guard.analysis.ingress_packet import Fault, Packet, Part
from guard.daemon import ingress_state
from guard.plan.compare_ingress import PacketChange, Version, packet_changes
from guard.policy import packet_text
from guard.policy.model import Policy


def ingress_changes(old: Sequence[Policy], new: Sequence[Policy]) -> Iterator[PacketChange]:
    """The changes of every policy's ingress section. Raises GuardError for a set file."""
    before = {policy.name: policy for policy in old}
    after = {policy.name: policy for policy in new}
    for name in dict.fromkeys((*after, *before)):
        yield from packet_changes(name, _version(before.get(name)), _version(after.get(name)))


def _version(policy: Policy | None) -> Version:
    if policy is None or policy.ingress is None:
        return Version(None, {})
    section = policy.ingress
    if all(one.file is None for one in section.sets):
        return Version(section, {one.name: one.prefixes for one in section.sets})
    sets = ingress_state.read_sets(section, policy.source)
    return Version(section, {name: tuple(some) for name, some in sets.items()})


def as_text(change: PacketChange) -> list[str]:
    """A change for people, a line each."""
    head = f"{change.name}: {change.direction.value}: {_words(change.packet)} at {change.interface}"
    if change.situation:
        head += f", {change.situation},"
    if change.limited:
        head += " is let in up to another limit, or elsewhere"
    else:
        head += f" is {'let in' if _let_in(change.new) else 'dropped'} now"
    return [head, f"  before: {_said(change.old)}", f"  now:    {_said(change.new)}"]


def as_json(change: PacketChange) -> dict[str, object]:
    """A change for programs."""
    return {
        "policy": change.name,
        "direction": change.direction.value,
        "kind": "ingress",
        "packet": _words(change.packet),
        "interface": change.interface,
        "situation": change.situation or None,
        "limit": change.limited,
        "old": _json(change.old),
        "new": _json(change.new),
    }


def _let_in(decision: Decision | None) -> bool:
    return decision is None or decision.verdict.value in ("allow", "redirect")


def _words(packet: Packet) -> str:
    if packet.family is None:
        return f"a frame of type {packet.ethertype or 0:#06x}"
    if packet.source is None or packet.destination is None:
        return "an IP packet that is cut before its addresses"
    source = packet_text.end(packet.family, packet.source, packet.source_port)
    destination = packet_text.end(packet.family, packet.destination, packet.destination_port)
    options = packet_text.options(
        packet.protocol, packet.tcp_flags, packet.icmp_type, packet.vlan, packet.length
    )
    if packet.hops != 64:
        options.append(f"of {packet.hops} hops")
    parts = {Part.FIRST: "first fragment of", Part.LATER: "later fragment of"}
    head = [parts.get(packet.part, "packet")]
    if packet.fault is Fault.TRUNCATED:
        head.insert(0, "unreadable")
    protocol = packet_text.protocol(packet.protocol)
    return " ".join([*head, protocol, source, ">", destination, *options])


def _said(decision: Decision | None) -> str:
    if decision is None:
        return "let in: not filtered there"
    rules = ", ".join(f"the rule {rule.id} ({rule.span})" for rule in decision.rules)
    limits = "".join(
        f", {rule.limit.rate} {rule.limit.unit.value}/s per {rule.limit.per.value},"
        f" {rule.limit.burst} at once"
        for rule in decision.rules
        if rule.limit is not None
    )
    because = {Reason.DEFAULT: "default", Reason.EMPTY: "default"}.get(
        decision.reason, decision.reason.value.replace("_", "-")
    )
    return f"{decision.verdict.value} by {rules or because}{limits}"


def _json(decision: Decision | None) -> dict[str, object] | None:
    if decision is None:
        return None
    return {
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "rules": [
            {"id": rule.id, "file": rule.span.file, "line": rule.span.line}
            for rule in decision.rules
        ],
    }
