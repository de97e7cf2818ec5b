# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator: what policies decide, from the model alone.

Small and obvious on purpose. It turns the text of each glob into a regular
expression and shares nothing with the compiler, guard.policy.patterns
included, so that the tables can be tested against it. It must not know
automata, tables, devices or the kernel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.policy.model import Effect, PathRule, Pattern, Policy
from guard.wire.layout import PathVerb


@dataclass(frozen=True, slots=True)
class Decision:
    """What one policy says to one verb on one object.

    ``rules`` are all rules for the verb that match, in the order of the file;
    ``deciding`` are those whose effect is the verdict: the deny rules if any,
    else the allow rules. ``default`` is true where no rule decided. ``audit``
    is true where a matching rule wants a record even when allowed.
    """

    policy: Policy
    allowed: bool
    rules: tuple[PathRule, ...]
    deciding: tuple[PathRule, ...]
    default: bool
    audit: bool


def decide(policy: Policy, verb: PathVerb, *names: bytes) -> Decision:
    """The decision of one policy, its subject taken to apply.

    ``names`` are the object's canonical host paths: one, or several where
    bind mounts give it more. A pattern matches the object when it matches one
    of its names. An object with no name (on a device that the host's mount
    table does not list) is matched by no pattern.
    """
    if policy.file is None:
        return Decision(policy, True, (), (), False, False)
    rules = tuple(
        rule for rule in policy.file.rules if verb in rule.verbs and rule_matches(rule, names)
    )
    deciding = tuple(rule for rule in rules if rule.effect is Effect.DENY)
    allowed = not deciding
    if not deciding:
        deciding = rules
    if not deciding:
        allowed = policy.file.default is Effect.ALLOW
    audit = any(rule.audit for rule in rules)
    return Decision(policy, allowed, rules, deciding, not deciding, audit)


def rule_matches(rule: PathRule, names: Sequence[bytes]) -> bool:
    """Whether a path glob matches one of the names and no except glob does."""
    return matches_any(rule.paths, names) and not matches_any(rule.excepts, names)


def subject_applies(policy: Policy, *exe: bytes) -> bool:
    """Whether a task whose executable has these host paths is the policy's subject.

    Inheritance is not considered: it depends on the task's past.
    """
    return policy.subject.host or matches_any(policy.subject.exe, exe)


def matches_any(patterns: Sequence[Pattern], names: Sequence[bytes]) -> bool:
    """Whether one of the patterns matches one of the names."""
    return any(matches(pattern.text, name) for pattern in patterns for name in names)


def matches(glob: str, path: bytes) -> bool:
    """Whether a valid glob matches a whole canonical path."""
    return glob_regex(glob).fullmatch(path) is not None


@functools.lru_cache(maxsize=4096)
def glob_regex(glob: str) -> re.Pattern[bytes]:
    """A regular expression over bytes for a valid glob.

    Braces are multiplied out first, because '/**/' has its own meaning also
    where its parts come from different branches.
    """
    alternatives = [_join(pieces) for pieces in _alternatives(_split(glob))]
    return re.compile(b"|".join(b"(?:%s)" % one for one in alternatives), re.DOTALL)


_STAR = b"[^/]*"
_GLOBSTAR = b".*"
_DIRS = b"(?:.*/)?"
_UNIT = re.compile(r"\\.|\[[!^]?(?:\\.|[^\]\\])+\]|\*\*|.", re.DOTALL)


def _split(glob: str) -> list[str]:
    """The glob's units: escapes, classes, '**' and single characters."""
    return _UNIT.findall(glob)


def _alternatives(units: list[str]) -> Iterator[list[bytes]]:
    """Multiply out the braces: each alternative as a list of regular expressions."""
    if "{" not in units:
        yield [_piece(unit) for unit in units]
        return
    start = units.index("{")
    branches: list[list[str]] = [[]]
    depth = 1
    at = start
    while depth:
        at += 1
        depth += {"{": 1, "}": -1}.get(units[at], 0)
        if depth == 1 and units[at] == ",":
            branches.append([])
        elif depth:
            branches[-1].append(units[at])
    head = [_piece(unit) for unit in units[:start]]
    for branch in branches:
        for rest in _alternatives(branch + units[at + 1 :]):
            yield head + rest


def _piece(unit: str) -> bytes:
    if unit == "**":
        return _GLOBSTAR
    if unit == "*":
        return _STAR
    if unit == "?":
        return b"[^/]"
    if unit.startswith("[") and len(unit) > 1:
        return _byte_class(unit[1:-1])
    return re.escape(unit[-1].encode())


def _byte_class(body: str) -> bytes:
    """The class between the brackets, spelled out byte by byte."""
    negated = body[0] in "!^"
    chars: list[str] = re.findall(r"\\.|.", body[negated:], re.DOTALL)
    members: set[int] = set()
    while chars:
        low = chars.pop(0)[-1]
        high = low
        if len(chars) >= 2 and chars[0] == "-":
            high = chars[1][-1]
            del chars[:2]
        members.update(range(ord(low), ord(high) + 1))
    wanted = [b for b in range(256) if (b in members) != negated and b != ord("/")]
    return b"[" + b"".join(b"\\x%02x" % byte for byte in wanted) + b"]"


def _join(pieces: list[bytes]) -> bytes:
    """One expression; '**/' after a '/' becomes zero or more whole components."""
    joined: list[bytes] = []
    at = 0
    while at < len(pieces):
        if (
            pieces[at] == _GLOBSTAR
            and pieces[at + 1 : at + 2] == [b"/"]
            and joined[-1:] in ([b"/"], [_DIRS])
        ):
            joined.append(_DIRS)
            at += 2
        else:
            joined.append(pieces[at])
            at += 1
    return b"".join(joined)
