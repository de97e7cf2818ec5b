# SPDX-License-Identifier: Apache-2.0
"""Ingress sections that do something else than they seem to: locked doors, idle and crossed sets.

From the text alone: set files, interfaces and who is logged in are not known here.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.ingress import Action, AddressSet, Default, FlowMatch, IngressRule, IngressSection
from guard.policy.model import Policy
from guard.policy.prefixes import overlap, shown

_TCP = 6
_WEB = frozenset({80, 443})
_ADMITTING = frozenset({Action.ALLOW, Action.LIMIT})
_WORDS = {Action.DENY: "denies", Action.REJECT: "rejects"}
_DENYING = frozenset(_WORDS)

# Prefixes of a set that are compared one by one with another's.
_LOOKED_AT = 2000


def find(policy: Policy) -> Iterator[Diagnostic]:
    """All of them in one policy."""
    section = policy.ingress
    if section is None:
        return
    yield from _locked_out(section)
    yield from _unused(section)
    yield from _crossed(section)
    if len(section.rules) > 1:
        from guard.analysis import ingress_useless  # noqa: PLC0415 - most of the time to start

        yield from ingress_useless.find(section)


def _locked_out(section: IngressSection) -> Iterator[Diagnostic]:
    for rule in section.rules:
        if rule.action in _DENYING and rule.match == FlowMatch():
            yield Diagnostic(
                Code.LOCKED_OUT,
                f"rule {quoted(rule.id)} {_WORDS[rule.action]} every packet: no other counts",
                rule.span,
                help="give it from, port or another field; default: drop is what drops the rest",
            )
            return
    if section.default is Default.DROP and not any(map(_administers, section.rules)):
        yield Diagnostic(
            Code.LOCKED_OUT,
            "nothing lets in a new connection by which this host could be administered",
            section.span,
            help="if that is SSH, add - {allow: tcp, port: 22, from: [your networks]};"
            " try it first with `guard run --confirm 30s`",
        )


def _administers(rule: IngressRule) -> bool:
    """Whether a rule lets in a new TCP connection to something else than the web's ports."""
    match = rule.match
    if rule.action not in _ADMITTING or (match.protocols and _TCP not in match.protocols):
        return False
    if match.icmp_types or match.icmp6_types or match.fragment:
        return False
    return not match.destination_ports or any(
        not set(range(ports.first, ports.last + 1)) <= _WEB for ports in match.destination_ports
    )


def _unused(section: IngressSection) -> Iterator[Diagnostic]:
    used = {
        name
        for rule in section.rules
        for name in (*rule.match.source_sets, *rule.match.destination_sets)
    }
    for one in section.sets:
        if one.name not in used:
            yield Diagnostic(
                Code.UNUSED,
                f"no rule uses the set {quoted(one.name)}",
                one.span,
                help=f'a rule names it by from: "@{one.name}"',
            )


def _crossed(section: IngressSection) -> Iterator[Diagnostic]:
    """Addresses that one set admits and another denies: the denial wins."""
    sides: dict[bool, dict[str, IngressRule]] = {True: {}, False: {}}
    for rule in section.rules:
        for name in rule.match.source_sets:
            if rule.action in _ADMITTING:
                sides[True].setdefault(name, rule)
            elif rule.action in _DENYING:
                sides[False].setdefault(name, rule)
    sets = {one.name: one for one in section.sets}
    for name, rule in sides[True].items():
        for other in sides[False]:
            if name == other or name not in sets or other not in sets:
                continue
            common = _common(sets[name], sets[other])
            if common is not None:
                yield Diagnostic(
                    Code.OVERLAP,
                    f"{common} is in the sets {quoted(name)} and {quoted(other)}: it is denied",
                    sets[name].span,
                    f"let in by rule {quoted(rule.id)}",
                    (Related(sets[other].span, "denied by this one"),),
                    "deny beats allow; take it out of one of the sets",
                )


def _common(one: AddressSet, other: AddressSet) -> str | None:
    for mine in one.prefixes[:_LOOKED_AT]:
        for theirs in other.prefixes[:_LOOKED_AT]:
            both = overlap(mine, theirs)
            if both is not None:
                return shown(both)
    return None
