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

import re
from collections.abc import Iterator

from guard.policy import limits, pattern_text
from guard.policy.pattern_text import Atom, Braces, Sequence
from guard.policy.tokens import (
    ANY_BYTE,
    SLASH,
    ImpossiblePattern,
    PatternError,
    RelativePattern,
    Token,
    TooManyAlternatives,
    Wild,
)

__all__ = [
    "ANY_BYTE",
    "SLASH",
    "ImpossiblePattern",
    "PatternError",
    "RelativePattern",
    "Token",
    "TooManyAlternatives",
    "Wild",
    "expand",
]

_DOT = 46

_SIMPLE = re.compile(
    r"(?:/(?:[A-Za-z0-9_@-]|\?|\[[a-z0-9]{2,}\])"
    r"(?:[A-Za-z0-9_.@-]|\?|\[[a-z0-9]{2,}\]|(?<!\*)\*(?!\*))*)+"
    r"(?:/\*|/?(?<!\*)\*\*)?"
)
"""Patterns that most rules have: there is nothing to refuse about them, and their bytes
are their tokens, but for what _SIMPLE_UNIT finds and for a run at the end."""

_SIMPLE_UNIT = re.compile(rb"\[([^]]+)\]|(\?)|(\*)|([^[?*])")


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
    if _SIMPLE.fullmatch(text) is not None:
        return (_simple_tokens(text),)
    sequence = pattern_text.read(text)
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


_SPECIAL = frozenset("*?[")


def _simple_tokens(text: str) -> tuple[Token, ...]:
    if text.endswith("**"):
        return (*_simple_tokens(text[:-2]), Wild.GLOBSTAR)
    if not _SPECIAL & set(text):
        return tuple(text.encode())
    return tuple(
        byte[0] if byte else Wild.STAR if star else ANY_BYTE if one else frozenset(members)
        for members, one, star, byte in _SIMPLE_UNIT.findall(text.encode())
    )


def _count(sequence: Sequence) -> int:
    """How many alternatives a sequence stands for."""
    count = 1
    for item in sequence:
        if isinstance(item, Braces):
            count *= sum(_count(branch) for branch in item.branches)
    return count


def _alternatives(sequence: Sequence) -> Iterator[tuple[Atom, ...]]:
    """Every way through the braces, the first branch first."""
    for at, item in enumerate(sequence):
        if isinstance(item, Braces):
            before: tuple[Atom, ...] = sequence[:at]  # type: ignore[assignment]
            rest = tuple(_alternatives(sequence[at + 1 :]))
            for branch in item.branches:
                for middle in _alternatives(branch):
                    for after in rest:
                        yield before + middle + after
            return
    yield sequence  # type: ignore[misc]


def _tokens(atoms: tuple[Atom, ...], text: str) -> tuple[Token, ...]:
    """One alternative's tokens, its shape checked: what it matches must be able to exist."""
    if not atoms or atoms[0].token != SLASH:
        start, end = (atoms[0].start, atoms[0].end) if atoms else (0, len(text))
        raise RelativePattern("a pattern starts with '/'", start, end, _absolute(text))
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


def _absolute(text: str) -> str:
    """What to write for a pattern that is not absolute."""
    if text.startswith("~"):
        return "'~' has no meaning here; /home/*/x is x in every directory below /home"
    name = text.lstrip("*./")
    return f"write the whole path; /**/{name} is any of that name, wherever it is"


def _check_components(atoms: tuple[Atom, ...]) -> None:
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
