# SPDX-License-Identifier: Apache-2.0
"""The manual's lists of record fields, made from the table of their fields.

docs/manual/records.md holds the result between two marks; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.audit.fields import Big, Field, Flag, Kinds, Many, Name, Number, Part, Text, Type
from guard.audit.own_fields import OWN
from guard.audit.record_fields import CHAIN, DECISION, HEAD

BEGIN = "<!-- fields: made by `guard schema --records --markdown` -->"
END = "<!-- end of fields -->"


def field_lists() -> str:
    """Markdown, marks included, with a newline at the end."""
    lines = [BEGIN, "", "### Every record", "", *_table((*HEAD, CHAIN))]
    lines += ["", "### Decisions", "", *_table(DECISION.members)]
    lines += ["", "### guard's own records", ""]
    for shape in OWN:
        names = ", ".join(f"`{event}`" for event in shape.events)
        lines += [f"{names}: {shape.meaning}.", "", *_table(shape.members), ""]
    return "\n".join([*lines, END]) + "\n"


def _table(members: tuple[Field, ...]) -> list[str]:
    rows = [f"| `{path}` | {kind} | {text} |" for path, kind, text in _rows(members, "")]
    return ["| field | type | meaning |", "|---|---|---|", *rows]


def _rows(members: tuple[Field, ...], prefix: str) -> Iterator[tuple[str, str, str]]:
    for field in members:
        path = prefix + field.name
        kind = _word(field.type)
        if field.null:
            kind += " or null"
        if not field.always:
            kind += ", or absent"
        yield path, kind, field.meaning
        yield from _below(field.type, path)


def _below(of: Type, path: str) -> Iterator[tuple[str, str, str]]:
    match of:
        case Part(members):
            yield from _rows(members, f"{path}.")
        case Many(item, _):
            yield from _below(item, f"{path}[]")
        case Kinds(forms):
            for kind, meaning, form in forms:
                yield f"{path}.kind", f"`{kind}`", meaning
                yield from _rows(form.members, f"{path}.")
        case _:
            return


def _word(of: Type) -> str:
    match of:
        case Text(words, _):
            return " \\| ".join(f"`{word}`" for word in words) if words else "text"
        case Name():
            return "name"
        case Number(least, most):
            return f"{least}" if least == most else "number"
        case Big():
            return "digits"
        case Flag():
            return "true or false"
        case Many(item, most):
            longest = "" if most is None else f", at most {most}"
            return f"list of {_word(item)}{longest}"
        case Part() | Kinds():
            return "object"
