# SPDX-License-Identifier: Apache-2.0
"""What a pattern is made of: tokens, and what it says when it has no meaning.

Knows neither how a pattern is written nor how it is matched.
"""

from __future__ import annotations

import enum

SLASH = 47


class Wild(enum.Enum):
    """Tokens that stand for runs of bytes."""

    STAR = "*"
    """Zero or more bytes other than '/'."""

    GLOBSTAR = "**"
    """Zero or more bytes of any kind."""

    DIRS = "**/"
    """Right after a literal '/': zero or more whole components, each with its '/'."""


Token = int | frozenset[int] | Wild
"""A literal byte, a class of bytes (never '/' or NUL), or a run of bytes."""

ANY_BYTE: frozenset[int] = frozenset(range(1, 256)) - {SLASH}
"""What '?' matches: every byte that can be part of a file's name."""


class PatternError(ValueError):
    """A pattern that has no meaning.

    ``start`` and ``end`` are character offsets into the pattern's text, the
    end exclusive; ``help`` says what to write, where there is something to say.
    """

    def __init__(self, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.help = help


class RelativePattern(PatternError):
    """A pattern that does not start with '/'."""


class ImpossiblePattern(PatternError):
    """A pattern whose components no canonical path has."""


class TooManyAlternatives(PatternError):
    """Braces that multiply to more than limits.ALTERNATIVES_PER_PATTERN."""
