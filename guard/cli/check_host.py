# SPDX-License-Identifier: Apache-2.0
"""`guard check --host`: what policies name and this machine does not have, or has otherwise.

A finding here is about this machine, so a warning. How it is looked at is
guard.cli.host_machine's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence

from guard.analysis.evaluate import matches, matches_any
from guard.cli.host_machine import Machine, resolve
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, quoted
from guard.policy.ingress import IngressSection
from guard.policy.model import Effect, PathRule, Pattern, Policy
from guard.policy.patterns import SLASH, Token, Wild, expand
from guard.policy.source import Span
from guard.wire.layout import PathVerb

MOST_ENTRIES = 4096
"""Entries of directories looked at for one pattern; one that needs more is let pass."""

MOST_ALTERNATIVES = 64
"""Alternatives of one pattern's braces that are looked at."""

MOST_FINDINGS = 200
"""Findings about one machine; the rest is counted."""

_UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_UNIT_KINDS = (".service", ".socket")
"""Units that have files; scopes and slices come and go."""


def find(policies: Sequence[Policy], machine: Machine) -> list[Diagnostic]:
    """What is not on this machine as the policies say it. Bounded, see the constants above."""
    found: dict[tuple[Code, Span], Diagnostic] = {}
    more = 0
    for policy in policies:
        for each in _of_policy(policy, machine):
            if (each.code, each.span) in found:
                continue
            if len(found) == MOST_FINDINGS:
                more += 1
                last = each
                continue
            found[each.code, each.span] = each
    told = list(found.values())
    if more:
        told.append(last._replace(message=f"{more} further findings about this host", help=None))
    return told


def _of_policy(policy: Policy, machine: Machine) -> Iterator[Diagnostic]:
    yield from _subject(policy, machine)
    for section in (policy.file, policy.exec):
        if section is not None:
            for rule in section.rules:
                yield from _rule(rule, section.rules, machine)
    if policy.ingress is not None:
        yield from _interfaces(policy.ingress, machine)


def _subject(policy: Policy, machine: Machine) -> Iterator[Diagnostic]:
    exe = policy.subject.exe
    for pattern in exe:
        yield from _path(pattern, lambda: exe, machine, Code.HOST_NO_SUBJECT, "program")
    for names, word, has in (
        (policy.subject.users, "user", machine.has_user),
        (policy.subject.groups, "group", machine.has_group),
    ):
        for each in names:
            if not each.text.isdecimal() and not has(each.text):
                yield Diagnostic(
                    Code.HOST_NO_SUBJECT,
                    f"this host has no {word} {quoted(each.text)}",
                    each.span,
                    help=f"guard refuses to load the policy here; make the {word} first",
                )
    if policy.subject.units:
        yield from _units(policy.subject.units, machine)


def _units(units: Sequence[Pattern], machine: Machine) -> Iterator[Diagnostic]:
    files: set[str] = set()
    for directory in _UNIT_DIRECTORIES:
        real = resolve(machine, directory).real
        files.update((machine.names(real, MOST_ENTRIES) if real is not None else None) or ())
    if not files:
        return  # no systemd, or none that can be seen
    for unit in units:
        if not unit.text.endswith(_UNIT_KINDS):
            continue
        # Of a template there is one file for all instances.
        stem, instance, _ = unit.text.partition("@")
        kind = unit.text[unit.text.rindex(".") :]
        wanted = [unit.text, f"{stem}@{kind}"] if instance else [unit.text]
        if not any(matches(f"/{one}", f"/{name}".encode()) for one in wanted for name in files):
            yield Diagnostic(
                Code.HOST_NO_SUBJECT,
                f"this host has no unit {quoted(unit.text)}",
                unit.span,
                help="the policy holds for nobody until there is one",
            )


def _interfaces(section: IngressSection, machine: Machine) -> Iterator[Diagnostic]:
    place = "/sys/class/net"
    if machine.lstat(place) is None:
        return
    wanted = dict.fromkeys(section.interfaces, section.span)
    for rule in section.rules:
        if rule.target is not None and rule.target.interface is not None:
            wanted.setdefault(rule.target.interface, rule.span)
    missing = [name for name in wanted if machine.lstat(f"{place}/{name}") is None]
    here = machine.names(place, MOST_ENTRIES) or []
    for name in missing:
        yield Diagnostic(
            Code.HOST_NO_INTERFACE,
            f"this host has no interface {quoted(name)}",
            wanted[name],
            help=f"guard refuses to start the filter here; interfaces: {', '.join(here[:8])}",
        )


def _rule(rule: PathRule, rules: Sequence[PathRule], machine: Machine) -> Iterator[Diagnostic]:
    def same() -> list[Pattern]:
        """The patterns of all rules that do at least what this one does."""
        return [
            pattern
            for other in rules
            if other.effect is rule.effect and set(other.verbs) >= set(rule.verbs)
            for pattern in other.paths
        ]

    makes = PathVerb.CREATE in rule.verbs and rule.effect is Effect.ALLOW
    for pattern in rule.paths:
        if pattern.text != "anonymous":
            yield from _path(pattern, same, machine, Code.HOST_NO_PATH, "path", makes=makes)
    if rule.effect is Effect.DENY:
        yield from _other_names(rule, machine)


