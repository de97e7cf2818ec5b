# SPDX-License-Identifier: Apache-2.0
"""What a policy says, after parsing: frozen values, each with its place in the text.

Nothing here knows YAML, the kernel or this host.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from guard.policy.source import Span
from guard.wire.layout import PathVerb


class Mode(enum.Enum):
    """What a policy's denial does: refuse the operation, or only record it."""

    ENFORCE = "enforce"
    AUDIT = "audit"


class Effect(enum.Enum):
    """What a rule or a section's default gives."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One glob over absolute paths, as the policy's author wrote it.

    ``text`` is the glob in the author's spelling; as bytes it is UTF-8.
    guard.policy.patterns gives it meaning.
    """

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class PathRule:
    """Verbs on files that match one of ``paths`` and none of ``excepts``.

    ``id`` is the author's, or ``file.N`` with N counted from 1 in the section.
    """

    id: str
    effect: Effect
    verbs: tuple[PathVerb, ...]
    paths: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...]
    audit: bool
    why: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class PathSection:
    """The file section. Deny beats allow; what no rule matches gets ``default``."""

    default: Effect
    rules: tuple[PathRule, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Subject:
    """Which tasks a policy applies to: those running an executable that matches
    one of ``exe`` (and, with ``inherit``, whatever they fork and execute), or
    with ``host`` every task.
    """

    exe: tuple[Pattern, ...]
    host: bool
    inherit: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Test:
    """What the policy, by itself, must decide about one operation.

    ``path`` is canonical and absolute, as text; as bytes it is UTF-8. ``rule`` is
    the id of a rule that must be among those that decide, None where any may.
    """

    verb: PathVerb
    path: str
    expect: Effect
    rule: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Policy:
    """One named document. A section that is None is not gated."""

    name: str
    mode: Mode
    subject: Subject
    file: PathSection | None
    source: str
    span: Span
    tests: tuple[Test, ...] = ()
