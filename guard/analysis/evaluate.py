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

from guard.policy.model import (
    Effect,
    KernelOperation,
    KernelRule,
    KernelSection,
    NetOperation,
    NetRule,
    NetSection,
    Operation,
    PathOperation,
    PathRule,
    PathSection,
    Pattern,
    Policy,
    Prefix,
    Rule,
)
from guard.policy.networds import AF_UNIX, INTERNET
from guard.wire.layout import NetVerb, PathVerb


@dataclass(frozen=True, slots=True)
class Decision:
    """What one policy says to one operation.

    ``section`` is the section that judges it, None where the policy has none and
    so allows. ``rules`` are all rules that match, in the order of the file;
    ``deciding`` are those whose effect is the verdict: the deny rules if any,
    else the allow rules. ``default`` is true where no rule decided. ``audit``
    is true where a matching rule wants a record even when allowed.
    """

    policy: Policy
    section: AnySection | None
    allowed: bool
    rules: tuple[Rule, ...]
    deciding: tuple[Rule, ...]
    default: bool
    audit: bool

    @property
    def killed(self) -> bool:
        """Whether a rule ends the process."""
        return not self.allowed and any(rule.kill for rule in self.deciding)


AnySection = PathSection | NetSection | KernelSection


def decide(policy: Policy, operation: Operation, names: Sequence[bytes] | None = None) -> Decision:
    """The decision of one policy, its subject taken to apply.

    ``names`` are the canonical host paths of the operation's object where it is
    not just the operation's own path: several where bind mounts give it more,
    none for an object on a device that the host's mount table does not list. A
    pattern matches the object when it matches one of its names.
    """
    section = _section(policy, operation)
    if section is None:
        return Decision(policy, None, True, (), (), True, False)
    rules = tuple(rule for rule in section.rules if _rule_matches(rule, operation, names))
    deciding = tuple(rule for rule in rules if rule.effect is Effect.DENY)
    allowed = not deciding
    if not deciding:
        deciding = rules
    if not deciding:
        allowed = section.default is Effect.ALLOW
    audit = any(rule.audit for rule in rules)
    return Decision(policy, section, allowed, rules, deciding, not deciding, audit)


def _section(policy: Policy, operation: Operation) -> AnySection | None:
    if isinstance(operation, KernelOperation):
        return policy.kernel
    if isinstance(operation, NetOperation) or operation.verb in _UNIX_VERBS:
        return policy.net
    return policy.exec if operation.verb in (PathVerb.EXEC, PathVerb.MAP) else policy.file


_UNIX_VERBS = (PathVerb.BIND, PathVerb.CONNECT, PathVerb.SEND)


def _rule_matches(rule: Rule, operation: Operation, names: Sequence[bytes] | None) -> bool:
    if isinstance(rule, KernelRule):
        return isinstance(operation, KernelOperation) and operation.op in rule.ops
    if isinstance(rule, NetRule):
        if isinstance(operation, NetOperation):
            return operation.verb in rule.verbs and net_matches(rule, operation)
        assert isinstance(operation, PathOperation)
        if operation.verb not in [int(verb) for verb in rule.verbs]:
            return False
        return _unix_matches(rule, _names(operation, names))
    assert isinstance(rule, PathRule) and isinstance(operation, PathOperation)
    return operation.verb in rule.verbs and rule_matches(rule, _names(operation, names))


def _names(operation: PathOperation, names: Sequence[bytes] | None) -> Sequence[bytes]:
    return [operation.path.encode("utf-8", "surrogateescape")] if names is None else names


# include/uapi/linux/in.h
_TCP, _MPTCP = 6, 262
_LOCAL_VERBS = (NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT)
_EPHEMERAL = range(32768, 61000)


def _unix_matches(rule: NetRule, names: Sequence[bytes]) -> bool:
    """Whether a net rule is about the named UNIX socket with these paths."""
    if rule.families and AF_UNIX not in rule.families:
        return False
    if rule.paths:
        return matches_any(rule.paths, names)
    # Without any address a rule is about all; a socket without a host path has no name to match.
    return bool(names) and not (rule.to or rule.ports or rule.names)


