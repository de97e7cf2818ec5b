# SPDX-License-Identifier: Apache-2.0
"""The words that the table of record fields is written in.

Knows JSON's types and guard's rules for names and big numbers; no field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

# The version of all records. Counts up when a member is removed or changes its
# meaning; a member that is added changes nothing for who ignores unknown ones.
SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A string. ``words``: the only ones there are; ``pattern``: a regular expression of all."""

    words: tuple[str, ...] = ()
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """Bytes that somebody chose: readable text, with a ``_hex`` twin where that is not exact."""


@dataclass(frozen=True, slots=True)
class Number:
    """An integer that every reader of JSON keeps: below 2^53."""

    least: int = 0
    most: int = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Big:
    """An integer of up to 64 bits, as a decimal string: many readers keep 53 bits of a number."""


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list. ``most``: its longest, None if other limits bound it."""

    of: Type
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """An object with just these members."""

    members: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Kinds:
    """An object of one of several forms, told by its first member ``kind``."""

    forms: tuple[tuple[str, str, Part], ...]  # kind, meaning, members


Type: TypeAlias = Text | Name | Number | Big | Flag | Many | Part | Kinds


@dataclass(frozen=True, slots=True)
class Field:
    """A member. ``null``: its value may be null; ``always``: it is never left out."""

    name: str
    type: Type
    meaning: str
    null: bool = False
    always: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """All records with one of these values of ``event``.

    ``events``: the values themselves, or one regular expression if ``pattern``.
    ``members`` come after those that every record has.
    """

    title: str
    events: tuple[str, ...]
    meaning: str
    members: tuple[Field, ...]
    pattern: bool = False


def part(members: Iterable[Field]) -> Part:
    """An object with these members."""
    return Part(tuple(members))
