# SPDX-License-Identifier: Apache-2.0
"""Which net rules can meet on an operation: a quick sieve before anything exact.

Rules that it keeps apart have no operation in common; those that it leaves
together may have one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from guard.policy.model import Effect, NetRule
from guard.wire.layout import NetVerb

_PAIRS = 200
"""Rules that are compared one by one with each other; of more than that, addresses alone
tell, which costs no square."""

_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))
_WILDCARDS = ("4" + "0" * 32, "6" + "0" * 128)


def meeting(rules: Sequence[NetRule]) -> list[NetRule]:
    """The rules that may match what another one matches, in their order."""
    near = _by_address(rules)
    if len(near) > _PAIRS:
        return [rules[number] for number in near]
    together: set[int] = set()
    for place, number in enumerate(near):
        for other in near[:place]:
            if _may_meet(rules[number], rules[other]):
                together |= {number, other}
    return [rules[number] for number in near if number in together]


def _by_address(rules: Sequence[NetRule]) -> list[int]:
    """The rules one of whose prefixes holds, or is in, one of another's."""
    starts = sorted((bits, number) for number, rule in enumerate(rules) for bits in _prefixes(rule))
    together: set[int] = set()
    above: list[tuple[str, int]] = []
    for bits, number in starts:
        while above and not bits.startswith(above[-1][0]):
            above.pop()
        # The one right above is told; those above it met it before.
        if above and above[-1][1] != number:
            together |= {number, above[-1][1]}
        elif above and any(other != number for _, other in above):
            together |= {number, *(other for _, other in above)}
        above.append((bits, number))
    return sorted(together)


def _prefixes(rule: NetRule) -> list[str]:
    """A rule's prefixes as bits; all addresses where it names none."""
    if not rule.to:
        return [""]
    found = [
        ("4" if len(each.address) == 4 else "6")
        + f"{int.from_bytes(each.address, 'big'):0{8 * len(each.address)}b}"[: each.length]
        for each in rule.to
    ]
    if rule.effect is Effect.DENY and _LOCAL & set(rule.verbs):
        found += _WILDCARDS
    return found


def _may_meet(one: NetRule, other: NetRule) -> bool:
    if not set(one.verbs) & set(other.verbs):
        return False
    if _apart(one.families, other.families) or _apart(one.types, other.types):
        return False
    if _apart(_protocols(one), _protocols(other)):
        return False
    if {_kind(one), _kind(other)} == {"internet", "unix"}:
        return False
    return _ports_meet(one, other)


def _apart(some: Collection[int], others: Collection[int]) -> bool:
    return bool(some) and bool(others) and not set(some) & set(others)


def _protocols(rule: NetRule) -> list[int]:
    # A denial of TCP, 6, is one of MPTCP, 262.
    more = [262] if rule.effect is Effect.DENY and 6 in rule.protocols else []
    return [*rule.protocols, *more]


def _kind(rule: NetRule) -> str:
    if rule.to or rule.ports:
        return "internet"
    return "unix" if rule.paths or rule.names else "any"


def _ports_meet(one: NetRule, other: NetRule) -> bool:
    if not one.ports or not other.ports:
        return True
    if all(rule.effect is Effect.DENY and _LOCAL & set(rule.verbs) for rule in (one, other)):
        return True  # both may cover port 0
    for rule, against in ((one, other), (other, one)):
        if rule.effect is Effect.DENY and any(each.first == 0 for each in against.ports):
            return True
    return any(a.first <= b.last and b.first <= a.last for a in one.ports for b in other.ports)
