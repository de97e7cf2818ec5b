# SPDX-License-Identifier: Apache-2.0
"""Text to YAML documents with places: the only module that knows the YAML library.

Built on parser events and not on a composed tree: events never recurse, so no
nesting can exhaust the stack, and they show anchors and tags, which a tree
hides. What YAML allows and a policy should not use is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from guard.policy import limits, read_errors
from guard.policy.codes import Code
from guard.policy.diagnostic import Related, quoted
from guard.policy.findings import Findings
from guard.policy.nodes import Broken, Mapping, Marks, Node, Scalar, Sequence, Text
from guard.policy.source import Span

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML's printable characters, less those that YAML takes for line breaks and
# editors do not (NEL, LS, PS) and less a byte order mark in the middle.
_LINE_ENDS = {ord(char): " " for char in "\t\n\r"}
_REFUSED = (
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def decode(data: bytes, file: str, findings: Findings) -> Text | None:
    """The text of a file, or None with a finding: too large, not UTF-8, not printable."""
    if len(data) > limits.FILE_SIZE:
        findings.add(
            Code.TOO_LARGE,
            f"this file has more than {limits.FILE_SIZE // 1048576} MiB, which is the limit",
            Span(file, 1, 1, 1, 1),
            help="split it: a directory of files is read as one set of policies",
        )
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace").lstrip("\ufeff")
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        findings.add(
            Code.NOT_UTF8,
            f"the byte 0x{data[error.start]:02x} is not UTF-8",
            _place(file, before, len(before)),
            help="this looks like UTF-16; save it as UTF-8" if utf16 else "save it as UTF-8",
        )
        return None
    # Printable ASCII is the usual case, and seen without compiling the expression.
    plain = text.isascii() and text.translate(_LINE_ENDS).isprintable()
    refused = None if plain else re.search(_REFUSED, text)
    if refused is not None:
        char = refused.group()
        name = "a NUL byte" if char == "\0" else f"the character U+{ord(char):04X}"
        findings.add(
            Code.BAD_CHARACTER,
            f"{name} cannot be part of a policy",
            _place(file, text, refused.start(), 1),
            help=r'inside double quotes it may be written as an escape, such as "\x07"'
            if char != "\0"
            else None,
        )
        return None
    return Text(file, text)


def _place(file: str, text: str, index: int, size: int = 0) -> Span:
    """The place of ``size`` characters of one line."""
    before = re.split(r"\r\n|\r|\n", text[:index])
    line, column = len(before), len(before[-1]) + 1
    return Span(file, line, column, line, column + size)


def documents(source: Text, findings: Findings) -> Iterator[Node]:
    """Each document's root, as far as the text is YAML.

    A document that is not well formed ends the reading, with a finding.
    """
    count = 0
    builder = None
    try:
        events = yaml.parse(source.text, _LOADER)
        for event in events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            count += 1
            if count > limits.DOCUMENTS:
                findings.add(
                    Code.TOO_MANY_DOCUMENTS,
                    f"more than {limits.DOCUMENTS} documents in one file",
                    _event_span(source, event),
                    "the first one too many",
                    help=f"a host has at most {limits.DOCUMENTS} policies at once",
                )
                return
            builder = _Builder(source, findings)
            root = builder.build(events)
            if root is None:
                return
            yield root
    except yaml.YAMLError as error:
        read_errors.report(error, source, findings, builder.last_quoted if builder else None)
        return
    if count == 0:
        findings.add(
            Code.EMPTY,
            "this file holds no policy",
            Span(source.file, 1, 1, 1, 1),
            help="`guard explain G003` shows the smallest policy",
        )


def _event_span(source: Text, event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(source.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)


class _Builder:
    """Builds one document's tree from events, with a stack of its own."""

    def __init__(self, source: Text, findings: Findings) -> None:
        self._source = source
        self._findings = findings
        self.last_quoted: Scalar | None = None
        """The last quoted text that runs over several lines: its end may be forgotten."""

    def build(self, events: Iterator[Any]) -> Node | None:
        """The root; None when the document nests too deeply to be read."""
        stack: list[tuple[Any, list[Node]]] = []
        children: list[Node] = []
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                children.append(self._scalar(event))
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                if len(stack) == limits.NESTING:
                    self._findings.add(
                        Code.TOO_DEEP,
                        f"lists and mappings nested more than {limits.NESTING} deep",
                        _event_span(self._source, event),
                        help="the rest of the file was not read",
                    )
                    return None
                stack.append((event, children))
                children = []
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                opened, outer = stack.pop()
                outer.append(self._collection(opened, event, children))
                children = outer
            elif isinstance(event, yaml.AliasEvent):
                children.append(self._alias(event, stack, children))
            else:
                break
        return children[0]

    def _marks(self, event: Any) -> Marks:
        start, end = event.start_mark, event.end_mark
        return self._source, start.index, start.line, start.column, end.line, end.column

    def _scalar(self, event: Any) -> Node:
        marks = self._marks(event)
        if event.tag is not None or event.anchor is not None:
            refused = self._refuse(event, Scalar(marks, event.value, "|"))
            if refused is not None:
                return refused
        style = event.style or ""
        scalar = Scalar(marks, event.value, style)
        if style in ("'", '"') and scalar.line != scalar.end_line:
            self.last_quoted = scalar
        return scalar

    def _refuse(self, event: Any, node: Node) -> Node | None:
        """Report an anchor or a tag; a value whose tag changes it comes back broken."""
        span = _event_span(self._source, event)
        if event.anchor is not None:
            width = len(event.anchor) + 1
            place = Span(span.file, span.line, span.column, span.line, span.column + width)
            self._findings.add(
                Code.ALIAS,
                f"'&{event.anchor}' is a YAML anchor, and policies do not use anchors",
                place,
                help="what a rule says stands in the rule; if the '&' is meant, quote the text",
            )
        if event.tag is None:
            # The anchor is told; what it stands on is judged as if it were not there.
            return Broken(self._marks(event)) if isinstance(node, Scalar) else None
        if event.anchor is None:
            raw = self._source.text[event.start_mark.index :]
            shown = re.match(r"!\S*", raw)
            word = shown.group() if shown else "!"
            place = Span(span.file, span.line, span.column, span.line, span.column + len(word))
            self._findings.add(
                Code.TAG,
                f"{quoted(word)} is a YAML tag, and policies do not use tags",
                place,
                help="leave it out, or quote the text if the '!' is meant",
            )
        return Broken(self._marks(event))

    def _alias(self, event: Any, stack: list[tuple[Any, list[Node]]], children: list[Node]) -> Node:
        key = children[-1] if len(children) % 2 else None
        if (
            stack
            and isinstance(stack[-1][0], yaml.MappingStartEvent)
            and isinstance(key, Scalar)
            and key.text == "<<"
        ):
            return Broken(self._marks(event))  # told once, as a merge key
        span = _event_span(self._source, event)
        self._findings.add(
            Code.ALIAS,
            f"'*{event.anchor}' is a YAML alias, because it starts with '*'",
            span,
            help=read_errors.STAR_HINT,
        )
        return Broken(self._marks(event))

    def _collection(self, opened: Any, closed: Any, children: list[Node]) -> Node:
        source, start, line, column, end_line, end_column = self._marks(opened)
        if opened.flow_style:
            end_line, end_column = closed.end_mark.line, closed.end_mark.column
        elif children:
            end_line, end_column = children[-1].end_line, children[-1].end_column
        marks = (source, start, line, column, end_line, end_column)
        node: Node
        if isinstance(opened, yaml.SequenceStartEvent):
            node = Sequence(marks, children)
        else:
            node = self._mapping(marks, children)
        if opened.tag is not None or opened.anchor is not None:
            return self._refuse(opened, node) or node
        return node

    def _mapping(self, marks: Marks, children: list[Node]) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        first: dict[str, Scalar] = {}
        incomplete = False
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar):
                incomplete = True
                if not isinstance(key, Broken):
                    self._findings.add(
                        Code.WRONG_KIND, "a key is a single word", key.span, "this is the key"
                    )
            elif key.text == "<<" and key.plain:
                incomplete = True
                self._findings.add(
                    Code.MERGE_KEY,
                    "'<<' is YAML's merge key, and policies do not use it",
                    key.span,
                    help="write out the keys that it would bring in",
                )
            elif key.text in first:
                earlier = first[key.text]
                self._findings.add(
                    Code.DUPLICATE_KEY,
                    f"the key {quoted(key.text)} is written twice in one mapping",
                    key.span,
                    "again here",
                    related=(Related(earlier.span, "first here"),),
                    help="YAML would drop the first without a word; keep one",
                )
            else:
                first[key.text] = key
                entries.append((key, value))
        return Mapping(marks, entries, incomplete)
