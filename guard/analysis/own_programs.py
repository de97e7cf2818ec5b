# SPDX-License-Identifier: Apache-2.0
"""Policies that stop the very programs they are for: the binary, its loader, its libraries.

What running a dynamically linked program asks (lsm/exec.bpf.c, lsm/file.bpf.c): the exec
section for `exec` of the program, by its own policy already, and for `map` of the ELF
interpreter and of every library; the file section for `read` of every library, which the
interpreter opens. Opens for execution are not the file section's. Which system the policy
is for is not known here: it is enough that one of the usual layouts works.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guard.analysis.evaluate import Decision, decide
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, quoted
from guard.policy.model import Effect, Mode, PathOperation, PathRule, PathSection, Pattern, Policy
from guard.policy.patterns import Token, Wild, expand
from guard.wire.layout import PathVerb


class Layout(NamedTuple):
    """Where a system has its loader and its C library, by resolved names."""

    loader: str
    library: str


# As the kernel resolves them: Debian and Ubuntu, Fedora and RHEL, Arch, SUSE; musl's Alpine,
# where one file is both. The names are of the psABIs: sysdeps/*/ldsodefs of glibc.
LAYOUTS = (
    Layout("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
    Layout("/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib64/libc.so.6"),
    Layout("/usr/lib/ld-linux-x86-64.so.2", "/usr/lib/libc.so.6"),
    Layout(
        "/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "/usr/lib/aarch64-linux-gnu/libc.so.6"
    ),
    Layout("/usr/lib/ld-linux-aarch64.so.1", "/usr/lib64/libc.so.6"),
    Layout("/usr/lib64/ld-linux-aarch64.so.1", "/usr/lib64/libc.so.6"),
    Layout("/usr/lib/ld-musl-x86_64.so.1", "/usr/lib/ld-musl-x86_64.so.1"),
    Layout("/usr/lib/ld-musl-aarch64.so.1", "/usr/lib/ld-musl-aarch64.so.1"),
)

# Names that most systems have and that are links there: /lib and /lib64 lead into /usr.
LINKED = (
    Layout("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"),
    Layout("/lib64/ld-linux-x86-64.so.2", "/lib64/libc.so.6"),
    Layout("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"),
    Layout("/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/libc.so.6"),
    Layout("/lib/ld-linux-aarch64.so.1", "/lib64/libc.so.6"),
    Layout("/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1"),
    Layout("/lib/ld-musl-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"),
)


class _Demand(NamedTuple):
    verb: PathVerb
    part: str
    noun: str


_DEMANDS = (
    _Demand(PathVerb.MAP, "loader", "the dynamic loader"),
    _Demand(PathVerb.MAP, "library", "the C library"),
    _Demand(PathVerb.READ, "library", "the C library"),
)


def find(policy: Policy) -> Iterator[Diagnostic]:
    """What the policy denies that its subject's programs cannot start without.

    Only of policies that enforce: in audit mode nothing is stopped.
    """
    if policy.mode is not Mode.ENFORCE:
        return
    if policy.exec is not None:
        yield from _binaries(policy)
    told: set[PathVerb] = set()
    for demand in _DEMANDS:
        section = policy.file if demand.verb is PathVerb.READ else policy.exec
        if section is not None and demand.verb not in told:
            for found in _demanded(policy, section, demand):
                told.add(demand.verb)
                yield found


def _demanded(policy: Policy, section: PathSection, demand: _Demand) -> Iterator[Diagnostic]:
    if any(_allowed(policy, demand.verb, getattr(each, demand.part)) for each in LAYOUTS):
        return
    witness = getattr(LAYOUTS[0], demand.part)
    linked = next(
        (
            name
            for each in LINKED
            if _allowed(policy, demand.verb, name := getattr(each, demand.part))
        ),
        None,
    )
    verb = demand.verb.name.lower()
    if linked is None:
        help = f'allow {verb} of the libraries: path: ["/usr/lib{{,32,64}}/**", "/lib{{,64}}/**"]'
    else:
        help = (
            f"{linked} is allowed, and on most systems its directory is a link into /usr: guard"
            " judges resolved names, so name /usr/lib too"
        )
    yield _finding(
        policy,
        section,
        PathOperation(demand.verb, witness),
        f"no program with libraries starts under this policy: it may not {verb} {demand.noun}",
        help,
    )


def _binaries(policy: Policy) -> Iterator[Diagnostic]:
    assert policy.exec is not None, "asked only of policies with an exec section"
    for pattern in policy.subject.exe:
        stopped = _stopped(policy, policy.exec, pattern)
        if stopped is not None:
            yield _finding(
                policy,
                policy.exec,
                PathOperation(PathVerb.EXEC, stopped),
                f"the program {quoted(pattern.text)} cannot be started: its start is judged by its"
                " own policy, which denies it",
                f"allow it in the exec section: {{allow: exec, path: {_yaml(pattern.text)}}}",
            )


def _finding(
    policy: Policy, section: PathSection, operation: PathOperation, message: str, help: str
) -> Diagnostic:
    rules = _decide(policy, operation.verb, operation.path).deciding
    if rules:
        help = f"deny beats allow: put {operation.path} into the except of this rule"
    return Diagnostic(
        Code.STOPS_ITSELF,
        message,
        rules[0].span if rules else section.span,
        f"denies {operation.verb.name.lower()} {quoted(operation.path, 72)}",
        (Related(policy.subject.span, "for the programs of this subject"),),
        help,
    )


def _yaml(text: str) -> str:
    return f'"{text}"' if set(text) & set("{}[],") else text


def _allowed(policy: Policy, verb: PathVerb, path: str) -> bool:
    return _decide(policy, verb, path).allowed


def _decide(policy: Policy, verb: PathVerb, path: str) -> Decision:
    """The reference evaluator's decision, by those patterns alone that begin as the path does.

    Ten thousand patterns that have nothing to do with the path are not compiled for it.
    """
    operation = PathOperation(verb, path)
    section = policy.file if verb is PathVerb.READ else policy.exec
    assert section is not None, "asked only of sections that there are"
    near = tuple(
        dataclasses.replace(rule, paths=kept)
        for rule in section.rules
        if verb in rule.verbs and (kept := _near(rule, path))
    )
    section = dataclasses.replace(section, rules=near)
    if verb is PathVerb.READ:
        return decide(dataclasses.replace(policy, file=section), operation)
    return decide(dataclasses.replace(policy, exec=section), operation)


_LITERAL = re.compile(r"[^*?\[{\\]*")


def _start(glob: str) -> str:
    """What all that a glob matches begins with, as far as no wildcard or escape is passed."""
    match = _LITERAL.match(glob)
    return match.group() if match else ""


def _near(rule: PathRule, path: str) -> tuple[Pattern, ...]:
    kept = []
    for pattern in rule.paths:
        start = _start(pattern.text)
        if path == start or (path.startswith(start) and len(start) < len(pattern.text)):
            kept.append(pattern)
    return tuple(kept)


def _stopped(policy: Policy, section: PathSection, pattern: Pattern) -> str | None:
    """A path of a subject's pattern that may not be executed, if none of its paths surely may.

    A pattern that stands for many is stopped only where the default denies and no allow
    rule begins in a way that could meet it; the rules decide about the rest.
    """
    alternatives = expand(pattern.text)
    if all(isinstance(token, int) for tokens in alternatives for token in tokens):
        names = [_filled(tokens) for tokens in alternatives[:_ALTERNATIVES]]
        return None if any(_allowed(policy, PathVerb.EXEC, name) for name in names) else names[0]
    if section.default is Effect.ALLOW:
        return None
    start = _start(pattern.text)
    for rule in section.rules:
        if rule.effect is Effect.ALLOW and PathVerb.EXEC in rule.verbs:
            for allowed in (_start(each.text) for each in rule.paths):
                if start.startswith(allowed) or allowed.startswith(start):
                    return None
    return _filled(alternatives[0])


_ALTERNATIVES = 16
"""Alternatives of one subject's braces that are looked at."""


def _filled(tokens: Sequence[Token]) -> str:
    """One path of an alternative: an 'x' for each of its runs."""
    path = bytearray()
    for token in tokens:
        if isinstance(token, int):
            path.append(token)
        elif isinstance(token, Wild):
            path += b"" if token is Wild.DIRS else b"x"
        else:
            path.append(min(token, key=lambda byte: (not chr(byte).isalnum(), byte)))
    return path.decode("utf-8", "surrogateescape")
