# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of one policy document or fragment, made from the table of words.

It accepts the structure that the parser accepts. What it cannot say, the
parser alone judges: the meaning of patterns, of names that are defined
elsewhere and of addresses, ids that are given twice, and spellings that YAML
may misread.
"""

from __future__ import annotations

from typing import Any

from guard.policy import limits, schema_ingress
from guard.policy.forms import (
    ACCOUNT_FORM,
    DIGEST_FORM,
    GENERATED_ID_FORM,
    INCLUDE_FORM,
    NAME_FORM,
    OBJECT_FORM,
    TAG_FORM,
    UNIT_FORM,
    VAR_FORM,
)
from guard.policy.networds import FAMILIES, NETLINK_PROTOCOLS, PORT_TYPES, PROTOCOLS, TYPES
from guard.policy.parse_subject import MOST_ID
from guard.policy.vocabulary import (
    EFFECTS,
    ERRNOS,
    FRAGMENT,
    LANGUAGE_VERSION,
    MODES,
    POLICY,
    SHAPES,
    Key,
    Kind,
    Shape,
)
from guard.policy.words import EXEC, FILE, KERNEL, NET, Verbs

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
_LISTS = (
    Kind.FILE_RULES,
    Kind.EXEC_RULES,
    Kind.NET_RULES,
    Kind.KERNEL_RULES,
    Kind.TESTS,
)
_VERBS: dict[Kind, Verbs[Any]] = {
    Kind.FILE_VERBS: FILE,
    Kind.EXEC_VERBS: EXEC,
    Kind.NET_VERBS: NET,
    Kind.KERNEL_OPS: KERNEL,
}
_WORDS: dict[Kind, list[str]] = {
    Kind.MODE: list(MODES),
    Kind.EFFECT: list(EFFECTS),
    Kind.ERRNO: list(ERRNOS),
}


def schema() -> Schema:
    """The schema, as the value that its JSON has."""
    return {
        "$schema": DIALECT,
        "title": "guard policy",
        "if": {"required": ["fragment"]},
        "then": _shape(FRAGMENT),
        "else": _shape(POLICY),
    }


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
    if shape.needs:
        made["dependentRequired"] = {name: [other] for name, other, _ in shape.needs}
    return made


def _value(key: Key) -> Schema:
    """The schema of a key's value. Descriptions come from the key."""
    kind = key.kind
    if kind in SHAPES:
        one = _shape(SHAPES[kind])
        return {"type": "array", "minItems": 1, "items": one} if kind in _LISTS else one
    if kind in _VERBS:
        return _one_or_more(_verb(_VERBS[kind]))
    if kind in _WORDS:
        return {"enum": _WORDS[kind]}
    if kind in _TEXTS:
        return _one_or_more(_TEXTS[kind])
    return _single(kind)


def _single(kind: Kind) -> Schema:
    match kind:
        case Kind.VERSION:
            return {"type": "integer", "const": LANGUAGE_VERSION}
        case Kind.NAME | Kind.RULE_NAME:
            return _name()
        case Kind.RULE_ID:
            return {**_name(), "not": {"pattern": f"^{GENERATED_ID_FORM}$"}}
        case Kind.TEXT:
            return {"type": "string", "maxLength": limits.TEXT_LENGTH, "pattern": r"\S"}
        case Kind.FLAG:
            return {"type": "boolean"}
        case Kind.TRUE:
            return {"const": True}
        case Kind.DATE:
            pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
            return {"type": "string", "pattern": pattern, "format": "date"}
        case Kind.TAGS:
            tags = _one_or_more(_text(f"^{TAG_FORM}$", limits.NAME_LENGTH))
            tags["anyOf"][1]["maxItems"] = limits.TAGS
            return tags
        case Kind.SETS:
            return _names(NAME_FORM, _TEXTS[Kind.PREFIXES])
        case Kind.LISTS:
            return _names(NAME_FORM, _TEXTS[Kind.PATTERNS])
        case Kind.VARS:
            return _names(VAR_FORM, _text(r"\S", limits.PATTERN_LENGTH))
        case Kind.INGRESS:
            return schema_ingress.section()
        case Kind.OPERATION:
            return _text(f"^({'|'.join(_operations())})$", limits.PATTERN_LENGTH)
        case _:
            raise AssertionError(f"no schema for {kind}")