def net_matches(rule: NetRule, operation: NetOperation) -> bool:
    """Whether a rule's conditions hold for an operation; the verb is not looked at."""
    deny = rule.effect is Effect.DENY
    if rule.families and operation.family not in rule.families:
        return False
    if rule.types and operation.type not in rule.types:
        return False
    protocols = set(rule.protocols)
    if deny and _TCP in protocols:
        protocols.add(_MPTCP)
    if protocols and operation.protocol not in protocols:
        return False
    internet = operation.family in INTERNET and operation.address is not None
    if internet and any(_within(each, operation.address) for each in rule.excepts):
        return False
    if not (rule.to or rule.ports or rule.names or rule.paths):
        return True
    if operation.name is not None:
        return any(name_matches(each.text, operation.name) for each in rule.names)
    if not internet or not (rule.to or rule.ports):
        return False
    # The wildcard address is every local address, and port 0 is whichever the kernel takes:
    # an allow of one does not cover them, a deny of one does.
    widened = deny and any(verb in _LOCAL_VERBS for verb in rule.verbs)
    address_fits = not rule.to or any(_within(each, operation.address) for each in rule.to)
    if not address_fits and widened:
        address_fits = operation.address in (bytes(4), bytes(16))
    port = operation.port or 0
    port_fits = not rule.ports or any(each.first <= port <= each.last for each in rule.ports)
    if not port_fits and widened and port == 0:
        port_fits = any(
            each.first <= _EPHEMERAL[-1] and each.last >= _EPHEMERAL[0] for each in rule.ports
        )
    return address_fits and port_fits


def _within(prefix: Prefix, address: bytes | None) -> bool:
    if address is None or len(address) != len(prefix.address):
        return False
    shift = 8 * len(address) - prefix.length
    wanted = int.from_bytes(prefix.address, "big") >> shift
    return int.from_bytes(address, "big") >> shift == wanted


def name_matches(glob: str, name: bytes) -> bool:
    """Whether a glob matches the whole name of an abstract UNIX socket.

    Such a name may hold NULs, which only runs match: a deny of ``*`` is of these too.
    """
    return glob_regex(glob).fullmatch(name) is not None


def rule_matches(rule: PathRule, names: Sequence[bytes]) -> bool:
    """Whether a path glob matches one of the names and no except glob does."""
    return matches_any(rule.paths, names) and not matches_any(rule.excepts, names)


def subject_applies(policy: Policy, *exe: bytes) -> bool:
    """Whether a task whose executable has these host paths is the policy's subject.

    Inheritance is not considered: it depends on the task's past.
    """
    return policy.subject.host or matches_any(policy.subject.exe, exe)


def cgroup_applies(policy: Policy, path: bytes) -> bool:
    """Whether a task in the control group at this path, as cgroup v2 has it, is the subject.

    A unit is a group on the way to the task's; a group holds all that are below it.
    """
    parts = [b"/" + part for part in path.split(b"/")[1:]]
    ways = [b"".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(
        matches("/" + unit.text, part) for unit in policy.subject.units for part in parts
    ) or (matches_any(policy.subject.cgroups, ways))


def matches_any(patterns: Sequence[Pattern], names: Sequence[bytes]) -> bool:
    """Whether one of the patterns matches one of the names."""
    return any(matches(pattern.text, name) for pattern in patterns for name in names)


def matches(glob: str, path: bytes) -> bool:
    """Whether a valid glob matches a whole canonical path."""
    if glob == "anonymous" or path == b"anonymous":
        return glob.encode() == path
    plain = _PLAIN.fullmatch(glob)
    if plain is not None:
        # Thousands of rules are lists of such paths, and an expression takes long to compile.
        start = plain[1].encode()
        return path.startswith(start + b"/") if plain[2] else path == start
    return glob_regex(glob).fullmatch(path) is not None


_PLAIN = re.compile(r"((?:/[A-Za-z0-9_.-]+)+)(/\*\*)?")
"""Globs in which nothing is special, but for '/**' at the end."""


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
        return b"[^/\0]"
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
    wanted = [b for b in range(256) if (b in members) != negated and b not in b"/\0"]
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
