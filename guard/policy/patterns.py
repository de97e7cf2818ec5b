# SPDX-License-Identifier: Apache-2.0
r"""Globs over absolute paths, read into token sequences.

A pattern matches whole paths, byte by byte:

    ?          one byte that is not '/'
    *          zero or more bytes that are not '/'
    **         zero or more bytes of any kind
    [ab] [a-z] one byte of the class; [^a] or [!a] one byte outside it; never '/'
    {a,b}      either; may be nested, a branch may be empty
    \x         the punctuation character x itself
    /**/       in the middle: zero or more whole components
    /**        at the end: everything below, not the directory itself;
               alone: everything, the root included

Braces are expanded over tokens and not over text, so ``{*,x}*`` never turns
into ``**``. No token matches NUL, which no path holds. Nothing here knows
about automata, YAML, rules or files.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from guard.policy import limits

SLASH = 47
_DOT = 46


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


def expand(text: str) -> tuple[tuple[Token, ...], ...]:
    """The alternatives of a pattern after brace expansion, in the order written.

    A path matches the pattern when it matches one of them. Equal alternatives
    are given once. Raises PatternError, which points into ``text``.
    """
    if not text:
        raise RelativePattern(
            "empty pattern", 0, 0, "a pattern is an absolute path, such as /etc/**"
        )
    if len(text) > limits.PATTERN_LENGTH:
        raise PatternError(
            f"pattern of {len(text)} characters; at most {limits.PATTERN_LENGTH} are allowed",
            0,
            len(text),
        )
    sequence = _Reader(text).read()
    count = _count(sequence)
    if count > limits.ALTERNATIVES_PER_PATTERN:
        raise TooManyAlternatives(
            f"the braces stand for {count if count < 10**9 else 'more than 10^9'} alternatives;"
            f" at most {limits.ALTERNATIVES_PER_PATTERN} are allowed",
            0,
            len(text),
            "use '*' or a class in place of some braces, or several patterns",
        )
    return tuple(dict.fromkeys(_tokens(atoms, text) for atoms in _alternatives(sequence)))


@dataclass(frozen=True, slots=True)
class _Atom:
    """One token and the characters of the pattern that it comes from."""

    token: Token
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Braces:
    """A brace group: one of its branches."""

    branches: tuple[_Sequence, ...]


_Sequence = tuple["_Atom | _Braces", ...]

_ORDINARY = re.compile(r"[^*?\[{},\\$\0]+")


class _Reader:
    """Reads one pattern's text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> _Sequence:
        """The whole pattern."""
        sequence, _ = self._sequence(0)
        return sequence

    def _fail(self, message: str, start: int, end: int, help: str | None = None) -> NoReturn:
        raise PatternError(message, start, end, help)

    def _sequence(self, depth: int) -> tuple[_Sequence, str]:
        """Items up to the end, or inside braces up to a ',' or '}', which is also returned."""
        items: list[_Atom | _Braces] = []
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
                items.append(_Atom(ANY_BYTE, start, start + 1))
            elif char == "[":
                items.append(_Atom(self._byte_class(start), start, self._at))
            elif char == "{":
                items.append(self._braces(start, depth))
            elif char == "\\":
                self._escaped(start)
                self._literal(items, start, start + 1)
            elif char == "\0":
                self._fail("a path cannot hold a NUL byte", start, start + 1)
            elif char == "$" and text.startswith("{", self._at):
                self._fail(
                    "'${' is kept for variables, which this version does not have",
                    start,
                    start + 2,
                    r"write \$ for the character '$'",
                )
            elif depth and char in ",}":
                return tuple(items), char
            elif char == "}":
                self._fail("'}' without a '{' before it", start, start + 1, r"write \} for '}'")
            else:
                self._literal(items, start, start)
        return tuple(items), ""

    def _literal(self, items: list[_Atom | _Braces], start: int, at: int) -> None:
        """Add the bytes of the character at ``at``; its spelling begins at ``start``."""
        char = self._text[at]
        if char < "\x80":
            items.append(_Atom(ord(char), start, at + 1))
            return
        for byte in self._encode(char, at):
            items.append(_Atom(byte, start, at + 1))

    def _encode(self, char: str, at: int) -> bytes:
        try:
            return char.encode()
        except UnicodeEncodeError:
            self._fail("half a surrogate pair is not a character", at, at + 1)

    def _star(self, start: int) -> _Atom:
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
        return _Atom(Wild.STAR if stars == 1 else Wild.GLOBSTAR, start, self._at)

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

    def _braces(self, start: int, depth: int) -> _Braces:
        if depth == limits.BRACE_DEPTH:
            self._fail(f"braces nested more than {limits.BRACE_DEPTH} deep", start, start + 1)
        branches: list[_Sequence] = []
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
        return _Braces(tuple(branches))

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


