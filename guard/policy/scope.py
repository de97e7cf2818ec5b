# SPDX-License-Identifier: Apache-2.0
"""Patterns and prefixes as rules write them, with the names that their policy defines.

Reads nodes to the model's values; knows nothing of rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from guard.policy import limits, pattern_text, patterns
from guard.policy.codes import Code
from guard.policy.definitions import Named, TooLong, has_variable, substitute
from guard.policy.diagnostic import Related, quoted
from guard.policy.forms import NAME_FORM, UNIT_FORM, VAR_FORM
from guard.policy.model import Pattern, Prefix
from guard.policy.networds import KNOWN_SETS
from guard.policy.nodes import Broken, Node, Scalar, reading
from guard.policy.nodes import Mapping as MappingNode
from guard.policy.tokens import (
    ImpossiblePattern,
    PatternError,
    RelativePattern,
    TooManyAlternatives,
)
from guard.policy.values import Field, Values, described

SIGN = "@"
"""Before the name of a list or set."""


class Form(NamedTuple):
    """How patterns of one kind are written.

    ``before`` makes a path pattern of the text, so that its meaning can be
    judged; ``lists`` says whether @names and variables are known in it.
    """

    noun: str
    before: str = ""
    lists: bool = True
    word: str | None = None


PATHS = Form("pattern")
EXEC_PATHS = Form("pattern", word="anonymous")
UNITS = Form("unit", "/", lists=False)
CGROUPS = Form("control group", lists=False)
ABSTRACT = Form("name", "/x@", lists=False)


class Scope:
    """The names of one policy, and the readings that need them."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._findings = values.findings
        self._alternatives = 0
        self.vars: Named[str] = Named(
            "vars", "variable", "${{{}}}", values.findings, self._variable
        )
        self.lists: Named[Pattern] = Named(
            "lists", "list", '"@{}"', values.findings, lambda each: self._pattern(each, PATHS)
        )
        self.sets: Named[Prefix] = Named(
            "sets", "set", '"@{}"', values.findings, self._prefix, KNOWN_SETS
        )

    def define(self, fields: Mapping[str, Field], *, mine: bool) -> None:
        """Take what a policy or fragment defines; ``mine`` if it has to be used."""
        for word, named, form in (
            ("vars", self.vars, VAR_FORM),
            ("lists", self.lists, NAME_FORM),
            ("sets", self.sets, NAME_FORM),
        ):
            if word in fields:
                self._define(fields[word], named, form, mine)

    def _define(
        self,
        field: Field,
        named: Named[str] | Named[Pattern] | Named[Prefix],
        form: str,
        mine: bool,
    ) -> None:
        node = field.value
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                self._findings.add(
                    Code.WRONG_KIND,
                    f"{named.word} is a mapping of names and what they stand for",
                    node.span,
                    f"this is {described(node)}",
                )
            return
        if not node.entries and not node.incomplete:
            self._findings.add(Code.EMPTY_VALUE, f"{named.word} is empty", node.span)
        for key, value in node.entries:
            wrong = not re.fullmatch(form, key.text) or len(key.text) > limits.NAME_LENGTH
            if wrong:
                letters = "letters, digits and '_'"
                if form == NAME_FORM:
                    letters = "letters, digits, '.', '_' and '-'"
                self._findings.add(
                    Code.BAD_NAME,
                    f"{quoted(key.text)} cannot be the name of a {named.noun}",
                    key.span,
                    help=f"it is made of {letters}, at most {limits.NAME_LENGTH}",
                )
            entries = self._distinct(value, f"the {named.noun} {key.text}")
            if not wrong:
                named.define(key, entries, mine=mine)

    def close(self) -> None:
        """Tell what is wrong with definitions that nothing used, and that they are unused."""
        self.lists.close()
        self.vars.close()
        self.sets.close()

    def lenient(self) -> None:
        """Take names that are not defined here for names that are defined elsewhere."""
        self.vars.lenient = self.lists.lenient = self.sets.lenient = True

    def _distinct(self, node: Node, what: str) -> list[Scalar]:
        """Entries, each once; those that are written twice are told."""
        found: dict[str, Scalar] = {}
        for scalar in self._values.one_or_more(node, what):
            first = found.setdefault(scalar.text, scalar)
            if first is not scalar:
                self._findings.add(
                    Code.REPEATED,
                    f"{quoted(scalar.text)} is listed twice",
                    scalar.span,
                    "again here",
                    related=(Related(first.span, "first here"),),
                )
        return list(found.values())

    def patterns(self, node: Node, what: str, form: Form = PATHS) -> tuple[Pattern, ...]:
        """One pattern or a list of them, each with a meaning; those without one are told.

        A pattern that a list of the policy brings in a second time is left out.
        """
        found: dict[str, Pattern] = {}
        written: dict[str, Scalar] = {}
        for scalar in self._values.one_or_more(node, what):
            if scalar.plain and scalar.line != scalar.end_line:
                self._findings.add(
                    Code.FOLDED,
                    f"YAML joins these lines to one {form.noun} with spaces in it",
                    scalar.span,
                    help=f"write several {form.noun}s as a list, each after '- '",
                )
                continue
            if scalar.text == "" or (scalar.plain and reading(scalar.text) == "null"):
                self._findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span)
                continue
            first = written.setdefault(scalar.text, scalar)
            if first is not scalar:
                self._findings.add(
                    Code.REPEATED,
                    f"the {form.noun} {quoted(scalar.text)} is listed twice",
                    scalar.span,
                    "again here",
                    related=(Related(first.span, "first here"),),
                )
                continue
            for pattern in self._pattern(scalar, form):
                found.setdefault(pattern.text, pattern)
        return tuple(found.values())

    def _pattern(self, scalar: Scalar, form: Form) -> Iterable[Pattern]:
        text = scalar.text
        if form.lists and text.startswith(SIGN):
            return self.lists.value(text[1:], scalar.span) or ()
        if text == form.word:
            return (Pattern(text, scalar.span),)
        if form.before:
            if self._values.text(scalar, f"a {form.noun}", limits.PATTERN_LENGTH) is None:
                return ()
            problem = _unit_problem(text) if form is UNITS else _abstract_problem(text)
            if problem is not None:
                code, message, help = problem
                self._findings.add(code, message, scalar.span, help=help)
                return ()
        elif form is CGROUPS and text == "/":
            self._findings.add(
                Code.BAD_VALUE,
                "the root of all control groups is the whole host",
                scalar.span,
                help="write host: true in place of cgroup",
            )
            return ()
        if not form.lists or not has_variable(text):
            return (Pattern(text, scalar.span),) if self._has_meaning(scalar, text, form) else ()
        written = self._substituted(scalar)
        if written is None or not self._has_meaning(scalar, written, form):
            return ()
        return (Pattern(written, scalar.span),)

    def _substituted(self, scalar: Scalar) -> str | None:
        try:
            return substitute(scalar.text, lambda name: self.vars.value(name, scalar.span))
        except TooLong:
            self._findings.add(
                Code.PATTERN_TOO_LARGE,
                f"with its variables written out this has more than {limits.PATTERN_LENGTH}"
                " characters",
                scalar.span,
                help="a list of patterns in lists: may be as long as it likes",
            )
            return None

    def _variable(self, scalar: Scalar) -> Iterable[str]:
        """A variable's value: part of a pattern, whose own variables are written out."""
        if self._values.text(scalar, "a variable", limits.PATTERN_LENGTH) is None:
            return ()
        text = self._substituted(scalar) if has_variable(scalar.text) else scalar.text
        if text is None:
            return ()
        try:
            pattern_text.read(text)
        except PatternError as error:
            self._refuse(scalar, error, text)
            return ()
        return (text,)

    def _has_meaning(self, scalar: Scalar, text: str, form: Form) -> bool:
        try:
            if not form.before and text.startswith("{") and text is scalar.text:
                raise RelativePattern(
                    "a pattern starts with '/'", 0, 1, "write the '/' before the braces"
                )
            self._alternatives += len(patterns.expand(form.before + text))
            if self._alternatives > limits.ALTERNATIVES_PER_FILE:
                self._alternatives = 0
                raise TooManyAlternatives(
                    "up to here the braces in this file stand for more than"
                    f" {limits.ALTERNATIVES_PER_FILE} alternatives",
                    0,
                    len(text),
                )
        except PatternError as error:
            self._refuse(scalar, error, text, len(form.before))
            return False
        return True

    def _refuse(self, scalar: Scalar, error: PatternError, text: str, offset: int = 0) -> None:
        place, message = scalar.span, error.message
        if text == scalar.text:
            start, end = max(0, error.start - offset), max(0, error.end - offset)
            place = scalar.part(start, max(start, end))
        else:
            message = f"{message} in {quoted(text)}, which this stands for"
        self._findings.add(
            _PATTERN_CODES.get(type(error), Code.PATTERN_SYNTAX), message, place, help=error.help
        )

    def prefixes(self, node: Node, what: str) -> tuple[Prefix, ...]:
        """One prefix or set or a list of them."""
        found: dict[tuple[bytes, int], Prefix] = {}
        for scalar in self._distinct(node, what):
            for prefix in self._prefix(scalar):
                found.setdefault((prefix.address, prefix.length), prefix)
        return tuple(found.values())

    def _prefix(self, scalar: Scalar) -> Iterator[Prefix]:
        from guard.policy import net_text  # noqa: PLC0415 - most policies hold no address

        if self._values.text(scalar, "an address", limits.NAME_LENGTH) is None:
            return
        name = scalar.text[1:]
        if scalar.text.startswith(SIGN) and name in KNOWN_SETS:
            for text in KNOWN_SETS[name]:
                yield Prefix(*net_text.prefix(text), scalar.span)
        elif scalar.text.startswith(SIGN):
            yield from self.sets.value(name, scalar.span) or ()
        else:
            try:
                yield Prefix(*net_text.prefix(scalar.text), scalar.span)
            except net_text.NetError as error:
                place = scalar.part(error.start, error.end)
                self._findings.add(Code.BAD_ADDRESS, error.message, place, help=error.help)


_PATTERN_CODES: dict[type[PatternError], Code] = {
    RelativePattern: Code.PATTERN_RELATIVE,
    ImpossiblePattern: Code.PATTERN_IMPOSSIBLE,
    TooManyAlternatives: Code.PATTERN_TOO_LARGE,
}

_Problem = tuple[Code, str, str]


def _unit_problem(text: str) -> _Problem | None:
    """Why a text is no glob over units' names."""
    if re.fullmatch(UNIT_FORM, text) is None:
        return (
            Code.BAD_VALUE,
            f"{quoted(text)} is no unit that has a control group",
            (
                "a unit's name ends in .service, .slice, .scope, .socket, .mount or .swap,"
                " such as nginx.service"
            ),
        )
    if "**" in text:
        return Code.PATTERN_SYNTAX, "'**' crosses '/', which no unit's name holds", "write '*'"
    return None


def _abstract_problem(text: str) -> _Problem | None:
    if text.startswith(SIGN):
        return Code.BAD_VALUE, "an abstract socket's name is written without '@'", "leave it out"
    return None
