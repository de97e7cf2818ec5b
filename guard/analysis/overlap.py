# SPDX-License-Identifier: Apache-2.0
"""Which rules can meet on a path, as far as the beginnings of their patterns show it.

A quick sieve before anything exact: rules that it keeps apart have no path in
common; those that it leaves together may have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guard.policy.model import Effect, Mode, NetRule, PathRule, PathSection, Policy, Rule
from guard.policy.patterns import expand

_TOLD = -1
"""Stands for rules that are known to meet another one."""

_LITERAL = re.compile(r"[^*?\[{\\]*")
_BRACES_OR_ESCAPE = re.compile(r"[{\\]")


def meeting(policy: Policy) -> list[Rule]:
    """The rules that may match an object which another one of their section matches."""
    found: list[Rule] = []
    for section in (policy.file, policy.exec):
        if isinstance(section, PathSection):
            found += meeting_paths(section.rules)
    if policy.net is not None and len(policy.net.rules) > 1:
        found += meeting_sockets(policy.net.rules)
    return found


def meeting_sockets(rules: Sequence[NetRule]) -> list[NetRule]:
    """Those of some net rules that may match an operation which another one matches."""
    from guard.analysis import overlap_net  # noqa: PLC0415 - many policies have no such section

    return overlap_net.meeting(rules)


def meeting_paths(rules: Sequence[PathRule]) -> list[PathRule]:
    """The rules that may match a path which another one matches, in their order."""
    begins: list[tuple[bytes, bool, int]] = []
    for number, rule in enumerate(rules):
        for pattern in rule.paths:
            # At one and the same start those that go on come first.
            begins += [(start, exact, number) for start, exact in starts(pattern.text)]
    begins.sort()
    together: set[int] = set()
    above: list[tuple[bytes, set[int]]] = []
    exactly: dict[bytes, int] = {}
    for start, exact, number in begins:
        while above and not start.startswith(above[-1][0]):
            above.pop()
        known = {exactly.setdefault(start, number)} if exact else set()
        meets = any(owners != {number} for _, owners in above) or not known <= {number}
        if meets:
            together |= known | {number}
            for _, owners in above:
                # What is told once is not told again, or many rules would cost their square.
                together |= owners
                owners.clear()
                owners.add(_TOLD)
        if exact:
            continue
        if above and above[-1][0] == start:
            above[-1][1].add(number)
        else:
            above.append((start, {number}))
    return [rule for number, rule in enumerate(rules) if number in together]


def starts(text: str) -> Iterator[tuple[bytes, bool]]:
    """What a pattern's alternatives begin with, and whether that is all of it."""
    if text == "anonymous" or _BRACES_OR_ESCAPE.search(text) is None:
        match = _LITERAL.match(text)
        start = match.group() if match else ""
        yield start.encode(), start == text
        return
    for tokens in expand(text):
        literal = bytearray()
        for token in tokens:
            if not isinstance(token, int):
                break
            literal.append(token)
        yield bytes(literal), len(literal) == len(tokens)


def may_clash(policy: Policy, other: Policy) -> bool:
    """Whether two policies may be for the same tasks, and the other may deny what the one allows.

    A quick sieve: what it lets through may still be fine.
    """
    kinds = [
        (one.subject.host, bool(one.subject.exe), bool(one.subject.users), bool(one.subject.groups))
        for one in (policy, other)
    ]
    if kinds[0] != kinds[1] and not policy.subject.host and not other.subject.host:
        return False
    pairs = (
        (policy.file, other.file),
        (policy.exec, other.exec),
        (policy.net, other.net),
        (policy.kernel, other.kernel),
    )
    return any(
        mine is not None
        and theirs is not None
        and any(rule.effect is Effect.ALLOW for rule in mine.rules)
        and (
            theirs.default is Effect.DENY
            or any(rule.effect is Effect.DENY for rule in theirs.rules)
        )
        for mine, theirs in pairs
    )


def any_clash(policies: Sequence[Policy]) -> bool:
    """Whether some two enforcing policies of a set may clash."""
    enforcing = [one for one in policies if one.mode is Mode.ENFORCE]
    return any(
        may_clash(one, other) for one in enforcing for other in enforcing if one is not other
    )