def _text(pattern: str, most: int) -> Schema:
    return {"type": "string", "pattern": pattern, "maxLength": most}


_PATH = rf"^(/|\$\{{{VAR_FORM}\}}|@)"

_TEXTS: dict[Kind, Schema] = {
    Kind.PATTERNS: _text(_PATH, limits.PATTERN_LENGTH),
    Kind.EXEC_PATTERNS: _text(f"{_PATH}|^anonymous$", limits.PATTERN_LENGTH),
    Kind.UNITS: _text(f"^{UNIT_FORM}$", limits.PATTERN_LENGTH),
    Kind.CGROUPS: _text(r"^/[^\x00]", limits.PATTERN_LENGTH),
    Kind.ABSTRACT: {**_text(r"^(?!@)[\s\S]*\S", limits.PATTERN_LENGTH)},
    Kind.PREFIXES: _text(r"^(@|[0-9A-Fa-f:])", limits.NAME_LENGTH),
    Kind.FAMILIES: {"enum": list(FAMILIES)},
    Kind.TYPES: {"enum": list(TYPES)},
    Kind.PROTOCOLS: {
        "anyOf": [
            {"enum": list(dict.fromkeys((*PROTOCOLS, *NETLINK_PROTOCOLS)))},
            {"type": "integer", "minimum": 0, "maximum": 65535},
        ]
    },
    Kind.PORTS: {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 65535},
            {"type": "string", "pattern": f"^{_PORT}(-{_PORT})?$"},
        ]
    },
    Kind.ACCOUNTS: {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MOST_ID},
            _text(f"^{ACCOUNT_FORM}$", limits.NAME_LENGTH),
        ]
    },
    Kind.CONTENTS: _text(f"^{DIGEST_FORM}$", limits.DIGEST_LENGTH),
    Kind.INCLUDE: _text(f"^{INCLUDE_FORM}$", limits.PATTERN_LENGTH),
}


def _verb(table: Verbs[Any]) -> Schema:
    return {
        "oneOf": [
            {"const": word, "description": table.meanings[member]}
            for word, member in table.words.items()
        ]
    }


def _names(form: str, item: Schema) -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{form}$", "maxLength": limits.NAME_LENGTH},
        "additionalProperties": _one_or_more(item),
    }


def _operations() -> list[str]:
    """The forms of operations in words: guard.policy.operations and operations_net."""
    verbs = "|".join(NET.words)
    families, types = "|".join(FAMILIES), "|".join(TYPES)
    with_ports = "|".join(PORT_TYPES)
    without = "|".join(name for name in PROTOCOLS if name not in PORT_TYPES)
    address = r"([0-9][0-9A-Za-z.]*|\[[0-9A-Za-z:.]+\])"
    name = r"@[^\x00]+"
    return [
        f"({'|'.join(FILE.words)}) ({OBJECT_FORM})",
        f"({'|'.join(EXEC.words)}) ({OBJECT_FORM}|anonymous)",
        "|".join(KERNEL.words),
        f"(bind|connect|send) unix ({OBJECT_FORM})",
        f"({verbs}) unix( ({types}))? {name}",
        f"({verbs}) ({families}) ({types})( [a-z0-9_]+)?",
        f"(bind|listen|accept) ({with_ports}) {address}?:{_PORT}",
        f"(connect|send) ({with_ports}) {address}:{_PORT}",
        f"(bind|listen|accept|connect|send) ({without}) {address}",
    ]


def _name() -> Schema:
    return _text(f"^{NAME_FORM}$", limits.NAME_LENGTH)


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}]}
