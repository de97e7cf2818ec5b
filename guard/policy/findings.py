# SPDX-License-Identifier: Apache-2.0
"""Collecting the findings of one file: bounded, and with suggestions for misspelt words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from guard.policy import limits
from guard.policy.codes import Code, Severity
from guard.policy.diagnostic import Diagnostic, Fix, Related
from guard.policy.source import Span

CERTAIN = 0.85
"""Likeness above which a misspelt key's value is judged as the meant key's would be."""


def one_slip(word: str, known: str) -> bool:
    """Whether one letter too many, too few, wrong or exchanged with the next makes the difference.

    Capitals make none, and neither does '_' for '-'. Words of one or two
    letters are too short to be sure of.
    """
    a, b = word.lower().replace("_", "-"), known.replace("_", "-")
    if min(len(a), len(b)) < 3 or abs(len(a) - len(b)) > 1:
        return a == b
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    rest_a, rest_b = a[same:], b[same:]
    if len(a) != len(b):
        return rest_a[1:] == rest_b or rest_a == rest_b[1:]
    exchanged = rest_a[1::-1] + rest_a[2:]
    return rest_a[1:] == rest_b[1:] or exchanged == rest_b


def certainly(word: str, meant: str | None, known: Iterable[str]) -> str | None:
    """``meant`` when it is one slip of the hand away, and no other known word is as near.

    It is written into the author's file when asked to, so a likeness will not do.
    """
    if meant is None or not one_slip(word, meant):
        return None
    return None if any(one_slip(word, each) for each in known if each != meant) else meant


def further(found: Diagnostic) -> int:
    """How many findings this one stands for: itself, or those that were left out."""
    return int(found.message.partition(" ")[0]) if found.code is Code.MORE_FINDINGS else 1


class Findings:
    """Appends to a list of diagnostics, up to limits.DIAGNOSTICS for one file.

    Past the limit findings are only counted, and ``close`` tells how many.
    """

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        self._diagnostics = diagnostics
        self._count = 0
        self.errors = 0
        self.last: Span | None = None

    @property
    def full(self) -> bool:
        """Whether a further finding would only be counted."""
        return self._count >= limits.DIAGNOSTICS

    def add(
        self,
        code: Code,
        message: str,
        span: Span,
        label: str = "",
        *,
        related: tuple[Related, ...] = (),
        help: str | None = None,
        fix: Fix | None = None,
    ) -> None:
        """Record one finding."""
        if code.severity is Severity.ERROR:
            self.errors += 1
        if not self.full:
            self._diagnostics.append(Diagnostic(code, message, span, label, related, help, fix))
        self._count += 1
        self.last = span

    def close(self) -> None:
        """Say how many findings were left out, if any were."""
        hidden = self._count - limits.DIAGNOSTICS
        if hidden > 0 and self.last is not None:
            self._diagnostics.append(
                Diagnostic(
                    Code.MORE_FINDINGS,
                    f"{hidden} further finding{'s' if hidden > 1 else ''} in this file",
                    self.last,
                    "the last one is here",
                )
            )

    def certain(self, word: str, known: str) -> bool:
        """Whether ``word`` is so near to ``known`` that nothing else can be meant."""
        from difflib import SequenceMatcher  # noqa: PLC0415 - clean policies need none

        return one_slip(word, known) or SequenceMatcher(a=word.lower(), b=known).ratio() >= CERTAIN

    def edit(self, span: Span, word: str, meant: str | None, known: Iterable[str]) -> Fix | None:
        """The edit from a misspelt word to the meant one, where nothing else can be meant."""
        sure = certainly(word, meant, known)
        return None if sure is None else Fix(span, sure)

    def suggest(self, word: str, known: Iterable[str]) -> str | None:
        """The known word that ``word`` was probably meant to be."""
        if self.full or not 2 <= len(word) <= limits.NAME_LENGTH:
            return None
        lower = word.lower().replace("_", "-")
        few = list(islice(known, limits.CHOICES + 1))
        if len(few) > limits.CHOICES:
            return None
        choices = {each.replace("_", "-"): each for each in sorted(few)}
        for choice, meant in choices.items():
            if choice.startswith(lower) or lower in (choice + "s", choice + "es"):
                return meant
        from difflib import get_close_matches  # noqa: PLC0415 - clean policies need none

        close = get_close_matches(lower, choices, n=1, cutoff=0.6)
        return choices[close[0]] if close else None
