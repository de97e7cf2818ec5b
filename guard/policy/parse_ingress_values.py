# SPDX-License-Identifier: Apache-2.0
"""Typed readings of the ingress section's values: addresses, ports, flags, rates, names.

Each gives its value, or records a finding and leaves out what was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from typing import TypeVar

from guard.policy import limits, limits_ingress, prefixes
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, Related, quoted
from guard.policy.ingress import AddressSet, Prefix, Range, TcpFlags, Unit
from guard.policy.nodes import Node, Scalar, reading
from guard.policy.prefixes import Unread
from guard.policy.source import Span
from guard.policy.values import Field, Values, is_null
from guard.policy.vocabulary_ingress import (
    ALL,
    ETHERTYPES,
    FLAGS,
    INTERFACE_FORM,
    LOWEST_ETHERTYPE,
    NO_FLAGS,
    PROTOCOLS,
    RATE_TIMES,
    RATE_UNITS,
)

_K = TypeVar("_K")

_ALL_FLAGS = 0xFF


class Readings:
    """Reads nodes of the ingress section and records what is wrong with them."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._findings = values.findings

    def number(self, node: Node, what: str, low: int, high: int) -> int | None:
        """A whole number from ``low`` to ``high``, in decimal and without a leading zero."""
        scalar = self._values.scalar(node, what)
        return None if scalar is None else self._number(scalar, what, low, high)

    def _number(self, scalar: Scalar, what: str, low: int, high: int) -> int | None:
        text = scalar.text
        if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) and low <= int(text) <= high:
            return int(text)
        self._bad_number(scalar, what, f"a whole number from {low} to {high}")
        return None

    def _bad_number(self, scalar: Scalar, what: str, wanted: str) -> None:
        if is_null(scalar):
            self._findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span, help=wanted)
            return
        self._findings.add(
            Code.BAD_NUMBER, f"{what} cannot be {quoted(scalar.text)}", scalar.span, wanted
        )

    def ranges_of(self, fields: Table[str, Field], name: str, high: int) -> tuple[Range, ...]:
        """Numbers and ranges from 0 to ``high``, none where the key is not there."""
        if name not in fields:
            return ()
        found: dict[Range, Span] = {}
        for scalar in self._values.one_or_more(fields[name].value, name):
            one = self._range(scalar, name, high)
            if one is not None:
                self._keep(found, one, scalar, name)
        return tuple(found)

    def each_of(self, fields: Table[str, Field], name: str, high: int) -> tuple[int, ...]:
        """As ranges_of, each number by itself."""
        found: dict[int, None] = {}
        for first, last in self.ranges_of(fields, name, high):
            found.update(dict.fromkeys(range(first, last + 1)))
        return tuple(found)

    def _range(self, scalar: Scalar, what: str, high: int) -> Range | None:
        match = re.fullmatch(r"(0|[1-9][0-9]{0,9})(?:-(0|[1-9][0-9]{0,9}))?", scalar.text)
        if match:
            first = int(match[1])
            last = int(match[2]) if match[2] else first
            if first <= last <= high:
                return Range(first, last)
            if last < first <= high:
                self._findings.add(
                    Code.BAD_NUMBER,
                    f"the range {quoted(scalar.text)} ends before it begins",
                    scalar.span,
                    help=f"write {last}-{first}",
                )
                return None
        self._bad_number(scalar, what, f"a number from 0 to {high}, or a range such as 80-90")
        return None

    def _keep(self, found: dict[_K, Span], one: _K, scalar: Scalar, what: str) -> None:
        """Add an entry, unless it is there already, which is a finding."""
        first = found.setdefault(one, scalar.span)
        if first is not scalar.span and first != scalar.span:
            self._findings.add(
                Code.REPEATED,
                f"{quoted(scalar.text)} is listed twice in {what}",
                scalar.span,
                "again here",
                related=(Related(first, "first here"),),
            )

    def interfaces(self, node: Node, what: str) -> dict[str, Span]:
        """Names of interfaces, each with its place."""
        found: dict[str, Span] = {}
        for scalar in self._values.one_or_more(node, what):
            name = self.interface(scalar, what)
            if name is not None:
                self._keep(found, name, scalar, what)
        return found

    def interface(self, node: Node, what: str) -> str | None:
        """One interface's name."""
        scalar = self._values.text(node, what, limits.PATTERN_LENGTH)
        if scalar is None:
            return None
        if not re.fullmatch(INTERFACE_FORM, scalar.text):
            self._findings.add(
                Code.BAD_VALUE,
                f"no interface can be called {quoted(scalar.text)}",
                scalar.span,
                help="a name has 1 to 15 characters, no '/', no ':' and no space;"
                " patterns of names are not possible here",
            )
            return None
        return scalar.text

    def _words(
        self, node: Node, what: str, table: Table[str, int], low: int, high: int
    ) -> tuple[int, ...]:
        """Words of a table, or the numbers behind them; numbers may be hexadecimal when quoted."""
        found: dict[int, Span] = {}
        for scalar in self._values.one_or_more(node, what):
            number = self._word(scalar, what, table, low, high)
            if number is not None:
                self._keep(found, number, scalar, what)
        return tuple(found)

    def _word(
        self, scalar: Scalar, what: str, table: Table[str, int], low: int, high: int
    ) -> int | None:
        text = scalar.text
        if text in table:
            return table[text]
        if re.fullmatch(r"0|[1-9][0-9]{0,9}", text) and low <= int(text) <= high:
            return int(text)
        if is_null(scalar):
            self._findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span)
            return None
        if text[:1].isdigit():
            self._bad_number(scalar, what, f"a whole number from {low} to {high}, or a word")
            return None
        close = self._findings.suggest(text, table)
        self._findings.add(
            Code.BAD_VALUE,
            f"{what} cannot be {quoted(text)}",
            scalar.span,
            help=f"did you mean '{close}'?" if close else f"words here: {', '.join(table)}",
            fix=self._findings.edit(scalar.span, text, close, table),
        )
        return None

    def protocols(self, node: Node, what: str) -> tuple[int, ...]:
        """Protocols; empty for ``all``."""
        scalars = self._values.one_or_more(node, what)
        if len(scalars) == 1 and scalars[0].text == ALL:
            return ()
        for scalar in scalars:
            if scalar.text == ALL:
                self._findings.add(
                    Code.REPEATED,
                    f"'{ALL}' in {what} has every protocol in it",
                    scalar.span,
                    help=f"write {what}: {ALL}, or only the protocols that are meant",
                )
        found: dict[int, Span] = {}
        for scalar in scalars:
            if scalar.text == ALL:
                continue
            number = self._word(scalar, what, PROTOCOLS, 0, 255)
            if number is not None:
                self._keep(found, number, scalar, what)
        return tuple(found)

    def ethertypes(self, node: Node, what: str) -> tuple[int, ...]:
        """Kinds of frames besides IP; an empty list is none."""
        found = self._words(node, what, ETHERTYPES, LOWEST_ETHERTYPE, 0xFFFF)
        if len(found) > limits_ingress.ETHERTYPES:
            self._findings.add(
                Code.BAD_VALUE,
                f"{len(found)} ethertypes; at most {limits_ingress.ETHERTYPES} are allowed",
                node.span,
            )
        return found

    def types_of(
        self, fields: Table[str, Field], name: str, table: Table[str, int]
    ) -> tuple[int, ...]:
        """ICMP types, none where the key is not there."""
        return self._words(fields[name].value, name, table, 0, 255) if name in fields else ()

    def tcp_flags(self, node: Node) -> tuple[TcpFlags, ...]:
        """Sets of flags: those that must be set, and those with '!' that must not."""
        found: dict[TcpFlags, Span] = {}
        for scalar in self._values.one_or_more(node, "flags"):
            one = self._flags(scalar)
            if one is not None:
                self._keep(found, one, scalar, "flags")
        return tuple(found)

    def _flags(self, scalar: Scalar) -> TcpFlags | None:
        if scalar.text == NO_FLAGS:
            return TcpFlags(_ALL_FLAGS, 0)
        mask = value = 0
        for match in re.finditer(r"[^ ,]+", scalar.text):
            word = match[0].removeprefix("!")
            bit = FLAGS.get(word)
            if bit is None:
                close = self._findings.suggest(word, FLAGS)
                self._findings.add(
                    Code.BAD_VALUE,
                    f"{quoted(word)} is no TCP flag",
                    scalar.part(match.start(), match.end()),
                    help=f"did you mean '{close}'?" if close else f"they are {', '.join(FLAGS)}",
                )
                return None
            if mask & bit:
                self._findings.add(
                    Code.REPEATED,
                    f"the flag '{word}' stands twice",
                    scalar.part(match.start(), match.end()),
                )
                return None
            mask |= bit
            value |= bit if match[0] == word else 0
        if not mask:
            self._findings.add(Code.EMPTY_VALUE, "flags is empty", scalar.span)
            return None
        return TcpFlags(mask, value)

    def rate(self, node: Node) -> tuple[int, Unit] | None:
        """Units a second, and which; at least one."""
        scalar = self._values.scalar(node, "rate")
        if scalar is None:
            return None
        match = re.fullmatch(r"([1-9][0-9]{0,11}) ?([kMG]?B?)/([smh])", scalar.text)
        if match and match[2] in RATE_UNITS:
            times, unit = RATE_UNITS[match[2]]
            total, seconds = int(match[1]) * times, RATE_TIMES[match[3]]
            if total >= seconds and total // seconds <= limits_ingress.RATE:
                return total // seconds, unit
            small = total < seconds
            self._findings.add(
                Code.BAD_RATE,
                f"the rate {quoted(scalar.text)} is {'less than one' if small else 'too much'}"
                " a second",
                scalar.span,
                help=f"from 1/s to {limits_ingress.RATE}/s; allow a small burst for less, such as"
                " {rate: 1/s, burst: 3}"
                if small
                else f"from 1/s to {limits_ingress.RATE}/s",
            )
            return None
        if is_null(scalar):
            self._findings.add(Code.EMPTY_VALUE, "rate is empty", scalar.span)
            return None
        self._findings.add(
            Code.BAD_RATE,
            f"{quoted(scalar.text)} is no rate",
            scalar.span,
            help="packets such as 1000/s, 5k/s or 300/m, or bytes such as 10MB/s",
        )
        return None

    def prefixes(self, node: Node, what: str) -> tuple[Prefix, ...]:
        """Prefixes only."""
        found: dict[Prefix, Span] = {}
        for scalar in self._values.one_or_more(node, what):
            if scalar.text.startswith("@"):
                self._findings.add(
                    Code.BAD_ADDRESS,
                    f"a set cannot stand in {what}: {quoted(scalar.text)}",
                    scalar.span,
                    help="write its prefixes",
                )
                continue
            one = self._prefix(scalar, what)
            if one is not None:
                self._keep(found, one, scalar, what)
        return tuple(found)

    def addresses(
        self, node: Node, what: str, sets: Table[str, AddressSet] | None
    ) -> tuple[tuple[Prefix, ...], tuple[str, ...]]:
        """Prefixes, and names of sets after '@'. ``sets`` is None where they are not known."""
        found: dict[Prefix, Span] = {}
        names: dict[str, Span] = {}
        for scalar in self._values.one_or_more(node, what):
            if not scalar.text.startswith("@"):
                one = self._prefix(scalar, what)
                if one is not None:
                    self._keep(found, one, scalar, what)
                continue
            name = scalar.text[1:]
            if sets is not None and name not in sets:
                close = self._findings.suggest(name, sets)
                self._findings.add(
                    Code.UNDEFINED,
                    f"this section has no set {quoted(name)}",
                    scalar.span,
                    "no such set",
                    help=f"did you mean '@{close}'?" if close else f"add it: sets: {{{name}: []}}",
                )
                continue
            self._keep(names, name, scalar, what)
        return tuple(found), tuple(names)

    def _prefix(self, scalar: Scalar, what: str) -> Prefix | None:
        if is_null(scalar):
            self._findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span)
            return None
        if scalar.plain and reading(scalar.text) == "base60":
            # '1:2:3:4:5:6:7:8' is such a number to YAML 1.1: this tells so.
            self._values.text(scalar, what, limits.PATTERN_LENGTH)
            return None
        one = prefixes.read(scalar.text)
        if not isinstance(one, Unread):
            return one
        place = scalar.part(one.start, one.end)
        fix = None
        if one.help is not None and one.help.startswith("write ") and " for " not in one.help:
            replacement = one.help.removeprefix("write ")
            if prefixes.is_prefix(replacement) and place == scalar.span and scalar.plain:
                fix = Fix(place, f'"{replacement}"' if ":" in replacement else replacement)
        self._findings.add(Code.BAD_ADDRESS, one.message, place, help=one.help, fix=fix)
        return None
