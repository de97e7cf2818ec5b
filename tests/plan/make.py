# SPDX-License-Identifier: Apache-2.0
"""Policies for tests, made from a few words."""

from __future__ import annotations

from collections.abc import Sequence

from guard.policy.model import Effect, Mode, PathRule, PathSection, Pattern, Policy, Subject
from guard.policy.source import Span
from guard.wire.layout import PathVerb

READ, WRITE, LIST = PathVerb.READ, PathVerb.WRITE, PathVerb.LIST
ALLOW, DENY = Effect.ALLOW, Effect.DENY


def span(line: int = 1, column: int = 1, file: str = "test.yaml") -> Span:
    return Span(file, line, column, line, column + 1)


def patterns(texts: Sequence[str], line: int = 1) -> tuple[Pattern, ...]:
    return tuple(Pattern(text, span(line, 7 + at)) for at, text in enumerate(texts))


def rule(
    effect: Effect,
    verbs: Sequence[PathVerb],
    paths: str | Sequence[str],
    excepts: str | Sequence[str] = (),
    *,
    audit: bool = False,
    id: str = "",
    line: int = 1,
) -> PathRule:
    paths = (paths,) if isinstance(paths, str) else paths
    excepts = (excepts,) if isinstance(excepts, str) else excepts
    return PathRule(
        id=id or f"file.{line}",
        effect=effect,
        span=span(line),
        audit=audit,
        verbs=tuple(verbs),
        paths=patterns(paths, line),
        excepts=patterns(excepts, line),
    )


def policy(
    *rules: PathRule,
    name: str = "p",
    default: Effect | None = DENY,
    mode: Mode = Mode.ENFORCE,
    exe: Sequence[str] = ("/usr/bin/x",),
    host: bool = False,
    inherit: bool = False,
) -> Policy:
    """One policy; ``default=None`` leaves the file section out."""
    section = None if default is None else PathSection(default, tuple(rules), span())
    subject = Subject(() if host else patterns(exe), host, inherit, span())
    return Policy(name, mode, subject, section, "test.yaml", span())
