# SPDX-License-Identifier: Apache-2.0
"""YAML sources read by guard's own reader, so that every value keeps its place.

Knows mappings and what is left over in them, not what any key means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from guard.convert.model import Change, Converted, Loss, NotConverted, Subject
from guard.policy import read
from guard.policy.diagnostic import Diagnostic
from guard.policy.findings import Findings
from guard.policy.nodes import Mapping, Node, Scalar, Sequence
from guard.policy.source import Span


def documents(data: bytes, file: str) -> list[Node]:
    """The documents of a file. Raises NotConverted with the first thing wrong."""
    found: list[Diagnostic] = []
    findings = Findings(found)
    source = read.decode(data, file, findings)
    roots = list(read.documents(source, findings)) if source is not None else []
    if findings.errors:
        first = found[0]
        raise NotConverted(f"{first.span}: {first.message}", first.help)
    return roots


class Fields:
    """A mapping whose keys are taken one by one; what is left was not understood."""

    def __init__(self, node: Node | None) -> None:
        """Anything but a mapping has no keys."""
        self.node = node
        self._left = dict(_entries(node))

    def take(self, key: str) -> Node | None:
        """The value of a key, which counts as understood."""
        entry = self._left.pop(key, None)
        return entry[1] if entry is not None else None

    def word(self, key: str) -> str:
        """The text of a key's value; '' where it has none."""
        return text(self.take(key))

    def rest(self) -> Iterator[tuple[Scalar, Node]]:
        """The keys that nobody took."""
        yield from self._left.values()


def _entries(node: Node | None) -> Iterator[tuple[str, tuple[Scalar, Node]]]:
    for key, value in node.entries if isinstance(node, Mapping) else ():
        yield key.text, (key, value)


def items(node: Node | None) -> list[Node]:
    """The entries of a list; a value that is no list is one entry."""
    if node is None:
        return []
    return node.items if isinstance(node, Sequence) else [node]


def text(node: Node | None) -> str:
    """A single value's text."""
    return node.text if isinstance(node, Scalar) else ""


def flag(node: Node | None) -> bool:
    """Whether a value says true."""
    return text(node).lower() in ("true", "yes", "on", "y")


def line_of(node: Node) -> str:
    """The line of the source that a value begins in."""
    whole = node.source.text
    start = whole.rfind("\n", 0, node.start) + 1
    end = whole.find("\n", node.start)
    return whole[start : end if end >= 0 else len(whole)].strip()


def loss(node: Node, reason: str, change: Change, carried: bool = False) -> Loss:
    """A loss at a value, told by its line."""
    span: Span = node.span
    return Loss(span, line_of(node), reason, change, carried)


class Document:
    """One document on its way to policies: what was said of the subject, and what is lost."""

    def __init__(self, root: Node, made: Converted, subject: Subject | None) -> None:
        self._root, self._made, self._subject = root, made, subject

    def _lose(self, node: Node, reason: str, change: Change, carried: bool = False) -> None:
        self._made.losses.append(loss(node, reason, change, carried))

    def convert(self) -> None:
        """Add what this document becomes to what was made."""
        raise NotImplementedError


def convert_each(
    data: bytes,
    file: str,
    subject: Subject | None,
    kind: Callable[[Node, Converted, Subject | None], Document],
) -> Converted:
    """What the documents of a file become. Raises NotConverted where the text is no YAML."""
    made = Converted()
    for root in documents(data, file):
        kind(root, made, subject).convert()
    return made
