# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the ingress section, made from its table of words.

What it cannot say, the parser alone judges: addresses exactly, ranges that end
before they begin, names of sets, and fields that no packet has together.
"""

from __future__ import annotations

from typing import Any

from guard.policy import limits, limits_ingress
from guard.policy.forms import GENERATED_ID_FORM, NAME_FORM
from guard.policy.vocabulary import Shape
from guard.policy.vocabulary_ingress import (
    ALL,
    DEFAULTS,
    ESTABLISHED,
    ETHERTYPES,
    FAMILIES,
    FLAGS_FORM,
    FRAGMENTS,
    ICMP6_TYPES,
    ICMP_TYPES,
    INGRESS,
    INGRESS_LIMIT,
    INGRESS_RULE,
    INGRESS_SET,
    INTERFACE_FORM,
    LOWEST_ETHERTYPE,
    MODES,
    PERS,
    PROTOCOLS,
    RATE_FORM,
    SHAPES,
    TUNNELS,
    UNREADABLE,
    Form,
)

Schema = dict[str, Any]

_PREFIX_FORM = r"[0-9a-fA-F:.]+(/[0-9]{1,3})?"
_DIGITS = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}


def section() -> Schema:
    """The schema of the section."""
    return _shape(INGRESS)


def _shape(shape: Shape) -> Schema:
    forms = next(forms for one, forms in SHAPES if one is shape)
    made: Schema = {
        "description": shape.meaning,
        "type": "object",
        "properties": {
            key.name: {"description": key.meaning, **_value(forms[key.name])} for key in shape.keys
        },
        "additionalProperties": False,
        "minProperties": 1,
        "required": [key.name for key in shape.keys if key.required],
    }
    if shape.exactly_one:
        made["oneOf"] = [{"required": [name]} for name in shape.exactly_one]
    return made


_WORDS = {
    Form.DEFAULT: list(DEFAULTS),
    Form.MODE: list(MODES),
    Form.FRAGMENTS: list(FRAGMENTS),
    Form.UNREADABLE: list(UNREADABLE),
    Form.TUNNELS: list(TUNNELS),
    Form.FAMILY: list(FAMILIES),
    Form.PER: list(PERS),
}


def _value(form: Form) -> Schema:
    if form in _WORDS:
        return {"enum": _WORDS[form]}
    match form:
        case Form.INTERFACES:
            return _one_or_more(_text(INTERFACE_FORM))
        case Form.INTERFACE:
            return _text(INTERFACE_FORM)
        case Form.SETS:
            return {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _name(),
                "additionalProperties": {
                    "anyOf": [
                        _text(_PREFIX_FORM),
                        {"type": "array", "uniqueItems": True, "items": _text(_PREFIX_FORM)},
                        _shape(INGRESS_SET),
                    ]
                },
            }
        case Form.RULES:
            return {"type": "array", "minItems": 1, "items": _shape(INGRESS_RULE)}
        case Form.ESTABLISHED:
            return {"anyOf": [{"type": "boolean"}, _shape(ESTABLISHED)]}
        case Form.ETHERTYPES:
            item = _word_or_number(ETHERTYPES, LOWEST_ETHERTYPE, 0xFFFF)
            some = {"type": "array", "uniqueItems": True, "items": item}
            return {"anyOf": [item, some | {"maxItems": limits_ingress.ETHERTYPES}]}
        case Form.FLAG:
            return {"type": "boolean"}
        case Form.RULE_ID:
            return {**_name(), "not": {"pattern": f"^{GENERATED_ID_FORM}$"}}
        case Form.TEXT:
            return {"type": "string", "maxLength": limits.TEXT_LENGTH, "pattern": r"\S"}
        case Form.FILE:
            return {"type": "string", "maxLength": limits.PATTERN_LENGTH, "pattern": r"\S"}
        case Form.PROTOCOLS:
            return {"anyOf": [{"const": ALL}, _one_or_more(_word_or_number(PROTOCOLS, 0, 255))]}
        case Form.ADDRESSES:
            return _one_or_more(_text(f"{_PREFIX_FORM}|@{NAME_FORM}"))
        case Form.PREFIXES:
            return _one_or_more(_text(_PREFIX_FORM))
        case Form.PORTS | Form.LENGTHS:
            return _one_or_more(_number_or_range(limits_ingress.PORT))
        case Form.VLANS:
            return _one_or_more(_number_or_range(limits_ingress.VLAN))
        case Form.TCP_FLAGS:
            return _one_or_more(_text(FLAGS_FORM))
        case Form.ICMP:
            return _one_or_more(_word_or_number(ICMP_TYPES, 0, 255))
        case Form.ICMP6:
            return _one_or_more(_word_or_number(ICMP6_TYPES, 0, 255))
        case Form.LIMIT:
            return _shape(INGRESS_LIMIT)
        case Form.RATE:
            return _text(RATE_FORM)
        case Form.CPU:
            return _number(0, limits_ingress.CPU)
        case Form.SAMPLE:
            return _number(0, limits_ingress.SAMPLE)
        case Form.BURST:
            return _number(1, limits_ingress.RATE)
        case _:
            raise AssertionError(f"no schema for {form}")


def _text(form: str) -> Schema:
    return {"type": "string", "pattern": f"^({form})$", "maxLength": limits.PATTERN_LENGTH}


def _name() -> Schema:
    return {"type": "string", "pattern": f"^{NAME_FORM}$", "maxLength": limits.NAME_LENGTH}


def _number(low: int, high: int) -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _DIGITS]}


def _number_or_range(high: int) -> Schema:
    some: list[Schema] = _number(0, high)["anyOf"]
    return {"anyOf": [*some, _text("(0|[1-9][0-9]*)-(0|[1-9][0-9]*)")]}


def _word_or_number(words: dict[str, int], low: int, high: int) -> Schema:
    some: list[Schema] = _number(low, high)["anyOf"]
    return {"anyOf": [{"enum": list(words)}, *some]}


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}]}
