# SPDX-License-Identifier: Apache-2.0
"""AppArmor's path globs, and guard's patterns that match the same paths.

AppArmor writes the path of a directory with a slash at its end, guard without:
so a glob has two meanings, the files that it matches and the directories. What
AppArmor's own parser makes of a glob (3.0, `--dump=rule-exprs`) is the
reference; apparmor.d(5) tells less. Knows nothing of rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guard.convert import limits
from guard.convert.model import Inexact
from guard.policy import patterns
from guard.policy.tokens import ImpossiblePattern, PatternError


class Run(NamedTuple):
    """``*`` or, with ``wide``, ``**``. ``some``: not nothing, and not a slash at first.

    AppArmor gives a run that is a whole component at least one byte.
    """

    wide: bool
    some: bool


class Class(NamedTuple):
    """``?`` or a bracket: one byte of these; negated, any other byte."""

    negated: bool
    members: frozenset[int]


Item = str | Run | Class
Glob = tuple[Item, ...]
"""One way through the braces. Text items are single characters."""

ANY = Class(True, frozenset(b"/"))
_ROOT: Glob = ("/",)
_TOO_MANY = f"the path stands for more than {limits.ALTERNATIVES} alternatives"


class Meaning(NamedTuple):
    """A glob's meaning, as guard's patterns without braces, in the order written."""

    files: tuple[str, ...]
    directories: tuple[str, ...]


def meaning(texts: Sequence[str]) -> Meaning:
    """What the globs, variables filled in, stand for together. Raises Inexact."""
    files: dict[str, None] = {}
    directories: dict[str, None] = {}
    number = 0
    for text in texts:
        for glob in expand(text):
            number += 1
            if number > limits.ALTERNATIVES:
                raise Inexact(_TOO_MANY)
            if glob[-1] != "/":
                _add(files, glob)
            for other in _directories(glob):
                _add(directories, other)
    return Meaning(tuple(files), tuple(directories))


def expand(text: str) -> tuple[Glob, ...]:
    """Every way through a glob's braces. Raises Inexact for what AppArmor refuses too."""
    # Slashes side by side are one, but for exactly two at the beginning.
    two = re.match("//(?!/)", text) is not None
    text = "/" * two + re.sub("/+", "/", text[two:])
    if not text.startswith("/"):
        raise Inexact("the path does not start with '/'")
    if len(text) > limits.PATH_LENGTH:
        raise Inexact(f"the path has more than {limits.PATH_LENGTH} characters")
    tree, _ = _Reader(text).sequence(0)
    if (count := _count(tree)) > limits.ALTERNATIVES or count * len(text) > limits.EXPANDED:
        raise Inexact(_TOO_MANY)
    ways: dict[Glob, None] = {}
    for each in _ways(tree):
        ways.update((_joined(way), None) for way in _slashes(each))
        if len(ways) > limits.ALTERNATIVES:
            raise Inexact(_TOO_MANY)
    return tuple(ways)


