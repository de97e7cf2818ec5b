# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the shipper's configuration, made from the table of settings."""

from __future__ import annotations

from typing import Any

from guard.ship.config import SINKS_LIMIT
from guard.ship.settings import CONFIG, SINKS, Group, Setting

Schema = dict[str, Any]

# Settings that mean nothing without each other, in whichever group has both.
_PAIRS = (("certificate", "key"), ("user", "password"))


def schema() -> Schema:
    """The schema, as the value that its JSON has."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "guard ship",
        **_group(CONFIG),
    }


def _group(group: Group) -> Schema:
    names = {one.name for one in group.settings}
    made: Schema = {
        "description": group.meaning,
        "type": "object",
        "properties": {one.name: _setting(one) for one in group.settings},
        "additionalProperties": False,
        "minProperties": 1,
        "required": [one.name for one in group.settings if one.required],
    }
    if group.exactly_one:
        made["oneOf"] = [{"required": [name]} for name in group.exactly_one]
    needed = {
        one: [other] for pair in _PAIRS if set(pair) <= names for one, other in (pair, pair[::-1])
    }
    if needed:
        made["dependentRequired"] = needed
    return made


def _setting(setting: Setting) -> Schema:
    if setting.name == "sinks":
        made: Schema = {
            "type": "array",
            "minItems": 1,
            "maxItems": SINKS_LIMIT,
            "items": {"oneOf": [_group(group) for group in SINKS.values()]},
        }
    elif isinstance(setting.of, Group):
        made = _group(setting.of)
    else:
        made = dict(setting.of.schema)
    return {**made, "description": setting.meaning}
