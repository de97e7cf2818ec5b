# SPDX-License-Identifier: Apache-2.0
"""Whether policies are surely small enough for the tables, without building any.

An upper bound of the states that patterns can come to, for the many policies that are
far below every limit. What it cannot vouch for is to be compiled: guard.plan.refused.
Must not know the compiler; tests hold its bound against what is really built.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from guard.policy.model import Effect, NetSection, Pattern, Policy
from guard.policy.patterns import SLASH, Token, Wild, expand
from guard.wire.layout import Limit, NetVerb

STATES = 60_000
"""States that fit whatever else there is: guard.plan.grouping.STATES_BASE."""

PORTS = 64
"""Ports of one rule; with more, compile."""

TEXT = 60_000
"""Bytes of patterns; with more, compile."""

RULES = 64
"""Rules of an ingress section that no limit of the filter's is near to."""

OPERATION = 45
"""Characters of one socket operation as the tables have it: guard.plan.netpatterns."""

_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))


def surely_fits(policies: Sequence[Policy]) -> bool:
    """Whether compiling these policies cannot fail for want of room."""
    if len(policies) > Limit.POLICIES:
        return False
    members = [(*policy.subject.users, *policy.subject.groups) for policy in policies]
    if len({pattern.text for one in members for pattern in one}) > Limit.IDS:
        return False
    hashes = {each.text for policy in policies for each in policy.subject.contents}
    if len(hashes) > Limit.CONTENTS:
        return False
    nets = [policy.net for policy in policies if policy.net is not None]
    groups = [
        _head("/**/", [each for policy in policies for each in policy.subject.units]),
        _head("", [each for policy in policies for each in policy.subject.cgroups]),
    ]
    return (
        operations(nets) <= STATES
        and all(states(patterns) <= STATES for patterns in groups)
        and states([pattern.text for policy in policies for pattern in policy.subject.exe])
        <= STATES
        and states(list(_paths(policies))) <= STATES
    )


def _head(before: str, patterns: Iterable[Pattern]) -> list[str]:
    return [f"{before}{pattern.text}{{,/**}}" for pattern in patterns]


def _paths(policies: Iterable[Policy]) -> Iterator[str]:
    for policy in policies:
        for section in (policy.file, policy.exec):
            for rule in section.rules if section is not None else ():
                yield from (each.text for each in (*rule.paths, *rule.excepts))
        for net in policy.net.rules if policy.net is not None else ():
            yield from (each.text for each in net.paths)


def states(texts: Sequence[str]) -> int:
    """No fewer than the states of an automaton for these patterns; past STATES it is not exact.

    Patterns without anything behind their first wildcard make a tree: a state for each of
    its letters, one for having left it there, and one in the next component. What goes on
    after a wildcard is at one of its letters, or nowhere, independent of the tree and of
    others whose beginning was seen too.
    """
    if sum(map(len, texts)) > TEXT:
        return STATES + 1
    literals: list[bytes] = []
    heads: dict[bytes, int] = {}
    trees: dict[bytes, int] = {}
    for text in dict.fromkeys(texts):
        if text == "anonymous":
            continue
        for tokens in expand(text):
            wild = next((at for at, each in enumerate(tokens) if not isinstance(each, int)), None)
            literal = bytes(each for each in tokens[:wild] if isinstance(each, int))
            literals.append(literal)
            if wild is None or len(tokens) == wild + 1:
                continue
            tail = tokens[wild:]
            if _is_component(literal, tail):
                trees[literal] = trees.get(literal, 2) + 3 * len(tail)
            else:
                heads[literal] = heads.get(literal, 1) * _positions(tail)
    for literal, positions in trees.items():
        heads[literal] = heads.get(literal, 1) * positions
    total = sum(len(literal) + 3 for literal in literals)
    literals.sort()
    before = [0, *itertools.accumulate(map(len, literals))]
    around: list[tuple[bytes, int]] = []
    for head in sorted(heads):
        while around and not head.startswith(around[-1][0]):
            around.pop()
        # What begins as the heads that this one lies below may be under way too.
        together = heads[head] * (around[-1][1] if around else 1)
        around.append((head, together))
        first = bisect.bisect_left(literals, head)
        last = bisect.bisect_left(literals, head + _AFTER_ALL, first)
        below = before[last] - before[first] + (last - first) * (1 - len(head))
        total += 3 * below * together
    return total


_AFTER_ALL = b"\xff" * 8
"""No literal goes on so: patterns are UTF-8, which has no such byte."""


def _is_component(head: bytes, tail: Sequence[Token]) -> bool:
    """Whether a tail is a whole component of any name, then letters, then one run at most.

    Behind the component all that begin alike are at one place: they make one more tree.
    """
    return (
        head.endswith(b"/")
        and tail[0] is Wild.STAR
        and tail[1] == SLASH
        and all(isinstance(each, int) for each in tail[2:-1])
    )


def _positions(tail: Sequence[Token]) -> int:
    """In how many ways a tail can be under way: one place in what follows each of its runs.

    Behind a class that follows a run, each place may be reached or not.
    """
    positions = 1
    ran = False
    at = 0
    while at < len(tail):
        end = at
        while end < len(tail) and not isinstance(tail[end], Wild):
            end += 1
        piece = tail[at:end]
        positions *= len(piece) + 2
        if ran:
            known = next(
                (n for n, each in enumerate(piece) if isinstance(each, frozenset)), len(piece)
            )
            positions <<= len(piece) - known
        ran = True
        at = end + 1
    return positions * 2 if isinstance(tail[-1], Wild) else positions


def operations(sections: Sequence[NetSection]) -> int:
    """The same for sockets: each field of an operation tells rules apart by its own entries."""
    rules = [rule for section in sections for rule in section.rules]
    if any(len(rule.names) > 1 or len(rule.ports) > PORTS for rule in rules):
        return STATES + 1
    denials = [rule for rule in rules if rule.effect is Effect.DENY]
    # guard.plan.netpatterns: addresses are of two families, a denial of TCP is of MPTCP, and
    # one at the task's own end is of port 0 and of two wildcard addresses.
    internet = 2 * any(rule.to or rule.ports or rule.excepts for rule in rules)
    widened = any(_LOCAL & set(rule.verbs) for rule in denials)
    # How many outcomes a field has: each of its values and another; the same for prefixes,
    # of which any two are apart or one within the other; ranges have two ends.
    outcomes = [
        1 + len({family for rule in rules for family in rule.families}) + internet,
        1 + len({kind for rule in rules for kind in rule.types}),
        1 + len({protocol for rule in rules for protocol in rule.protocols}) + bool(denials),
        1 + 2 * (len({(each.first, each.last) for rule in rules for each in rule.ports}) + widened),
        1
        + len(
            {
                (each.address, each.length)
                for rule in rules
                for each in itertools.chain(rule.to, rule.excepts)
            }
        )
        + 2 * widened,
    ]
    named = states([f"/x@{each.text}" for rule in rules for each in rule.names]) if rules else 0
    return OPERATION * math.prod(outcomes) + named
