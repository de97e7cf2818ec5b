# SPDX-License-Identifier: Apache-2.0
"""What a policy defines by name: variables, lists of patterns, sets of prefixes.

A definition is resolved when it is first used, once, and its faults are told
then or at the end; how its entries are read is the caller's, given as a
function. Knows nothing of rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Generic, TypeVar

from guard.policy import limits
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, Related, quoted
from guard.policy.findings import Findings, certainly
from guard.policy.forms import VAR_FORM
from guard.policy.nodes import Scalar
from guard.policy.source import Span

_T = TypeVar("_T")

# The units that a glob is read in; a variable inside of a class is no variable.
_UNIT = re.compile(rf"\\.|\[[!^]?(?:\\.|[^\]\\])+\]|\$\{{(?P<name>{VAR_FORM})\}}|.", re.DOTALL)


class _Definition(Generic[_T]):
    """One name and its entries. ``value`` is None until it is resolved."""

    __slots__ = ("entries", "mine", "name", "open", "used", "value")

    def __init__(self, name: Scalar, entries: list[Scalar], mine: bool) -> None:
        self.name = name
        self.entries = entries
        self.mine = mine
        self.value: list[_T] | None = None
        self.open = False
        self.used = False


class Named(Generic[_T]):
    """The definitions of one kind: ``word`` is its key, ``noun`` what messages call one."""

    def __init__(
        self,
        word: str,
        noun: str,
        sign: str,
        findings: Findings,
        read: Callable[[Scalar], Iterable[_T]],
        known: Iterable[str] = (),
    ) -> None:
        """``known`` are names that guard itself gives a meaning.

        ``read`` makes values of an entry that is no reference of this kind.
        """
        self.word = word
        self.noun = noun
        self.sign = sign
        self._findings = findings
        self._read = read
        self._known = frozenset(known)
        self._all: dict[str, _Definition[_T]] = {}
        self._entries = 0
        self._depth = 0
        self.lenient = False
        """Whether names may be defined elsewhere: a fragment's, judged by itself."""

    def define(self, name: Scalar, entries: list[Scalar], *, mine: bool) -> None:
        """Add a definition; ``mine`` if it is the policy's own and has to be used."""
        first = self._all.get(name.text)
        if first is not None or name.text in self._known:
            self._findings.add(
                Code.DEFINED_TWICE,
                f"the {self.noun} {quoted(name.text)} is defined already",
                name.span,
                "again here" if first is not None else "guard itself defines it",
                related=(Related(first.name.span, "first here"),) if first is not None else (),
                help="choose another name",
            )
            return
        self._all[name.text] = _Definition(name, entries, mine)

    def value(self, name: str, place: Span) -> list[_T] | None:
        """What a name stands for, used at ``place``; None, with a finding, where nothing."""
        found = self._all.get(name)
        if found is None:
            if not self.lenient:
                self._undefined(name, place)
            return None
        found.used = True
        if found.open:
            self._findings.add(
                Code.CYCLIC,
                f"the {self.noun} {quoted(name)} leads back to itself",
                place,
                "this closes the circle",
                related=(Related(found.name.span, "defined here"),),
                help="write out what this is to stand for",
            )
            return None
        if found.value is None:
            if self._depth == limits.DEFINITION_DEPTH:
                self._too_deep(place)
                return None
            found.open = True
            self._depth += 1
            found.value = [value for each in found.entries for value in self._read(each)]
            self._depth -= 1
            found.open = False
        self._entries += len(found.value)
        if self._entries > limits.NAMED_ENTRIES:
            self._entries = 0
            self._findings.add(
                Code.TOO_MANY_ENTRIES,
                f"up to here the {self.word} in use stand for more than {limits.NAMED_ENTRIES}"
                " entries",
                place,
                help="a rule with the list once is as good as many rules that have it",
            )
            return None
        return found.value

    def _too_deep(self, place: Span) -> None:
        self._findings.add(
            Code.TOO_MANY_ENTRIES,
            f"{self.word} stand for one another more than {limits.DEFINITION_DEPTH} deep",
            place,
            help="write out what this is to stand for",
        )

    def _undefined(self, name: str, place: Span) -> None:
        close = self._findings.suggest(name, chain(self._known, self._all))
        # A variable is part of a pattern, whose place says too little; @names stand alone.
        sure = None
        if self.sign.startswith('"'):
            sure = certainly(name, close, chain(self._known, self._all))
        self._findings.add(
            Code.UNDEFINED,
            f"no {self.noun} {quoted(name)} is defined",
            place,
            "not defined",
            help=f"did you mean '{close}'?"
            if close
            else f"define it under {self.word}: at the top of the policy, or include it",
            fix=None if sure is None else Fix(place, self.sign.format(sure)),
        )

    def close(self) -> None:
        """Resolve what nothing used, so that its faults are told, and say that it is unused."""
        for name, definition in self._all.items():
            if definition.used:
                continue
            self.value(name, definition.name.span)
            # What is in error may be what was to use it.
            if definition.mine and not self.lenient and not self._findings.errors:
                self._findings.add(
                    Code.UNUSED,
                    f"nothing uses the {self.noun} {quoted(name)}",
                    definition.name.span,
                    help=f"write {self.sign.format(name)} where it is meant, or take it away",
                )


class TooLong(ValueError):
    """Variables that make a text longer than a pattern may be."""


def has_variable(text: str) -> bool:
    """Whether a pattern's text names a variable."""
    return "${" in text and any(unit["name"] for unit in _UNIT.finditer(text))


def substitute(text: str, value: Callable[[str], list[str] | None]) -> str | None:
    """A pattern's text with its variables written out: several values as braces.

    None where a variable has no value. Raises TooLong before the text grows past
    limits.PATTERN_LENGTH, however often variables stand for variables.
    """
    parts = []
    size = 0
    for unit in _UNIT.finditer(text):
        part = unit.group()
        if unit["name"]:
            values = value(unit["name"])
            if not values:
                return None
            part = values[0] if len(values) == 1 else f"{{{','.join(map(_branch, values))}}}"
        size += len(part)
        if size > limits.PATTERN_LENGTH:
            raise TooLong
        parts.append(part)
    return "".join(parts)


def _branch(text: str) -> str:
    """A variable's value as a branch of braces: a ',' that is no brace's own is escaped."""
    depth = 0
    parts = []
    for unit in _UNIT.finditer(text):
        part = unit.group()
        depth += {"{": 1, "}": -1}.get(part, 0)
        parts.append("\\," if part == "," and not depth else part)
    return "".join(parts)
