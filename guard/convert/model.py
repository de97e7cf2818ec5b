# SPDX-License-Identifier: Apache-2.0
"""What a conversion gives: drafts of policies, and what did not carry over.

A draft is what guard.convert.emit writes as YAML. Knows no source format.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from guard.convert import limits
from guard.errors import GuardError
from guard.policy import limits as policy_limits
from guard.policy.diagnostic import printable
from guard.policy.source import Span

Subject = tuple[str, tuple[str, ...]]
"""A key of a policy's subject and its values; none for ``host``, whose value is true."""


class Change(enum.Enum):
    """What the policy does otherwise than the source because of one line."""

    LOOSER = "looser"
    """It may allow what the source denies."""

    STRICTER = "stricter"
    """It may deny what the source allows."""

    EITHER = "either"
    """Nobody can say without what the line refers to."""

    RECORDS = "records"
    """It decides the same and records otherwise."""


class NotConverted(GuardError):
    """A source that cannot be read at all."""


class Inexact(Exception):
    """A part of a line that guard has no exact words for; the text says why."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A line that does not carry over exactly.

    ``text`` is the line as its author wrote it. ``carried`` says that the
    policy holds something for it all the same: what is nearest on the stricter
    side, or the part that is exact.
    """

    span: Span
    text: str
    reason: str
    change: Change
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule to be written: ``words`` after allow or deny, ``keys`` after these."""

    section: str
    effect: str
    words: tuple[str, ...]
    keys: tuple[tuple[str, tuple[str, ...]], ...]
    comment: str
    audit: bool = False
    kill: bool = False
    errno: str | None = None
    why: str | None = None
    tags: tuple[str, ...] = ()
    implied: bool = False
    """No line says it: it is what the source denies by not granting it."""


@dataclass(slots=True)
class DraftPolicy:
    """A policy to be written. ``defaults`` has the sections that it gates.

    ``subject`` is a key of the subject and its patterns, or none for ``host``.
    """

    name: str
    mode: str
    subject: Subject
    inherit: bool
    comment: str
    defaults: dict[str, str] = field(default_factory=dict)
    rules: list[Draft] = field(default_factory=list)

    def add(self, rule: Draft) -> None:
        """Add a rule, but for words, paths and rules that say nothing."""
        if rule.words and not any(key == "path" and not values for key, values in rule.keys):
            self.rules.append(rule)


@dataclass(slots=True)
class Converted:
    """What became of a source."""

    policies: list[DraftPolicy] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


def shown(text: str) -> str:
    """A source's text in one line, safe to show, and not too long."""
    text = printable(re.sub(r"\s+", " ", text[: limits.SHOWN * 2]).strip())
    return text if len(text) <= limits.SHOWN else text[: limits.SHOWN - 1] + "…"


def policy_name(wanted: str, taken: Iterable[str]) -> str:
    """A name that a policy can have and no other of ``taken`` has, near to ``wanted``."""
    most = policy_limits.NAME_LENGTH - 5
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:most] or "converted"
    names = set(taken)
    name, number = base, 1
    while name in names:
        number += 1
        name = f"{base}-{number}"
    return name
