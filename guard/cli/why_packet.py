# SPDX-License-Identifier: Apache-2.0
"""`guard why POLICY "packet ..."`: what an ingress section does with a packet, and why."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from guard.analysis.ingress import Decision, World, decide
from guard.analysis.ingress_packet import Packet
from guard.cli.exits import Exit
from guard.daemon import ingress_state
from guard.plan.set_file import Prefixes
from guard.policy import packet_words
from guard.policy.ingress import IngressRule, IngressSection
from guard.policy.model import Policy
from guard.policy.packet_words import Words

WORD = "packet "

_ETHERTYPES = {4: 0x0800, 6: 0x86DD}


def why_packet(policies: Sequence[Policy], text: str, arguments: argparse.Namespace) -> int:
    """Answer; the result is the exit code. Raises GuardError."""
    words = packet_words.read(text.removeprefix(WORD))
    having = [policy for policy in policies if policy.ingress is not None]
    if not having:
        print("guard why: no policy given has an ingress section", file=sys.stderr)
        return Exit.FINDINGS
    answers = [(policy, *_decided(policy, words)) for policy in having]
    if arguments.json:
        found = [_json(policy, new, answer) for policy, new, answer in answers]
        print(json.dumps({"format": 1, "packet": text.removeprefix(WORD), "policies": found}))
        return Exit.CLEAN
    for policy, new, answer in answers:
        print("\n".join(_lines(policy, text, new, answer)))
    return Exit.CLEAN


def packet(words: Words) -> Packet:
    """The packet that the reference evaluator judges."""
    return Packet(
        ethertype=_ETHERTYPES[words.family],
        vlan=words.vlan,
        family=words.family,
        source=words.source,
        destination=words.destination,
        protocol=words.protocol,
        length=words.length,
        hops=64,
        transport=True,
        source_port=words.source_port,
        destination_port=words.destination_port,
        tcp_flags=words.flags,
        icmp_type=words.type,
    )


def _decided(policy: Policy, words: Words) -> tuple[Decision, Decision]:
    """The decision on it as a new packet, and as an answer to something that was sent."""
    section = policy.ingress
    assert section is not None
    sets = {name: list(some) for name, some in _sets(section, policy).items()}
    interface = section.interfaces[0]
    new = decide(section, packet(words), World(sets, interface))
    answer = decide(section, packet(words), World(sets, interface, answers=lambda *_: True))
    return new, answer


def _sets(section: IngressSection, policy: Policy) -> dict[str, Prefixes]:
    return ingress_state.read_sets(section, policy.source)


def _lines(policy: Policy, text: str, new: Decision, answer: Decision) -> Iterator[str]:
    section = policy.ingress
    assert section is not None
    audits = "" if policy.mode.value == "enforce" else " (recorded only: mode audit)"
    yield f"{text}: {new.verdict.value}{audits}"
    yield f"{policy.name} ({policy.mode.value})"
    for rule in new.rules:
        yield f"  decided by  {_rule(rule)}"
        if rule.why is not None:
            yield f"              why: {rule.why}"
    if not new.rules:
        default = f"default: {section.default.value} ({section.span})"
        because = {"default": f"{default}, for no rule decides"}.get(
            new.reason.value, f"{new.reason.value.replace('_', '-')} ({section.span})"
        )
        yield f"  decided by  {because}"
    for rule in new.rules:
        if rule.limit is not None:
            limit = rule.limit
            yield (
                f"  within      {limit.rate} {limit.unit.value}/s per {limit.per.value},"
                f" {limit.burst} at once; what exceeds that is dropped"
            )
    for rule in new.observers:
        yield f"  recorded    by {_rule(rule)}"
    if answer.verdict is not new.verdict:
        yield f"  as return traffic of something this host sent: {answer.verdict.value}"


def _rule(rule: IngressRule) -> str:
    return f"{rule.action.value} rule {rule.id} ({rule.span})"


def _json(policy: Policy, new: Decision, answer: Decision) -> dict[str, object]:
    return {
        "name": policy.name,
        "mode": policy.mode.value,
        "verdict": new.verdict.value,
        "reason": new.reason.value,
        "rules": [
            {"id": rule.id, "file": rule.span.file, "line": rule.span.line, "why": rule.why}
            for rule in new.rules
        ],
        "observers": [rule.id for rule in new.observers],
        "as_return_traffic": answer.verdict.value,
    }
