# SPDX-License-Identifier: Apache-2.0
"""Every record that guard writes is as its schema says, and the manual lists the same fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from guard.audit.record_fields import SHAPES
from guard.audit.schema import record_schema
from guard.audit.schema_docs import BEGIN, END, field_lists
from tests.audit.records import Flat, decisions, everything, hostile_records

SCHEMA = record_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EVERYTHING = everything()
MANUAL = Path(__file__).parents[2] / "docs" / "manual" / "records.md"


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_kind_of_record_is_as_the_schema_says(name: str) -> None:
    VALIDATOR.validate(EVERYTHING[name])


def test_records_of_processes_that_nobody_looked_up_are_valid_too() -> None:
    for record in decisions().values():
        VALIDATOR.validate(record)


@settings(max_examples=150, deadline=None)
@given(hostile_records())
def test_hostile_records_are_as_the_schema_says(record: Flat) -> None:
    VALIDATOR.validate(record)


def test_every_shape_of_record_is_among_the_samples() -> None:
    events = {record["event"] for record in EVERYTHING.values()}
    named = {event for shape in SHAPES if not shape.pattern for event in shape.events}
    assert named <= events
    kinds = {form["properties"]["kind"]["enum"][0] for form in _object_forms()}
    assert kinds == {one["object"]["kind"] for one in EVERYTHING.values() if "object" in one}


def _object_forms() -> list[dict[str, Any]]:
    forms: list[dict[str, Any]] = SCHEMA["$defs"]["decision"]["properties"]["object"]["oneOf"]
    return forms


def _members(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the members of all objects in a record are."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield (*at, name)
            yield from _members(item, (*at, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _members(item, (*at, number))


OPTIONAL = {"hash", "to", "device", "inode", "stack", "chain", "masks", "path", "abstract"}


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_member_that_is_missing_or_unknown_is_no_record(name: str) -> None:
    for where in _members(EVERYTHING[name]):
        record = json.loads(json.dumps(EVERYTHING[name]))
        group = record
        for step in where[:-1]:
            group = group[step]
        group[f"{where[-1]}-unknown"] = 1
        assert not VALIDATOR.is_valid(record), where
        del group[f"{where[-1]}-unknown"]
        del group[where[-1]]
        if where[-1] not in OPTIONAL and not str(where[-1]).endswith("_hex"):
            assert not VALIDATOR.is_valid(record), where


def test_the_manual_lists_the_fields_as_they_are() -> None:
    text = MANUAL.read_text()
    assert text[text.index(BEGIN) : text.index(END) + len(END) + 1] == field_lists()
