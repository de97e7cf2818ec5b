# SPDX-License-Identifier: Apache-2.0
"""Paths that stand for themselves, as guard's patterns. Knows no source format."""

from __future__ import annotations

import re

from guard.convert.model import Inexact
from guard.policy import patterns
from guard.policy.tokens import PatternError


def escaped(path: str) -> str:
    """A text whose characters stand for themselves, as a part of a pattern."""
    return re.sub(r"([*?\[\]{},\\$ ])", r"\\\1", path)


def literal(path: str) -> str:
    """The pattern of one path. Raises Inexact for what is no path."""
    pattern = escaped(path)
    if not path.isprintable():
        raise Inexact("a character in the path that cannot be shown")
    try:
        patterns.expand(pattern)
    except PatternError as error:
        raise Inexact(f"{path!a} is no path of a file: {error}") from None
    return pattern
