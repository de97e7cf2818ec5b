# SPDX-License-Identifier: Apache-2.0
"""Which rules can meet on a path, as far as the beginnings of their patterns show it.

A quick sieve before anything exact: rules that it keeps apart have no path in
common; those that it leaves together may have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guard.policy.model import PathRule, Policy
from guard.policy.patterns import expand

_TOLD = -1
"""Stands for rules that are known to meet another one."""

_LITERAL = re.compile(r"[^*?\[{\\]*")
_BRACES_OR_ESCAPE = re.compile(r"[{\\]")


def meeting(policy: Policy) -> list[PathRule]:
    """The rules that may match a path which another one matches, in their order."""
    if policy.file is None:
        return []
    rules = policy.file.rules
    starts: list[tuple[bytes, bool, int]] = []
    for number, rule in enumerate(rules):
        for pattern in rule.paths:
            # At one and the same start those that go on come first.
            starts += [(start, exact, number) for start, exact in _starts(pattern.text)]
    starts.sort()
    together: set[int] = set()
    above: list[tuple[bytes, set[int]]] = []
    exactly: dict[bytes, int] = {}
    for start, exact, number in starts:
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


def _starts(text: str) -> Iterator[tuple[bytes, bool]]:
    """What a pattern's alternatives begin with, and whether that is all of it."""
    if _BRACES_OR_ESCAPE.search(text) is None:
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