def _count(sequence: _Sequence) -> int:
    """How many alternatives a sequence stands for."""
    count = 1
    for item in sequence:
        if isinstance(item, _Braces):
            count *= sum(_count(branch) for branch in item.branches)
    return count


def _alternatives(sequence: _Sequence) -> Iterator[tuple[_Atom, ...]]:
    """Every way through the braces, the first branch first."""
    for at, item in enumerate(sequence):
        if isinstance(item, _Braces):
            before: tuple[_Atom, ...] = sequence[:at]  # type: ignore[assignment]
            rest = tuple(_alternatives(sequence[at + 1 :]))
            for branch in item.branches:
                for middle in _alternatives(branch):
                    for after in rest:
                        yield before + middle + after
            return
    yield sequence  # type: ignore[misc]


def _tokens(atoms: tuple[_Atom, ...], text: str) -> tuple[Token, ...]:
    """One alternative's tokens, its shape checked: what it matches must be able to exist."""
    if not atoms or atoms[0].token != SLASH:
        start, end = (atoms[0].start, atoms[0].end) if atoms else (0, len(text))
        raise RelativePattern(
            "a pattern starts with '/'", start, end, "for a name anywhere write /**/name"
        )
    _check_components(atoms)
    tokens: list[Token] = []
    size = len(atoms)
    at = 0
    while at < size:
        token = atoms[at].token
        at += 1
        previous = tokens[-1] if tokens else None
        if token is Wild.GLOBSTAR and (previous == SLASH or previous is Wild.DIRS):
            if at < size and atoms[at].token == SLASH:
                at += 1
                if previous == SLASH:
                    tokens.append(Wild.DIRS)
                continue
            if at == size and previous is Wild.DIRS:
                tokens[-1] = Wild.GLOBSTAR
                continue
        # Runs side by side come from braces only; the wider one holds the other.
        if token in (Wild.STAR, Wild.GLOBSTAR) and previous in (Wild.STAR, Wild.GLOBSTAR):
            tokens[-1] = Wild.STAR if token is previous is Wild.STAR else Wild.GLOBSTAR
        else:
            tokens.append(token)
    return tuple(tokens)


def _check_components(atoms: tuple[_Atom, ...]) -> None:
    """Refuse components that no canonical path has: empty, '.' and '..'."""
    slashes = [at for at, atom in enumerate(atoms) if atom.token == SLASH]
    for number, slash in enumerate(slashes):
        begin = slash + 1
        last = number + 1 == len(slashes)
        stop = len(atoms) if last else slashes[number + 1]
        if begin == stop:
            if last and slash == 0:
                return  # the root
            if last:
                raise ImpossiblePattern(
                    "a path never ends with '/'",
                    atoms[slash].start,
                    atoms[slash].end,
                    "write the directory without it, or /** for everything below",
                )
            other = atoms[stop]
            raise ImpossiblePattern(
                "an empty component: no path holds '//'",
                min(atoms[slash].start, other.start),
                max(atoms[slash].end, other.end),
                "write one '/'",
            )
        if stop - begin <= 2 and all(atom.token == _DOT for atom in atoms[begin:stop]):
            name = "." * (stop - begin)
            raise ImpossiblePattern(
                f"no path holds the component '{name}'",
                atoms[begin].start,
                atoms[stop - 1].end,
                "patterns match paths after '.', '..' and symbolic links are resolved",
            )
