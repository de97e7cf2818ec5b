# SPDX-License-Identifier: Apache-2.0
"""Typed readings of nodes: mappings by their shape, words, names, flags, patterns.

Each reading gives its value, or None after it has recorded the finding.
Knows the forms of values, not what a policy means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from typing import NamedTuple, TypeVar

from guard.policy import limits
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, Related, quoted
from guard.policy.findings import Findings
from guard.policy.forms import GENERATED_ID_FORM, NAME_FORM, NAME_FORM_WORDS
from guard.policy.nodes import Broken, Mapping, Node, Scalar, Sequence, reading
from guard.policy.source import Span
from guard.policy.vocabulary import Shape

_T = TypeVar("_T")

_READINGS = {
    "boolean": (Code.BOOLEAN_WORD, "YAML may read {} as true or false"),
    "octal": (Code.OCTAL, "YAML may read {} as an octal number"),
    "base60": (Code.BASE_60, "YAML may read {} as a number in base 60"),
    "number": (Code.NUMBER, "YAML reads {} as a number"),
    "date": (Code.NOT_TEXT, "YAML may read {} as a date"),
    "null": (Code.NOT_TEXT, "YAML reads {} as null, which is no value"),
}


class Field(NamedTuple):
    """One entry of a mapping."""

    key: Scalar
    value: Node


def described(node: Node) -> str:
    """What a value is, in the words of a message."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Scalar):
        if not node.plain:
            return f"the text {quoted(node.text)}"
        kind = reading(node.text)
        if kind == "null":
            return "nothing"
        return f"the {'text' if kind == 'text' else kind} {quoted(node.text)}".replace(
            "the octal", "the number"
        ).replace("the base60", "the number")
    return "nothing"