def tidied(wanted: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """The patterns of ``wanted`` in fewer: with the braces of the globs they come from.

    ``texts`` are tried as they are and without a slash at the end; one that is
    read by guard as some of the wanted patterns and nothing else stands for them.
    """
    if len(wanted) < 2:
        return tuple(wanted)
    left = {patterns.expand(each)[0]: each for each in wanted}
    every = frozenset(left)
    out: list[str] = []
    for text in texts:
        for candidate in (text, text.rstrip("/"), text.replace("/{,**}", "{,/**}")):
            if re.fullmatch(r"[A-Za-z0-9/_.*?{},+:=~-]+", candidate) is None:
                continue
            try:
                tokens = patterns.expand(candidate)
            except PatternError:
                continue
            if every.issuperset(tokens) and len(left.keys() & set(tokens)) > 1:
                out.append(candidate)
                for each in tokens:
                    left.pop(each, None)
    return (*out, *left.values())


class _Braces(NamedTuple):
    branches: tuple[tuple[Item | _Braces, ...], ...]


_Tree = tuple[Item | _Braces, ...]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def sequence(self, depth: int) -> tuple[_Tree, str]:
        """Items to the end, or in braces to ',' or '}', which is also returned."""
        items: list[Item | _Braces] = []
        text = self._text
        while self._at < len(text):
            at, char = self._at, text[self._at]
            self._at += 1
            if char == "*":
                items += self._stars(at)
            elif char == "?":
                items.append(ANY)
            elif char == "[":
                items.append(self._class())
            elif char == "{":
                items.append(self._braces(depth))
            elif char == "\\":
                if self._at == len(text) or text[self._at] == "/" or text[self._at].isalnum():
                    raise Inexact("a backslash before a letter, a digit, '/' or nothing")
                items.append(_plain(text[self._at]))
                self._at += 1
            elif depth and char in ",}":
                return tuple(items), char
            elif char in "}]":
                raise Inexact(f"a '{char}' that closes nothing, which AppArmor refuses")
            else:
                items.append(_plain(char))
        return tuple(items), ""

    def _stars(self, at: int) -> Iterator[Item]:
        text = self._text
        end = at
        while end < len(text) and text[end] == "*":
            end += 1
        self._at = end
        whole = text[at - 1] == "/" and (end == len(text) or text[end] == "/")
        yield Run(end - at > 1, whole)

    def _class(self) -> Class:
        end = self._text.find("]", self._at)
        body = self._text[self._at : end]
        self._at = end + 1
        negated = body.startswith("^")
        body = body[negated:]
        if end < 0 or not body:
            raise Inexact("a '[' without its ']', or with nothing in it")
        if not body.isascii() or re.search(r"[\\^\[{}\"\0-\x1f]|-$|^-|--", body):
            raise Inexact("a class in '[]' whose characters AppArmor's versions read differently")
        members: set[int] = set()
        for low, high in re.findall(r"(.)(?:-(.))?", body):
            if high and high < low:
                raise Inexact("a range in '[]' that runs backwards")
            members.update(range(ord(low), ord(high or low) + 1))
        return Class(negated, frozenset(members))

    def _braces(self, depth: int) -> _Braces:
        if depth == limits.BRACE_DEPTH:
            raise Inexact(f"braces nested more than {limits.BRACE_DEPTH} deep")
        branches = []
        end = ","
        while end == ",":
            branch, end = self.sequence(depth + 1)
            branches.append(branch)
        if not end or len(branches) == 1:
            raise Inexact("braces that are not closed or hold one alternative: AppArmor refuses")
        return _Braces(tuple(branches))


def _plain(char: str) -> str:
    if not char.isprintable():
        raise Inexact("a character in the path that cannot be shown")
    return char


def _count(tree: _Tree) -> int:
    count = 1
    for item in tree:
        if isinstance(item, _Braces):
            count *= sum(map(_count, item.branches))
    return count


def _ways(tree: _Tree) -> Iterator[Glob]:
    for at, item in enumerate(tree):
        if isinstance(item, _Braces):
            before: Glob = tree[:at]  # type: ignore[assignment]
            rest = tuple(_ways(tree[at + 1 :]))
            for branch in item.branches:
                for middle in _ways(branch):
                    for after in rest:
                        yield before + middle + after
            return
    yield tree  # type: ignore[misc]


_SLASH = ord("/")


def _slashes(glob: Glob) -> Iterator[Glob]:
    """The ways in which classes match a slash or do not, as AppArmor's may and guard's never."""
    ways: list[list[Item]] = [[]]
    for item in glob:
        if not isinstance(item, Class):
            choices: list[Item] = [item]
        elif (_SLASH in item.members) == item.negated:
            choices = [item]
        else:
            own = item.members | {_SLASH} if item.negated else item.members - {_SLASH}
            choices = ["/"] if not item.negated and not own else [Class(item.negated, own), "/"]
        ways = [[*way, choice] for way in ways for choice in choices]
        if len(ways) > limits.ALTERNATIVES:
            raise Inexact(_TOO_MANY)
    for way in ways:
        yield tuple(way)


def _joined(glob: Glob) -> Glob:
    """Runs side by side as the one run that they are together."""
    items: list[Item] = []
    for item in glob:
        last = items[-1] if items else None
        if isinstance(item, Run) and isinstance(last, Run):
            if item.some or last.some:
                if item.some:
                    raise Inexact("a run of '*' after another that must not be empty")
                items[-1] = Run(last.wide or item.wide, True)
            else:
                items[-1] = Run(last.wide or item.wide, False)
        else:
            items.append(item)
    return tuple(items)


def _directories(glob: Glob) -> Iterator[Glob]:
    """The globs over what, with a slash at its end, the glob matches; '/' is itself."""
    last = glob[-1]
    if glob == _ROOT:
        yield glob
    elif last == "/":
        if glob[:-1] != _ROOT:
            yield glob[:-1]
    elif isinstance(last, Run):
        if last.wide:
            yield glob
        if not last.some and len(glob) > 1:
            yield from _directories(glob[:-1])


def _add(found: dict[str, None], glob: Glob) -> None:
    text = as_pattern(glob)
    try:
        patterns.expand(text)
    except ImpossiblePattern:
        return  # nor can AppArmor's ever match: no path has such a component
    except PatternError as error:
        raise Inexact(str(error)) from None
    found[text] = None


def as_pattern(glob: Glob) -> str:
    """guard's pattern for the canonical paths that a glob matches; the root only if it is '/'."""
    if len(glob) == 2 and isinstance(glob[1], Run):
        return "/?**" if glob[1].wide else "/?*"
    out: list[str] = []
    for at, item in enumerate(glob):
        after = glob[at + 1] if at + 1 < len(glob) else None
        if isinstance(item, Run):
            if item.wide and out[-1:] == ["/"] and after == "/":
                out.append("*/**")  # guard's '/**/' may be no component, AppArmor's never
            else:
                out.append("**" if item.wide else "*")
        elif isinstance(item, Class):
            out.append(_class_text(item))
        else:
            out.append("\\" + item if item in "*?[]{},\\$ " else item)
    return "".join(out)


def _class_text(one: Class) -> str:
    members = sorted(one.members - {_SLASH})
    if one.negated and not members:
        return "?"
    text = ""
    at = 0
    while at < len(members):
        end = at
        while end + 1 < len(members) and members[end + 1] == members[end] + 1:
            end += 1
        low, high = chr(members[at]), chr(members[end])
        if end - at > 1 and low.isalnum() and high.isalnum():
            text += f"{low}-{high}"
        else:
            text += "".join(_member(chr(byte)) for byte in members[at : end + 1])
        at = end + 1
    return f"[{'^' if one.negated else ''}{text}]"


def _member(char: str) -> str:
    return char if char.isalnum() else "\\" + char
