# SPDX-License-Identifier: Apache-2.0
"""A finding about a policy's text. Knows places and words, not how they are shown."""

from __future__ import annotations

from typing import NamedTuple

from guard.policy.codes import Code, Severity
from guard.policy.source import Span


class Related(NamedTuple):
    """Another place that belongs to a finding, and what to say about it."""

    span: Span
    label: str


class Fix(NamedTuple):
    """An edit that is certain to mend the finding: ``span`` becomes ``replacement``."""

    span: Span
    replacement: str


class Diagnostic(NamedTuple):
    """One finding: one mistake of the author's, at the place to mend it.

    ``message`` is one sentence without a full stop, ``label`` a few words that
    stand beside the underlined text, ``help`` what to do about it.
    """

    code: Code
    message: str
    span: Span
    label: str = ""
    related: tuple[Related, ...] = ()
    help: str | None = None
    fix: Fix | None = None

    @property
    def severity(self) -> Severity:
        """How grave it is; an error refuses the policy."""
        return self.code.severity


def has_errors(diagnostics: list[Diagnostic]) -> bool:
    """Whether anything in the list refuses a policy."""
    return any(found.severity is Severity.ERROR for found in diagnostics)


def printable(text: str) -> str:
    """Text that is safe to show: what a terminal would act on becomes an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def quoted(text: str, limit: int = 48) -> str:
    """Some of the author's own text, as it stands in a message: quoted, safe and short."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return f"'{printable(text)}'"