def double_quoted(text: str) -> str:
    """Printable text of one line as YAML's double quotes hold it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_null(node: Node) -> bool:
    """A key with nothing after it."""
    return isinstance(node, Scalar) and node.plain and node.text == ""


_EFFECT_WORDS = frozenset({"action", "effect", "verdict", "permission", "access", "policy"})


class Values:
    """Reads nodes and records what is wrong with them."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def mapping(self, node: Node, shape: Shape, place: Span | None) -> dict[str, Field] | None:
        """The known entries of a mapping of this shape.

        ``place`` is where the mapping's own key stands; missing keys are told there.
        """
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            self._wrong(node, f"a {shape.title} is a mapping of keys and values", place)
            return None
        if not node.entries and not node.incomplete:
            self.findings.add(Code.EMPTY_VALUE, f"this {shape.title} is empty", node.span)
            return None
        known = {key.name for key in shape.keys}
        fields: dict[str, Field] = {}
        misspelt: set[str] = set()
        guesses: dict[str, Field] = {}
        for key, value in node.entries:
            if key.text in known:
                fields[key.text] = Field(key, value)
            elif key.text in shape.planned:
                misspelt.add(key.text)
                self.findings.add(
                    Code.NOT_ENFORCED,
                    f"'{key.text}' in a {shape.title} is not enforced by this version of guard",
                    key.span,
                    help="leave it out: guard refuses what it would not enforce",
                )
            else:
                meant = self._unknown_key(key, shape, known)
                misspelt.add(meant)
                if meant in known and self.findings.certain(key.text, meant):
                    guesses.setdefault(meant, Field(key, value))
        fields = guesses | fields
        if place is None:
            place = node.entries[0][0].span if node.entries else node.span
        self._check_presence(node, shape, fields, misspelt, place)
        return fields

    def _unknown_key(self, key: Scalar, shape: Shape, known: set[str]) -> str:
        close = self.findings.suggest(key.text, known)
        if key.text.lower() in _EFFECT_WORDS and {"allow", "deny"} <= known:
            # Of other tools' languages: what is missing then is this one's word for it.
            close, help = None, "the effect is itself the key: allow: read, or deny: read"
            told = "allow"
        elif close is None:
            told = key.text
            names = ", ".join(each.name for each in shape.keys)
            help = f"a {shape.title} has the keys {names}"
        else:
            told, help = close, f"did you mean '{close}'?"
        self.findings.add(
            Code.UNKNOWN_KEY,
            f"a {shape.title} has no key {quoted(key.text)}",
            key.span,
            "unknown key",
            help=help,
            fix=self.findings.edit(key.span, key.text, close, known),
        )
        return told

    def _check_presence(
        self,
        node: Mapping,
        shape: Shape,
        fields: dict[str, Field],
        misspelt: set[str],
        place: Span,
    ) -> None:
        """Missing keys, and keys that exclude one another.

        A key that was written wrongly, and told so, is not missed a second time.
        """
        chosen = [name for name in shape.exactly_one if name in fields]
        if len(chosen) > 1:
            first, second = fields[chosen[0]].key, fields[chosen[1]].key
            if second.start < first.start:
                first, second = second, first
            several = "both" if len(shape.exactly_one) == 2 else "several"
            self.findings.add(
                Code.EXACTLY_ONE,
                f"a {shape.title} has {either(shape.exactly_one)}, not {several}",
                second.span,
                "and here the other",
                related=(Related(first.span, "one of them here"),),
            )
        if node.incomplete:
            return
        for name, other, reason in shape.needs:
            told = other in misspelt or (other in shape.exactly_one and not chosen)
            if name in fields and other not in fields and not told:
                instead = chosen[:1] if other in shape.exactly_one else []
                self.findings.add(
                    Code.NOT_TOGETHER,
                    f"{name} has no meaning without {other}: {reason}",
                    fields[name].key.span,
                    related=tuple(Related(fields[each].key.span, "here") for each in instead),
                    help=f"leave {name} out",
                )
        for key in shape.keys:
            if key.required and key.name not in fields and key.name not in misspelt:
                self.findings.add(
                    Code.MISSING_KEY,
                    f"this {shape.title} has no '{key.name}'",
                    place,
                    f"'{key.name}' is missing",
                    help=f"for example {key.name}: {key.example}",
                )
        meant = misspelt & (set(shape.exactly_one) | shape.planned)
        if shape.exactly_one and not chosen and not meant:
            self.findings.add(
                Code.EXACTLY_ONE,
                f"this {shape.title} has none of {', '.join(shape.exactly_one)}"
                if len(shape.exactly_one) > 2
                else f"this {shape.title} has neither {' nor '.join(shape.exactly_one)}",
                place,
                f"{either(shape.exactly_one)} is missing",
            )
        one = shape.at_least_one
        if one and not any(name in fields for name in one) and not misspelt:
            self.findings.add(
                Code.NOTHING_GATED,
                f"this {shape.title} gates nothing: it has no section",
                place,
                help=f"add a section: {', '.join(one)}",
            )

    def _wrong(self, node: Node, wanted: str, place: Span | None = None) -> None:
        if is_null(node) and place is not None:
            self.findings.add(Code.EMPTY_VALUE, f"{wanted}; nothing follows here", place)
        else:
            self.findings.add(Code.WRONG_KIND, wanted, node.span, f"this is {described(node)}")

    def scalar(self, node: Node, what: str) -> Scalar | None:
        """A single value of any kind."""
        if isinstance(node, Scalar):
            return node
        if not isinstance(node, Broken):
            self._wrong(node, f"{what} is a single value")
        return None

    def text(self, node: Node, what: str, limit: int) -> Scalar | None:
        """Text: quoted, or such that no version of YAML reads it as anything else."""
        scalar = self.scalar(node, what)
        if scalar is None:
            return None
        if scalar.plain:
            if scalar.text == "":
                self.findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span)
                return None
            kind = reading(scalar.text)
            if kind != "text":
                code, words = _READINGS[kind]
                shown = quoted(scalar.text)
                self.findings.add(
                    code,
                    f"{what} is text, and {words.format(shown)}",
                    scalar.span,
                    help=f"write {double_quoted(scalar.text)}",
                    fix=Fix(scalar.span, double_quoted(scalar.text)),
                )
                return None
        if not scalar.text.strip():
            self.findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span)
            return None
        if len(scalar.text) > limit:
            self.findings.add(
                Code.BAD_VALUE,
                f"{what} has {len(scalar.text)} characters; at most {limit} are allowed",
                scalar.span,
            )
            return None
        return scalar

    def name(self, node: Node, what: str, *, is_rule_id: bool = False) -> Scalar | None:
        """A policy's name or a rule's id."""
        scalar = self.text(node, what, limits.NAME_LENGTH)
        if scalar is None:
            return None
        if not re.fullmatch(NAME_FORM, scalar.text):
            match = re.match(NAME_FORM, scalar.text)
            bad = match.end() if match else 0
            self.findings.add(
                Code.BAD_NAME,
                f"{what} cannot hold {quoted(scalar.text[bad])} here",
                scalar.part(bad, bad + 1),
                help=f"{what} is made of {NAME_FORM_WORDS}",
            )
            return None
        if is_rule_id and re.fullmatch(GENERATED_ID_FORM, scalar.text):
            self.findings.add(
                Code.BAD_NAME,
                f"the id {quoted(scalar.text)} is of the form kept for rules without one",
                scalar.span,
                help="leave the id out, or choose one that says what the rule is for",
            )
            return None
        return scalar

    def flag(self, node: Node, what: str) -> bool | None:
        """true or false, written so."""
        scalar = self.scalar(node, what)
        if scalar is None:
            return None
        if scalar.plain and scalar.text in ("true", "false"):
            return scalar.text == "true"
        if scalar.plain and reading(scalar.text) == "boolean":
            meant = "true" if scalar.text.lower() in ("y", "yes", "true", "on") else "false"
            self.findings.add(
                Code.BOOLEAN_WORD,
                f"{what} is true or false, and not every version of YAML reads"
                f" {quoted(scalar.text)} so",
                scalar.span,
                help=f"write {meant}",
                fix=Fix(scalar.span, meant),
            )
            return None
        self.findings.add(
            Code.BAD_VALUE,
            f"{what} is true or false, without quotes",
            scalar.span,
            f"this is {described(scalar)}",
            fix=Fix(scalar.span, scalar.text) if scalar.text in ("true", "false") else None,
        )
        return None

    def word(self, node: Node, what: str, table: Table[str, _T]) -> _T | None:
        """One of a few words."""
        scalar = self.scalar(node, what)
        if scalar is None:
            return None
        if scalar.text in table:
            return table[scalar.text]
        choices = either(tuple(table))
        if is_null(scalar):
            self.findings.add(Code.EMPTY_VALUE, f"{what} is empty", scalar.span, help=choices)
            return None
        close = self.findings.suggest(scalar.text, table)
        self.findings.add(
            Code.BAD_VALUE,
            f"{what} cannot be {quoted(scalar.text)}",
            scalar.span,
            f"{choices} is wanted",
            help=f"did you mean '{close}'?" if close else None,
            fix=self.findings.edit(scalar.span, scalar.text, close, table),
        )
        return None

    def one_or_more(self, node: Node, what: str) -> list[Scalar]:
        """A single value or a list of them; entries that are neither are told and left out."""
        if isinstance(node, Broken):
            return []
        if isinstance(node, Sequence):
            if not node.items:
                self.findings.add(
                    Code.EMPTY_VALUE,
                    f"{what} is an empty list",
                    node.span,
                    help="name one at least, or leave the key out",
                )
            return [
                scalar
                for item in node.items
                if (scalar := self.scalar(item, f"an entry of {what}")) is not None
            ]
        if isinstance(node, Scalar):
            return [node]
        self._wrong(node, f"{what} is a single value or a list of them")
        return []


def either(words: tuple[str, ...]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