def _path(
    pattern: Pattern,
    others: Callable[[], Sequence[Pattern]],
    machine: Machine,
    missing: Code,
    word: str,
    *,
    makes: bool = False,
) -> Iterator[Diagnostic]:
    """What is wrong with one pattern: a link that ``others`` do not make up for, or nothing."""
    there = False
    for tokens in expand(pattern.text)[:MOST_ALTERNATIVES]:
        fixed, rest = _fixed(tokens)
        if machine.passes(fixed):
            return
        found = resolve(machine, fixed)
        if found.unseen:
            return
        if found.real is None:
            parent = fixed.rpartition("/")[0] or "/"
            there |= makes and resolve(machine, parent).real is not None
            continue
        there |= not rest or _any(machine, found.real, rest)
        moved = found.real + ("/x" if rest else "")
        if found.link is not None and not matches_any(others(), [_bytes(moved)]):
            by = "" if found.link == fixed else f": {quoted(fixed)} leads"
            yield Diagnostic(
                Code.HOST_LINK,
                f"{quoted(found.link)} is a symbolic link here{by} to {quoted(found.real)}",
                pattern.span,
                "this name never comes",
                help="guard judges resolved names: write"
                f" {found.real}{_rest(pattern, fixed) if rest else ''}, or both",
            )
            return
    if not there:
        shown = quoted(pattern.text)
        yield Diagnostic(
            missing,
            f"this host has no {word} {shown}"
            if _plain(pattern)
            else f"nothing on this host matches {shown}",
            pattern.span,
            help="is it misspelt, or not installed here?",
        )


def _rest(pattern: Pattern, fixed: str) -> str:
    """What a pattern says after its fixed beginning, where it says it without braces."""
    return pattern.text.removeprefix(fixed) if pattern.text.startswith(fixed) else "/…"


def _plain(pattern: Pattern) -> bool:
    return all(isinstance(each, int) for tokens in expand(pattern.text) for each in tokens)


def _other_names(rule: PathRule, machine: Machine) -> Iterator[Diagnostic]:
    """The files that a rule names exactly, and that have names which it does not name."""
    named: dict[tuple[int, int], tuple[str, Pattern, os.stat_result]] = {}
    count: dict[tuple[int, int], int] = {}
    for pattern in rule.paths:
        for path in _exactly(pattern):
            status = machine.lstat(path) if resolve(machine, path).real == path else None
            if status is not None and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                file = status.st_dev, status.st_ino
                named.setdefault(file, (path, pattern, status))
                count[file] = count.get(file, 0) + 1
    for file, (path, pattern, status) in named.items():
        if count[file] < status.st_nlink:
            yield Diagnostic(
                Code.HOST_OTHER_NAMES,
                f"the file {quoted(path)} has {status.st_nlink} names on this host, and this rule"
                f" knows {count[file]}",
                pattern.span,
                help=f"find the others with: find / -xdev -samefile {path}",
            )


def _exactly(pattern: Pattern) -> Iterator[str]:
    """The paths that a pattern names without any wildcard."""
    if pattern.text != "anonymous":
        for tokens in expand(pattern.text)[:MOST_ALTERNATIVES]:
            path, rest = _fixed(tokens)
            if not rest:
                yield path


def _fixed(tokens: Sequence[Token]) -> tuple[str, tuple[Token, ...]]:
    """The whole components before the first wildcard, as a path, and the tokens after them."""
    wild = next((at for at, token in enumerate(tokens) if not isinstance(token, int)), len(tokens))
    if wild < len(tokens):
        while wild and tokens[wild - 1] != SLASH:
            wild -= 1
        wild -= wild > 0
    literal = bytes(token for token in tokens[:wild] if isinstance(token, int))
    return literal.decode("utf-8", "surrogateescape") or "/", tuple(tokens[wild:])


def _any(machine: Machine, directory: str, rest: Sequence[Token]) -> bool:
    """Whether anything below a directory matches; true also where that is too much to find out."""
    if any(token in (Wild.GLOBSTAR, Wild.DIRS) for token in rest):
        names = machine.names(directory, MOST_ENTRIES)
        return names is None or bool(names)
    left = MOST_ENTRIES
    places = [directory.rstrip("/")]
    for component in _components(rest):
        following = []
        for place in places:
            names = machine.names(place or "/", left)
            if names is None:
                status = machine.lstat(place or "/")
                if status is not None and stat.S_ISDIR(status.st_mode):
                    return True
                continue
            left -= len(names)
            following += [f"{place}/{name}" for name in names if _fits(component, _bytes(name))]
        places = following
    return bool(places)


def _components(rest: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    component: list[Token] = []
    for token in rest[1:]:
        if token == SLASH:
            yield tuple(component)
            component = []
        else:
            component.append(token)
    yield tuple(component)


def _fits(component: Sequence[Token], name: bytes) -> bool:
    """Whether a component's tokens match a name: literals, classes and '*'."""
    reached = {0}
    for token in component:
        if token is Wild.STAR:
            reached = set(range(min(reached), len(name) + 1)) if reached else reached
        else:
            wanted = {token} if isinstance(token, int) else token
            assert isinstance(wanted, set | frozenset), "runs across '/' are not asked about here"
            reached = {at + 1 for at in reached if at < len(name) and name[at] in wanted}
    return len(name) in reached


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
