# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of one policy document, made from the table of words.

It accepts the structure that the parser accepts. What it cannot say, the
parser alone judges: the meaning of patterns, ids that are given twice, and
spellings that YAML may misread.
"""

from __future__ import annotations

from typing import Any

from guard.policy import limits
from guard.policy.vocabulary import (
    EFFECTS,
    FILE,
    FILE_RULE,
    FILE_VERBS,
    GENERATED_ID_FORM,
    LANGUAGE_VERSION,
    MODES,
    NAME_FORM,
    OBJECT_FORM,
    POLICY,
    SUBJECT,
    TEST,
    VERB_WORDS,
    Key,
    Kind,
    Shape,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schema() -> Schema:
    """The schema, as the value that its JSON has."""
    return {"$schema": DIALECT, "title": "guard policy", **_shape(POLICY)}


def _shape(shape: Shape) -> Schema:
    made: Schema = {
        "description": shape.meaning,
        "type": "object",
        "properties": {key.name: {"description": key.meaning, **_value(key)} for key in shape.keys},
        "additionalProperties": False,
        "required": [key.name for key in shape.keys if key.required],
    }
    if shape.exactly_one:
        made["oneOf"] = [{"required": [name]} for name in shape.exactly_one]
    if shape.at_least_one:
        made["anyOf"] = [{"required": [name]} for name in shape.at_least_one]
    if shape is SUBJECT:
        made["dependentRequired"] = {"inherit": ["exe"]}
    return made


def _value(key: Key) -> Schema:
    """The schema of a key's value. Descriptions come from the key."""
    match key.kind:
        case Kind.VERSION:
            return {"type": "integer", "const": LANGUAGE_VERSION}
        case Kind.NAME:
            return _name()
        case Kind.RULE_ID:
            return {**_name(), "not": {"pattern": f"^{GENERATED_ID_FORM}$"}}
        case Kind.TEXT:
            return {"type": "string", "maxLength": limits.TEXT_LENGTH, "pattern": r"\S"}
        case Kind.FLAG:
            return {"type": "boolean"}
        case Kind.TRUE:
            return {"const": True}
        case Kind.MODE:
            return {"enum": list(MODES)}
        case Kind.EFFECT:
            return {"enum": list(EFFECTS)}
        case Kind.VERBS:
            return _one_or_more(
                {
                    "oneOf": [
                        {"const": verb.name.lower(), "description": meaning}
                        for verb, meaning in FILE_VERBS.items()
                    ]
                }
            )
        case Kind.PATTERNS:
            return _one_or_more(
                {"type": "string", "pattern": "^/", "maxLength": limits.PATTERN_LENGTH}
            )
        case Kind.RULES:
            return {"type": "array", "minItems": 1, "items": _shape(FILE_RULE)}
        case Kind.SUBJECT:
            return _shape(SUBJECT)
        case Kind.FILE:
            return _shape(FILE)
        case Kind.TESTS:
            return {"type": "array", "minItems": 1, "items": _shape(TEST)}
        case Kind.OPERATION:
            return {
                "type": "string",
                "pattern": f"^({'|'.join(VERB_WORDS)}) ({OBJECT_FORM})$",
                "maxLength": limits.PATTERN_LENGTH,
            }
        case Kind.RULE_NAME:
            return _name()


def _name() -> Schema:
    return {"type": "string", "pattern": f"^{NAME_FORM}$", "maxLength": limits.NAME_LENGTH}


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}]}
