# SPDX-License-Identifier: Apache-2.0
"""A YAML document as a tree in which every value keeps its place and its spelling.

Scalars stay text: what `0644` or `no` is meant to be is decided by whoever
knows which key it stands under. Knows nothing of policies or of the YAML library.
"""

from __future__ import annotations

import re

from guard.policy.source import Span

_ESCAPE_SIZE = {"x": 4, "u": 6, "U": 10}


class Text:
    """One file's name and text; the text has no byte order mark."""

    __slots__ = ("file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text


Marks = tuple[Text, int, int, int, int, int]
"""A value's place: the text, the index of its start, line and column, end line and column.

Lines and columns count from 0 here, as YAML's marks do.
"""


class Node:
    """A value and where it stands.

    The classes here are plain, and not data classes, because a policy has tens
    of thousands of nodes and `guard check` a budget of milliseconds.
    """

    __slots__ = ("column", "end_column", "end_line", "line", "source", "start")

    def __init__(self, marks: Marks) -> None:
        self.source, self.start, self.line, self.column, self.end_line, self.end_column = marks

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


class Scalar(Node):
    """A single value. ``style`` is '' when plain, else its quote, '|' or '>'."""

    __slots__ = ("style", "text")

    def __init__(self, marks: Marks, text: str, style: str) -> None:
        super().__init__(marks)
        self.text = text
        self.style = style

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


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, marks: Marks, items: list[Node]) -> None:
        super().__init__(marks)
        self.items = items


class Mapping(Node):
    """Keys, each once, in the order written.

    ``incomplete`` says that an entry was refused when the YAML was read, so
    that a key may be missing for a reason that was already told.
    """

    __slots__ = ("entries", "incomplete")

    def __init__(self, marks: Marks, entries: list[tuple[Scalar, Node]], incomplete: bool) -> None:
        super().__init__(marks)
        self.entries = entries
        self.incomplete = incomplete


class Broken(Node):
    """A value that was refused when the YAML was read: nothing more to say about it."""

    __slots__ = ()


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = frozenset(
    word
    for lower in ("y", "n", "yes", "no", "true", "false", "on", "off")
    for word in (lower, lower.capitalize(), lower.upper())
)
# Patterns stay text until one is needed: most policies never need one, and
# compiling them costs more than reading a small policy.
_KINDS = (
    ("octal", r"[-+]?0[0-9_]+|0o[0-7]+"),
    ("base60", r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
    (
        "number",
        (
            r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"
            r"|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
        ),
    ),
    ("date", r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"),
)


def reading(text: str) -> str:
    """What YAML, by some version of it, may make of this plain text.

    One of 'null', 'boolean', 'octal', 'base60', 'number', 'date', 'text'.
    """
    if text in _NULLS:
        return "null"
    if text in _BOOLEANS:
        return "boolean"
    if text[0] in "+-.0123456789":
        for kind, pattern in _KINDS:
            if re.fullmatch(pattern, text):
                return kind
    return "text"
