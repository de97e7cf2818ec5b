# SPDX-License-Identifier: Apache-2.0
"""A pattern's text read into tokens and brace groups, each with its place.

Knows the spelling only; what a whole pattern must look like is in
guard.policy.patterns.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from guard.policy import limits
from guard.policy.tokens import ANY_BYTE, SLASH, PatternError, Token, Wild


class Atom(NamedTuple):
    """One token and the characters of the pattern that it comes from."""

    token: Token
    start: int
    end: int


class Braces(NamedTuple):
    """A brace group: one of its branches."""

    branches: tuple[Sequence, ...]


Sequence = tuple["Atom | Braces", ...]


def read(text: str) -> Sequence:
    """A pattern's items in the order written. Raises PatternError."""
    return _Reader(text).read()


_ORDINARY = re.compile(r"[^*?\[{},\\$\0]+")


class _Reader:
    """Reads one pattern's text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> Sequence:
        """The whole pattern."""
        sequence, _ = self._sequence(0)
        return sequence

    def _fail(self, message: str, start: int, end: int, help: str | None = None) -> NoReturn:
        raise PatternError(message, start, end, help)

    def _sequence(self, depth: int) -> tuple[Sequence, str]:
        """Items up to the end, or inside braces up to a ',' or '}', which is also returned."""
        items: list[Atom | Braces] = []
        text = self._text
        while self._at < len(text):
            start = self._at
            run = _ORDINARY.match(text, start)
            if run is not None:
                self._at = run.end()
                for position in range(start, run.end()):
                    self._literal(items, position, position)
                continue
            char = text[start]
            self._at += 1
            if char == "*":
                items.append(self._star(start))
            elif char == "?":
                items.append(Atom(ANY_BYTE, start, start + 1))
            elif char == "[":
                items.append(Atom(self._byte_class(start), start, self._at))
            elif char == "{":
                items.append(self._braces(start, depth))
            elif char == "\\":
                self._escaped(start)
                self._literal(items, start, start + 1)
            elif char == "\0":
                self._fail("a path cannot hold a NUL byte", start, start + 1)
            elif char == "$" and text.startswith("{", self._at):
                self._fail(
                    "'${' begins a variable's name, which ends in '}'",
                    start,
                    start + 2,
                    r"for example ${HOME_DIRS}, defined under vars:; \$ is the character '$'",
                )
            elif depth and char in ",}":
                return tuple(items), char
            elif char == "}":
                self._fail("'}' without a '{' before it", start, start + 1, r"write \} for '}'")
            else:
                self._literal(items, start, start)
        return tuple(items), ""

    def _literal(self, items: list[Atom | Braces], start: int, at: int) -> None:
        """Add the bytes of the character at ``at``; its spelling begins at ``start``."""
        char = self._text[at]
        if char < "\x80":
            items.append(Atom(ord(char), start, at + 1))
            return
        for byte in self._encode(char, at):
            items.append(Atom(byte, start, at + 1))

    def _encode(self, char: str, at: int) -> bytes:
        try:
            return char.encode()
        except UnicodeEncodeError:
            self._fail("half a surrogate pair is not a character", at, at + 1)

    def _star(self, start: int) -> Atom:
        text = self._text
        while text.startswith("*", self._at):
            self._at += 1
        stars = self._at - start
        if stars > 2:
            self._fail(
                f"'{'*' * min(stars, 8)}' has no meaning",
                start,
                self._at,
                "'*' stays within a component, '**' crosses '/'",
            )
        return Atom(Wild.STAR if stars == 1 else Wild.GLOBSTAR, start, self._at)

    def _escaped(self, start: int) -> None:
        """Step over the character after the backslash at ``start``."""
        if self._at == len(self._text):
            self._fail("a backslash with nothing after it", start, start + 1, r"write \\ for '\'")
        char = self._text[self._at]
        if char.isalnum() or char == "\0":
            self._fail(
                rf"'\{char}' has no meaning" if char != "\0" else "a path cannot hold a NUL byte",
                start,
                start + 2,
                "a backslash goes before punctuation, to take away its special meaning",
            )
        self._at += 1

    def _braces(self, start: int, depth: int) -> Braces:
        if depth == limits.BRACE_DEPTH:
            self._fail(f"braces nested more than {limits.BRACE_DEPTH} deep", start, start + 1)
        branches: list[Sequence] = []
        while True:
            branch, end = self._sequence(depth + 1)
            branches.append(branch)
            if not end:
                self._fail("'{' is never closed", start, start + 1, r"write \{ for '{'")
            if end == "}":
                break
        if len(branches) == 1:
            self._fail(
                "braces around a single alternative",
                start,
                self._at,
                r"separate alternatives by ',', or write \{ and \} for the characters",
            )
        return Braces(tuple(branches))

    def _byte_class(self, start: int) -> frozenset[int]:
        """The bytes of the class whose '[' is at ``start``."""
        text = self._text
        negated = text.startswith(("^", "!"), self._at)
        if negated:
            self._at += 1
        members: set[int] = set()
        while True:
            if self._at >= len(text):
                self._fail("'[' is never closed", start, start + 1, r"write \[ for '['")
            if text[self._at] == "]":
                self._at += 1
                break
            if text.startswith(("[:", "[.", "[="), self._at):
                self._fail(
                    "POSIX character classes have no meaning here",
                    self._at,
                    self._at + 2,
                    r"write the range, such as [a-z]; \[ stands for '['",
                )
            first_at = self._at
            low = self._class_byte()
            high = low
            if text.startswith("-", self._at) and not text.startswith(("-]",), self._at):
                self._at += 1
                if self._at >= len(text):
                    continue
                high = self._class_byte()
                if high < low:
                    self._fail(
                        f"the range '{text[first_at : self._at]}' is backwards",
                        first_at,
                        self._at,
                    )
            members.update(range(low, high + 1))
        if not members:
            self._fail("a class with nothing in it", start, self._at, r"write \[ for '['")
        members.discard(SLASH)
        return ANY_BYTE - members if negated else frozenset(members)

    def _class_byte(self) -> int:
        """One member of a class, as its byte."""
        at = self._at
        self._at += 1
        if self._text[at] == "\\":
            self._escaped(at)
        char = self._text[self._at - 1]
        if char == "/":
            self._fail("a class never matches '/'", at, self._at, "write '/' outside the class")
        if char == "\0":
            self._fail("a path cannot hold a NUL byte", at, self._at)
        if char > "\x7f":
            size = len(self._encode(char, at))
            self._fail(
                f"a class is a choice of bytes, and '{char}' is {size} bytes in UTF-8",
                at,
                self._at,
                "use braces for such characters: {ä,ö}",
            )
        return ord(char)
