# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of guard's own records, made from the table of their fields.

It says all that the table says: a record that it accepts has the members of
its kind, and no others.
"""

from __future__ import annotations

from typing import Any

from guard.audit.fields import (
    SCHEMA,
    Big,
    Field,
    Flag,
    Kinds,
    Many,
    Name,
    Number,
    Part,
    Shape,
    Text,
    Type,
)
from guard.audit.record_fields import CHAIN, HEAD, SHAPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Behind the readable member of a name that is not UTF-8: all its bytes.
HEX = "_hex"

_NAME = "#/$defs/bytes"

Schema = dict[str, Any]


def record_schema() -> Schema:
    """The schema (draft 2020-12), as the value that its JSON has."""
    return {
        "$schema": DIALECT,
        "title": f"guard audit record, version {SCHEMA}",
        "description": "One line of guard's audit stream.",
        "type": "object",
        "oneOf": [{"$ref": f"#/$defs/{shape.title}"} for shape in SHAPES],
        "$defs": {
            "bytes": {"type": "string", "pattern": "^([0-9a-f]{2})+$"},
            **{shape.title: _shape(shape) for shape in SHAPES},
        },
    }


def _shape(shape: Shape) -> Schema:
    if shape.pattern:
        event: Schema = {"type": "string", "pattern": shape.events[0]}
    else:
        event = {"enum": list(shape.events)}
    made = _object((*HEAD, *shape.members, CHAIN))
    made["properties"]["event"].update(event)
    return {"description": shape.meaning, **made}


def _object(members: tuple[Field, ...]) -> Schema:
    properties: Schema = {}
    for field in members:
        properties[field.name] = {"description": field.meaning, **_nullable(field)}
        if isinstance(field.type, Name):
            properties[field.name + HEX] = {
                "description": f"all bytes of {field.name}, only where it is not exact",
                "$ref": _NAME,
            }
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in members if field.always],
        "additionalProperties": False,
    }


def _nullable(field: Field) -> Schema:
    made = _value(field.type)
    if not field.null:
        return made
    if "enum" in made:
        return {**made, "enum": [*made["enum"], None], "type": [made["type"], "null"]}
    if isinstance(made.get("type"), str):
        return {**made, "type": [made["type"], "null"]}
    return {"anyOf": [made, {"type": "null"}]}


def _value(of: Type) -> Schema:
    match of:
        case Text(words, pattern):
            made: Schema = {"type": "string"}
            if words:
                made["enum"] = [str(word) for word in words]
            if pattern:
                made["pattern"] = pattern
            return made
        case Name():
            return {"type": "string"}
        case Number(least, most):
            if least == most:
                return {"type": "integer", "const": least}
            return {"type": "integer", "minimum": least, "maximum": most}
        case Big():
            return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,19})$"}
        case Flag():
            return {"type": "boolean"}
        case Many(item, most):
            made = {"type": "array", "items": _value(item)}
            if most is not None:
                made["maxItems"] = most
            return made
        case Part(members):
            return _object(members)
        case Kinds(forms):
            return {"oneOf": [_form(*form) for form in forms]}


def _form(kind: str, meaning: str, form: Part) -> Schema:
    told = Field("kind", Text((kind,)), "which form this is")
    return {"description": meaning, **_object((told, *form.members))}
