# SPDX-License-Identifier: Apache-2.0
"""Patterns that take in more than their author is likely to mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, quoted
from guard.policy.model import Pattern, Policy
from guard.policy.patterns import SLASH, Wild, expand

_SEPARATORS = tuple(b" ,")


def find(policy: Policy) -> Iterator[Diagnostic]:
    """Patterns such as /etc/ssh**, and two patterns in one text, such as "/a, /b"."""
    patterns = list(policy.subject.exe)
    for section in (policy.file, policy.exec):
        for rule in section.rules if section is not None else ():
            patterns += (*rule.paths, *rule.excepts)
    for each in policy.net.rules if policy.net is not None else ():
        patterns += each.paths
    # A pattern of a list that several rules name is told once.
    for pattern in dict.fromkeys(patterns):
        if _unbounded(pattern):
            stem = pattern.text.rstrip("*")
            yield Diagnostic(
                Code.NO_BOUNDARY,
                f"{quoted(pattern.text)} also matches below every other name that begins so,"
                f" such as {quoted(f'{stem}-other/file')}",
                pattern.span,
                help=f"for all below a directory write {stem}/**; with the directory itself,"
                f" {stem}{{,/**}}",
            )
        if _is_two(pattern):
            yield Diagnostic(
                Code.TWO_IN_ONE,
                "these look like two patterns, and are one with a space or comma in it",
                pattern.span,
                help=r"write a list: [/a, /b]; if one path is meant, '\ ' or '\,' says so",
            )


def _unbounded(pattern: Pattern) -> bool:
    """Whether the pattern ends in '**' right after something that is not '/'."""
    return pattern.text.endswith("**") and any(
        len(tokens) > 1 and tokens[-1] is Wild.GLOBSTAR and tokens[-2] != SLASH
        for tokens in expand(pattern.text)
    )


def _is_two(pattern: Pattern) -> bool:
    """Whether an unescaped space or comma outside of braces stands before a '/'."""
    if re.search(r"(?<![\\ ,])[ ,]+/", pattern.text) is None:
        return False
    return any(
        before in _SEPARATORS and token == SLASH
        for tokens in expand(pattern.text)
        for before, token in pairwise(tokens)
    )
