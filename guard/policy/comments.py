# SPDX-License-Identifier: Apache-2.0
"""The comments of a YAML text, which no parser tells of, and what each belongs to.

Knows nodes and places, not policies and not how they are written again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from guard.policy.nodes import Mapping, Node, Scalar, Sequence

BREAK = r"\r\n|\r|\n"


class Comment(NamedTuple):
    """A comment from its '#' on. ``alone`` says that nothing else is in its line."""

    line: int
    column: int
    text: str
    alone: bool
    spaced: bool
    """After an empty line."""


class Anchor:
    """An entry of a block, with the comments above, beside and after it."""

    __slots__ = ("after", "beside", "column", "head", "line", "parent", "spaced")

    def __init__(self, line: int, column: int, parent: Anchor | None, spaced: bool) -> None:
        self.line = line
        self.column = column
        self.parent = parent
        self.spaced = spaced
        self.head: list[Comment] = []
        self.beside: list[Comment] = []
        self.after: list[Comment] = []


def is_flow(node: Node) -> bool:
    """Whether a collection is written in brackets."""
    return node.source.text[node.start : node.start + 1] in ("[", "{")


def scalars(node: Node) -> Iterator[Scalar]:
    """Every key and single value in a tree, in the order of the text."""
    if isinstance(node, Scalar):
        yield node
    for child in children(node):
        yield from scalars(child)


def children(node: Node) -> Iterator[Node]:
    """A collection's keys and values, or its items."""
    if isinstance(node, Sequence):
        yield from node.items
    elif isinstance(node, Mapping):
        for key, value in node.entries:
            yield key
            yield value


def find(text: str, roots: list[Node]) -> list[Comment]:
    """All comments of a text whose documents are ``roots``."""
    taken = [
        ((each.line, each.column), (each.end_line, each.end_column), each)
        for root in roots
        for each in scalars(root)
    ]
    starts = [start for start, _, _ in taken]
    found = []
    lines = re.split(BREAK, text)
    for number, line in enumerate(lines):
        for match in re.finditer(r"(?:^|(?<=[ \t]))#", line):
            at = (number, match.start())
            before = bisect_right(starts, at) - 1
            if before >= 0 and at < taken[before][1] and not _in_header(taken[before][2], number):
                continue
            spaced = number > 0 and not lines[number - 1].strip()
            alone = not line[: match.start()].strip(" \t-")
            # After a dash it is the item's, as if it stood in a line before it.
            column = len(line) - len(line.lstrip()) if alone else match.start()
            words = line[match.start() :].rstrip()
            found.append(Comment(number, column, words, alone, spaced))
            break
    return found


def _in_header(scalar: Scalar, line: int) -> bool:
    """Whether a line is that of a block text's '|' or '>', which may have a comment."""
    return scalar.style in ("|", ">") and line == scalar.line


class Placed:
    """The comments of one document, each with the anchor that it belongs to."""

    def __init__(self, root: Node, comments: list[Comment], lines: list[str]) -> None:
        self._lines = lines
        self._commented = [each.line for each in comments]
        self._anchors: dict[int, Anchor] = {}
        self.header: list[Comment] = []
        """Above everything in the document."""
        self._anchor(root, None)
        self._order = list(self._anchors.values())
        self._starts = [each.line for each in self._order]
        for comment in comments:
            self._place(comment)
        self._split_header()

    def of(self, node: Node) -> Anchor | None:
        """The anchor of an entry, by its key, or of an item; None inside brackets."""
        return self._anchors.get(id(node))

    def open(self, node: Node) -> bool:
        """Whether a collection has entries of its own lines: a block, or brackets with comments."""
        if not is_flow(node):
            return True
        first = bisect_left(self._commented, node.line)
        return first < bisect_left(self._commented, node.end_line)

    def _anchor(self, node: Node, parent: Anchor | None) -> None:
        if not isinstance(node, Sequence | Mapping) or not self.open(node):
            return
        if isinstance(node, Mapping):
            for key, value in node.entries:
                self._anchor(value, self._add(key, key.column, parent))
        else:
            for item in node.items:
                column = item.column if is_flow(node) else node.column
                self._anchor(item, self._add(item, column, parent))

    def _add(self, node: Node, column: int, parent: Anchor | None) -> Anchor:
        spaced = node.line > 0 and not self._lines[node.line - 1].strip()
        anchor = self._anchors[id(node)] = Anchor(node.line, column, parent, spaced)
        return anchor

    def _place(self, comment: Comment) -> None:
        at = bisect_right(self._starts, comment.line)
        following = self._order[at] if at < len(self._order) else None
        if at == 0:
            self.header.append(comment)
            return
        if not comment.alone:
            anchor = self._order[at - 1]
            (anchor.head if anchor.beside else anchor.beside).append(comment)
            return
        floor = following.column if following is not None else -1
        if comment.column > floor:
            # Right of what follows: it ends the deepest block that it can be in.
            open_block: Anchor | None = self._order[at - 1]
            while open_block is not None and open_block.column > comment.column:
                open_block = open_block.parent
            open_block = open_block or self._order[0]
            if open_block.column > floor:
                open_block.after.append(comment)
                return
        assert following is not None, "a floor of -1 is below every column"
        following.head.append(comment)

    def _split_header(self) -> None:
        """Below an empty line, the last lines above the first entry are that entry's own."""
        if not self._order or self._order[0].spaced:
            return
        for at in range(len(self.header) - 1, 0, -1):
            if self.header[at].spaced:
                self._order[0].head[:0] = self.header[at:]
                del self.header[at:]
                return
