# SPDX-License-Identifier: Apache-2.0
"""Patterns that take in more than their author is likely to mean."""

from __future__ import annotations

from collections.abc import Iterator

from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, quoted
from guard.policy.model import Pattern, Policy
from guard.policy.patterns import SLASH, Wild, expand


def find(policy: Policy) -> Iterator[Diagnostic]:
    """Patterns such as /etc/ssh**, which cross '/' without having stood at one."""
    patterns = list(policy.subject.exe)
    if policy.file is not None:
        for rule in policy.file.rules:
            patterns += rule.paths
            patterns += rule.excepts
    for pattern in patterns:
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


def _unbounded(pattern: Pattern) -> bool:
    """Whether the pattern ends in '**' right after something that is not '/'."""
    return pattern.text.endswith("**") and any(
        len(tokens) > 1 and tokens[-1] is Wild.GLOBSTAR and tokens[-2] != SLASH
        for tokens in expand(pattern.text)
    )
