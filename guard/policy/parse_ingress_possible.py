# SPDX-License-Identifier: Apache-2.0
"""Rules of the ingress section that no packet can match: protocols, ports, types, families."""

from __future__ import annotations

from collections.abc import Mapping

from guard.policy.codes import Code
from guard.policy.findings import Findings
from guard.policy.ingress import FlowMatch
from guard.policy.values import Field
from guard.policy.vocabulary_ingress import ICMP, ICMP6, TCP, WITH_PORTS


def require_possible(match: FlowMatch, fields: Mapping[str, Field], findings: Findings) -> None:
    """Record a finding when no packet has all the fields that a rule gives."""
    protocols = set(match.protocols)
    for name, wanted, what in (
        ("port", WITH_PORTS, "these protocols have no ports"),
        ("sport", WITH_PORTS, "these protocols have no ports"),
        ("flags", {TCP}, "only TCP has these flags"),
        ("icmp", {ICMP}, "only icmp has these types"),
        ("icmp6", {ICMP6}, "only icmp6 has these types"),
    ):
        if name in fields and protocols and not protocols & wanted:
            if name.startswith("icmp") and "icmp" in fields and "icmp6" in fields:
                continue  # either will do
            _impossible(findings, fields[name], what)
            return
    typed = [name for name in ("icmp", "icmp6") if name in fields]
    for name in ("port", "sport", "flags"):
        if name in fields and typed:
            _impossible(findings, fields[name], f"{typed[0]} packets have none")
            return
    ends = [
        ({prefix.family for prefix in prefixes}, name)
        for prefixes, sets, name in (
            (match.sources, match.source_sets, "from"),
            (match.destinations, match.destination_sets, "to"),
        )
        if prefixes and not sets
    ]
    families = {match.family} if match.family else {4, 6}
    for have, name in ends:
        families &= have
        if not families:
            _impossible(findings, fields[name], "the rule is about the other family of addresses")
            return


def _impossible(findings: Findings, field: Field, because: str) -> None:
    findings.add(Code.NO_PACKET, f"no packet matches this rule: {because}", field.key.span)
