# SPDX-License-Identifier: Apache-2.0
"""The text of AppArmor profiles read into statements with their places: apparmor.d(5).

Knows what a word, a rule and a block are, not what any rule means. What cannot
be a profile at all (an open block or quote) is NotConverted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from guard.convert import limits
from guard.convert.model import NotConverted
from guard.policy.source import Span


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule, include, definition, or block with its statements.

    ``words`` have no quotes any more; words in parentheses are one, as in
    ``flags=(complain, audit)``. ``text`` is the statement, of a block its head.
    """

    words: tuple[str, ...]
    span: Span
    text: str
    block: tuple[Statement, ...] | None = None


_SPACE = re.compile(r"[ \t\r\n]+")
_DEFINITION = re.compile(r"(?:@\{\w+\}|\$\{?\w+\}?)[ \t]*\+?=")
_INCLUDE = re.compile(r"#?include\b")
_GROUP = re.compile(r"[a-z_]*=?\(")
_PLAIN = re.compile(r"[^ \t\r\n\"\\{},(#]+")


def _octal(code: int) -> str:
    """The character that stands for an escaped byte, in the spelling of globs."""
    if code > 126:
        return "\0"  # a part of a character, which no pattern can hold: whoever reads it refuses
    return "\\" + chr(code) if chr(code) in "*?[]{},\\^" else chr(code)


class _Open:
    """A block that is being read: its head, and its statements so far."""

    def __init__(self, start: int, end: int, words: tuple[str, ...]) -> None:
        self.start, self.end, self.words = start, end, words
        self.statements: list[Statement] = []


def read(text: str, file: str) -> tuple[Statement, ...]:
    """A file's statements. Raises NotConverted."""
    return _Reader(text, file).read()


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._count = 0

    def read(self) -> tuple[Statement, ...]:
        """All of the text, with a stack in place of recursion."""
        text, at, size = self._text, 0, len(self._text)
        stack = [_Open(0, 0, ())]
        words: list[str] = []
        start = 0
        while at < size:
            space = _SPACE.match(text, at)
            if space is not None:
                at = space.end()
                continue
            char = text[at]
            if not words:
                start = at
                line = _INCLUDE.match(text, at) or _DEFINITION.match(text, at)
                if line is not None:
                    at = self._to_line_end(at)
                    stack[-1].statements.append(self._line(start, at))
                    continue
            if char == "#":
                end = text.find("\n", at)
                at = size if end < 0 else end
            elif char == ",":
                at += 1
                if words:
                    stack[-1].statements.append(self._statement(words, start, at))
                    words = []
            elif char == "{" and (at + 1 == size or text[at + 1] in " \t\r\n#}"):
                if len(stack) > limits.BLOCKS:
                    self._fail(at, f"blocks nested more than {limits.BLOCKS} deep")
                at += 1
                stack.append(_Open(start, at, tuple(words)))
                words = []
            elif char == "}":
                if words or len(stack) == 1:
                    self._fail(start if words else at, "a rule without ',' or a '}' too many")
                at += 1
                block = stack.pop()
                head = self._statement(block.words, block.start, block.end)
                stack[-1].statements.append(
                    Statement(head.words, head.span, head.text, tuple(block.statements))
                )
            else:
                word, at = self._word(at)
                words.append(word)
        if words or len(stack) > 1:
            where = start if words else stack[-1].start
            self._fail(where, "a rule or a block that has no end")
        return tuple(stack[0].statements)

    def _to_line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end

    def _line(self, start: int, end: int) -> Statement:
        """A statement that is one line: an include or a definition."""
        text = self._text[start:end]
        define = _DEFINITION.match(text)
        words: list[str] = []
        at = start
        if define is not None:
            name = define.group().rstrip("+= \t")
            words = [name, "+=" if "+" in define.group()[len(name) :] else "="]
            at = start + define.end()
        while at < end:
            space = _SPACE.match(self._text, at)
            if space is not None:
                at = space.end()
            elif self._text[at] == "#" and at > start:
                break
            elif self._text[at] == '"' or define is not None:
                word, at = self._word(at)
                words.append(word)
                at += at < end and self._text[at] == "," and 1
            else:
                stop = re.compile(r"[^\s\"]+").match(self._text, at)
                assert stop is not None, "a character that is neither space nor quote"
                words.append(stop.group())
                at = stop.end()
        return self._statement(words, start, max(at, start + 1))

    def _word(self, at: int) -> tuple[str, int]:
        """The word at ``at`` and where it ends."""
        text, size, start = self._text, len(self._text), at
        group = _GROUP.match(text, at)
        if group is not None:
            end = text.find(")", at)
            if end < 0:
                self._fail(at, "a '(' that is never closed")
            return text[at : end + 1], end + 1
        out: list[str] = []
        depth = 0
        while at < size and text[at] not in " \t\r\n":
            char = text[at]
            plain = _PLAIN.match(text, at)
            if plain is not None:
                out.append(plain.group())
                at = plain.end()
            elif char == '"':
                end = at + 1
                while end < size and text[end] != '"':
                    end += 2 if text[end] == "\\" else 1
                if end >= size:
                    self._fail(at, "a quote that is never closed")
                out.append(text[at + 1 : end])
                at = end + 1
            elif char == "\\":
                octal = re.compile(r"\\([0-3][0-7]{2})").match(text, at)
                out.append(text[at : at + 2] if octal is None else _octal(int(octal[1], 8)))
                at += 2 if octal is None else 4
            elif char == "," and not depth and (at + 1 == size or text[at + 1] in " \t\r\n#}"):
                break
            elif char == "}" and not depth:
                if at > start:
                    break
                self._fail(at, "a '}' that closes nothing")
            else:
                depth += {"{": 1, "}": -1}.get(char, 0)
                out.append(char)
                at += 1
        return "".join(out), at

    def _statement(self, words: tuple[str, ...] | list[str], start: int, end: int) -> Statement:
        self._count += 1
        if self._count > limits.STATEMENTS:
            self._fail(start, f"more than {limits.STATEMENTS} statements")
        line, column = self._place(start)
        end_line, end_column = self._place(end)
        span = Span(self._file, line, column, end_line, end_column)
        return Statement(tuple(words), span, self._text[start:end].strip())

    def _place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def _fail(self, at: int, what: str) -> None:
        line, column = self._place(at)
        raise NotConverted(
            f"{self._file}:{line}:{column}: this is no AppArmor profile: {what}",
            "`apparmor_parser -QK FILE` tells more",
        )
