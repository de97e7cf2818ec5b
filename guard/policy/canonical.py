# SPDX-License-Identifier: Apache-2.0
"""The canonical form of a policy's text: what `guard fmt` writes.

Keys in the order of the manual, two spaces a level, quotes only where they are
needed, brackets where the author wrote them and they fit a line, at most one
empty line between entries. Comments stay with what they stand beside. Works on
nodes; what comes out is parsed again and compared before anyone gets it.
"""

from __future__ import annotations

import json
import re
from collections import Counter

from guard.policy import comments, read
from guard.policy.comments import BREAK, Comment, Placed
from guard.policy.diagnostic import Diagnostic
from guard.policy.findings import Findings
from guard.policy.include import Load, is_fragment, nothing_to_include
from guard.policy.nodes import Mapping, Node, Scalar, Sequence, reading
from guard.policy.parse import World, parse_text
from guard.policy.vocabulary import FRAGMENT, POLICY, SHAPES, Shape
from guard.policy.vocabulary_ingress import KIND_SHAPES

WIDTH = 100
"""Columns of a line that brackets may fill; longer ones become a list of lines."""

_SHAPES = SHAPES | KIND_SHAPES

# Text that means itself without quotes, in brackets too, whatever stands around it.
_WORD = r"[\w/.*?=+@%^~$()<>;|!-]"
_BARE = rf"[A-Za-z0-9/_.](?:{_WORD}*)(?: {_WORD}+)*"


class NotFormatted(ValueError):
    """The text cannot be written again with its meaning and its comments as they are."""


def canonical(data: bytes, name: str = "", include: Load = nothing_to_include) -> str:
    """The canonical form of a file's content, which parses without an error.

    ``include`` reads the fragments that the file of this name includes.
    Raises NotFormatted for layouts that would lose a comment or change a meaning.
    """
    formed = _form(data)
    if _content(formed.encode(), name, include) != _content(data, name, include):
        raise NotFormatted("a comment or a value stands where it cannot be kept")
    if _form(formed.encode()) != formed:
        raise NotFormatted("its layout does not settle")
    return formed


def _content(data: bytes, name: str, include: Load) -> tuple[str, Counter[str]]:
    """What must stay: what the policies say, without places, and every comment."""
    diagnostics: list[Diagnostic] = []
    policies = parse_text(data, name, diagnostics, World(load=include))
    said = re.sub(r"Span\([^)]*\)", "", repr((policies, [each.code for each in diagnostics])))
    text, roots = _documents(data)
    return said, Counter(each.text for each in comments.find(text, roots))


def _documents(data: bytes) -> tuple[str, list[Node]]:
    findings = Findings([])
    source = read.decode(data, "", findings)
    if source is None:
        raise NotFormatted("it cannot be read")
    roots = list(read.documents(source, findings))
    if findings.errors:
        raise NotFormatted("it cannot be read")
    return source.text, roots


def _form(data: bytes) -> str:
    text, roots = _documents(data)
    lines = re.split(BREAK, text)
    every = comments.find(text, roots)
    out: list[str] = []
    for number, root in enumerate(roots):
        first = _border(lines, roots[number - 1], root) if number else 0
        last = _border(lines, root, roots[number + 1]) if root is not roots[-1] else len(lines)
        own = [each for each in every if first <= each.line < last]
        if number:
            out.append("---")
        document = _Document(Placed(root, own, lines)).write(root)
        while document and not document[0]:
            del document[0]
        out += document
    return "\n".join(out) + "\n"


def _border(lines: list[str], before: Node, after: Node) -> int:
    """The line of the '---' between two documents."""
    for number in range(before.end_line, after.line + 1):
        if re.match(r"---(\s|$)", lines[number]):
            return number
    raise NotFormatted("two documents with no line '---' between them")


