# SPDX-License-Identifier: Apache-2.0
"""A YAML document as a tree in which every value keeps its place and its spelling.

Scalars stay text: what `0644` or `no` is meant to be is decided by whoever
knows which key it stands under. Knows nothing of policies or of the YAML library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guard.policy.source import Span

_ESCAPE_SIZE = {"x": 4, "u": 6, "U": 10}


@dataclass(slots=True, eq=False)
class Text:
    """One file's name and text; the text has no byte order mark."""

    file: str
    text: str


@dataclass(slots=True, eq=False)
class Node:
    """Where a value stands. Lines and columns count from 0 here, as YAML marks do."""

    source: Text
    start: int
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def span(self) -> Span:
        """The whole value's place."""
        return Span(
            self.source.file,
            self.line + 1,
            self.column + 1,
            self.end_line + 1,
            self.end_column + 1,
        )


@dataclass(slots=True, eq=False)
class Scalar(Node):
    """A single value. ``style`` is '' when plain, else its quote, '|' or '>'."""

    text: str
    style: str

    @property
    def plain(self) -> bool:
        """Written without quotes, so that YAML may read it as more than text."""
        return self.style == ""

    def part(self, start: int, end: int) -> Span:
        """The place of some characters of ``text``, or of the whole where that is not known."""
        if self.line != self.end_line:
            return self.span
        raw = self.source.text
        at = self.start
        if self.style == "":
            offsets = (start, end)
        elif self.style == "'":
            body = self.text[:end]
            before = self.text[:start]
            offsets = (1 + start + before.count("'"), 1 + end + body.count("'"))
        elif self.style == '"':
            places = _double_quoted(raw, at, len(self.text))
            offsets = (places[start] - at, places[end] - at)
        else:
            return self.span
        return Span(
            self.source.file,
            self.line + 1,
            self.column + 1 + offsets[0],
            self.end_line + 1,
            self.column + 1 + offsets[1],
        )


def _double_quoted(raw: str, start: int, size: int) -> list[int]:
    """Where in ``raw`` each of a double-quoted scalar's ``size`` characters begins, and its end."""
    places = []
    at = start + 1
    for _ in range(size):
        places.append(at)
        at += _ESCAPE_SIZE.get(raw[at + 1], 2) if raw[at] == "\\" else 1
    places.append(at)
    return places


@dataclass(slots=True, eq=False)
class Sequence(Node):
    """A list."""

    items: list[Node]


@dataclass(slots=True, eq=False)
class Mapping(Node):
    """Keys, each once, in the order written.

    ``incomplete`` says that an entry was refused when the YAML was read, so
    that a key may be missing for a reason that was already told.
    """

    entries: list[tuple[Scalar, Node]]
    incomplete: bool


@dataclass(slots=True, eq=False)
class Broken(Node):
    """A value that was refused when the YAML was read: nothing more to say about it."""


_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOLEAN = re.compile(
    r"(?:y|Y|n|N|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)\Z"
)
_OCTAL = re.compile(r"[-+]?0[0-9_]+\Z|0o[0-7]+\Z")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_NUMBER = re.compile(
    r"""[-+]?(?:
        0b[01_]+ | 0x[0-9a-fA-F_]+ | [0-9][0-9_]*
      | (?:[0-9][0-9_]*)?\.[0-9_]*(?:[eE][-+]?[0-9]+)? (?<![-+.])
      | [0-9][0-9_]*\.
      | [0-9][0-9_]*[eE][-+]?[0-9]+
      | \.(?:inf|Inf|INF)
    )\Z | \.(?:nan|NaN|NAN)\Z""",
    re.VERBOSE,
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?\Z")


def reading(text: str) -> str:
    """What YAML, by some version of it, may make of this plain text.

    One of 'null', 'boolean', 'octal', 'base60', 'number', 'date', 'text'.
    """
    if text and (text[0] == "/" or (text[0].isalpha() and len(text) > 5)):
        return "text"
    for kind, pattern in (
        ("null", _NULL),
        ("boolean", _BOOLEAN),
        ("octal", _OCTAL),
        ("base60", _BASE_60),
        ("number", _NUMBER),
        ("date", _DATE),
    ):
        if pattern.match(text):
            return kind
    return "text"