class _Document:
    """Writes one document."""

    def __init__(self, placed: Placed) -> None:
        self._placed = placed

    def write(self, root: Node) -> list[str]:
        """Its lines."""
        lines = self._comments(self._placed.header, "")
        return lines + self._block(root, FRAGMENT if is_fragment(root) else POLICY, "")

    def _comments(self, some: list[Comment], indent: str) -> list[str]:
        lines = []
        for comment in some:
            if comment.spaced:
                lines.append("")
            lines.append(indent + comment.text)
        return lines

    def _block(self, node: Node, shape: Shape | None, indent: str) -> list[str]:
        """A collection on lines of its own."""
        lines = []
        if isinstance(node, Mapping):
            for key, value in _ordered(node, shape):
                lines += self._entry(
                    key, indent, self._value(value, _below(shape, key), f"{indent}{key.text}:")
                )
        elif isinstance(node, Sequence):
            for item in node.items:
                lines += self._entry(item, indent, self._item(item, shape, indent))
        return lines

    def _entry(self, node: Node, indent: str, body: list[str]) -> list[str]:
        """An entry's lines with the comments that belong to it."""
        anchor = self._placed.of(node)
        if anchor is None:
            return body
        # What stands above the first line of an item's mapping goes above the item.
        above = 0
        while body[above].lstrip()[:1] in ("", "#"):
            above += 1
        lines = self._comments(anchor.head, indent)
        if anchor.spaced:
            lines.append("")
        for line in body[:above]:
            if line or lines[-1:] != [""]:
                lines.append(line and indent + line.lstrip())
        body = body[above:]
        for comment in anchor.beside:
            body[0] += f"  {comment.text}"
        return lines + body + self._comments(anchor.after, indent)

    def _item(self, item: Node, shape: Shape | None, indent: str) -> list[str]:
        """An item of a block list, its mapping beginning in the line of the dash."""
        if not isinstance(item, Mapping) or self._inline(item, shape, f"{indent}- ") is not None:
            return self._value(item, shape, f"{indent}-")
        lines = self._block(item, shape, indent + "  ")
        first = next(at for at, line in enumerate(lines) if line.lstrip()[:1] not in ("", "#"))
        lines[first] = f"{indent}- {lines[first].lstrip()}"
        return lines

    def _value(self, node: Node, shape: Shape | None, before: str) -> list[str]:
        """A value after its key or dash: in the same line, or below."""
        if isinstance(node, Scalar) and node.style in ("|", ">"):
            return _block_text(node, before)
        inline = self._inline(node, shape, before + " ")
        if inline is not None:
            return [f"{before} {inline}"]
        indent = " " * (len(before) - len(before.lstrip()) + 2)
        return [before, *self._block(node, shape, indent)]

    def _inline(self, node: Node, shape: Shape | None, before: str) -> str | None:
        """A value in one line, or None where it needs several."""
        if isinstance(node, Scalar):
            return _scalar(node)
        if not isinstance(node, Mapping | Sequence) or self._placed.open(node):
            return None
        written = _brackets(node, shape)
        return written if len(before) + len(written) <= WIDTH else None


def _ordered(node: Mapping, shape: Shape | None) -> list[tuple[Scalar, Node]]:
    """A mapping's entries in the order of its shape."""
    if shape is None:
        return node.entries
    places = {key.name: place for place, key in enumerate(shape.keys)}
    return sorted(node.entries, key=lambda entry: places[entry[0].text])


def _below(shape: Shape | None, key: Scalar) -> Shape | None:
    """The shape of the mappings under a key."""
    keys = shape.keys if shape is not None else ()
    return next((_SHAPES.get(each.kind) for each in keys if each.name == key.text), None)


def _brackets(node: Node, shape: Shape | None) -> str:
    if isinstance(node, Mapping):
        entries = [
            f"{key.text}: {_brackets(value, _below(shape, key))}"
            for key, value in _ordered(node, shape)
        ]
        return "{" + ", ".join(entries) + "}"
    if isinstance(node, Sequence):
        return "[" + ", ".join(_brackets(item, shape) for item in node.items) + "]"
    assert isinstance(node, Scalar)
    return _scalar(node)


def _scalar(node: Scalar) -> str:
    """A single value in one line: as it is written, less quotes that are not needed."""
    several = node.line != node.end_line
    if (several or not node.plain) and _is_bare(node.text):
        return node.text
    if several:
        return json.dumps(node.text, ensure_ascii=False)
    return node.source.text[node.start : node.start + node.end_column - node.column]


def _is_bare(text: str) -> bool:
    return re.fullmatch(_BARE, text, re.ASCII) is not None and reading(text) == "text"


def _block_text(node: Scalar, before: str) -> list[str]:
    """A text of several lines after '|'; one of a single line in quotes."""
    body = node.text.rstrip("\n")
    ends = len(node.text) - len(body)
    odd = (
        body != body.strip() or not body or any(line != line.rstrip() for line in body.split("\n"))
    )
    if "\n" not in body or odd or ends > 1:
        text = node.text
        return [f"{before} {text if _is_bare(text) else json.dumps(text, ensure_ascii=False)}"]
    indent = " " * (len(before) - len(before.lstrip()) + 2)
    lines = [indent + line if line else "" for line in body.split("\n")]
    return [f"{before} |" if ends else f"{before} |-", *lines]
