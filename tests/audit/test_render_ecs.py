# SPDX-License-Identifier: Apache-2.0
"""Every record is an ECS 9.4.0 document: no field that ECS does not have, each of its type."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from guard.audit.render_ecs import ecs, render_ecs
from tests.audit.records import Flat, everything, hostile_records

EVERYTHING = everything()

_ROWS = (Path(__file__).parent / "data" / "ecs-9.4.0.tsv").read_text().splitlines()
FIELDS = dict(row.split("\t") for row in _ROWS if not row.startswith("#"))

# The allowed values of ECS's categorization fields, and of event.type per category:
# https://www.elastic.co/guide/en/ecs/current/ecs-category-field-values-reference.html
KINDS = {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"}
TYPES = {
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "host": {"access", "change", "end", "info", "start"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "network": {
        *("access", "allowed", "connection", "denied", "end", "info", "protocol", "start"),
    },
    "process": {"access", "change", "end", "info", "start"},
}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a document by their dotted names, guard's own namespace left out."""
    for name, item in value.items():
        full = f"{path}{name}"
        if full == "guard":
            continue
        if isinstance(item, dict) and FIELDS.get(full) != "object":
            yield from leaves(item, full + ".")
        else:
            yield full, item


def check(document: dict[str, Any]) -> None:
    """Raises if ECS does not have a field, or has it with another type."""
    for name, value in leaves(document):
        assert name in FIELDS, name
        kind = FIELDS[name]
        values = value if kind == "strings" and isinstance(value, list) else [value]
        for one in values:
            match kind:
                case "string" | "strings":
                    assert isinstance(one, str), name
                case "number":
                    assert isinstance(one, int) and not isinstance(one, bool), name
                case "boolean":
                    assert isinstance(one, bool), name
        if name in ("@timestamp", "process.start", "process.parent.start"):
            assert datetime.fromisoformat(value).tzinfo is not None
        if name in ("source.ip", "destination.ip"):
            ipaddress.ip_address(value)
    event = document["event"]
    assert event["kind"] in KINDS
    assert event["outcome"] in {"failure", "success", "unknown"}
    assert event["category"]
    allowed = set().union(*(TYPES[category] for category in event["category"]))
    assert set(event["type"]) <= allowed, event


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_kind_of_record_is_an_ecs_document(name: str) -> None:
    line = render_ecs(EVERYTHING[name])
    assert line.isascii() and b"\n" not in line
    check(json.loads(line))


@settings(max_examples=150, deadline=None)
@given(hostile_records())
def test_hostile_records_are_ecs_documents_and_lose_no_byte(record: Flat) -> None:
    line = render_ecs(record)
    assert line.isascii() and b"\n" not in line
    document = orjson.loads(line)
    check(document)
    for group in ("object", "process"):
        for name, value in (record.get(group) or {}).items():
            if name.endswith("_hex"):
                assert document["guard"][group][name] == value


def test_a_denied_read_says_who_did_what_and_why() -> None:
    document = ecs(EVERYTHING["open"])
    assert document["event"]["category"] == ["file", "intrusion_detection"]
    assert document["event"]["type"] == ["access", "denied"]
    assert document["event"]["outcome"] == "failure"
    assert document["event"]["id"].endswith("/b0071d/e1/1/7")
    assert document["file"] == {
        "path": "/etc/shadow",
        "name": "shadow",
        "directory": "/etc",
        "inode": "1234",
    }
    assert document["process"]["entity_id"] == "b0071d:100:3000000000"
    assert document["process"]["start"] == "2026-03-16T09:05:03.000Z"
    assert document["process"]["parent"]["pid"] == 9
    assert document["user"] == {"id": "33", "name": "www-data"}
    assert document["rule"]["reference"] == "nginx.yaml:12"
    assert document["rule"]["ruleset"] == "nginx"
    assert document["threat"]["technique"] == {
        "id": ["T1003"],
        "subtechnique": {"id": ["T1003.008"]},
    }
    assert document["container"]["runtime"] == "docker"
    assert document["guard"]["process"]["unit"] == "nginx.service"


def test_both_ends_of_a_packet_are_there() -> None:
    document = ecs(EVERYTHING["packet"])
    assert document["source"] == {"ip": "192.0.2.1", "address": "192.0.2.1", "port": 5555}
    assert document["destination"]["port"] == 22
    assert document["network"] == {"transport": "tcp", "type": "ipv4", "direction": "ingress"}
    assert document["related"]["ip"] == ["192.0.2.1", "198.51.100.2"]
    assert "process" not in document


def test_an_abstract_socket_is_no_ip_address() -> None:
    document = ecs(EVERYTHING["abstract"])
    assert document["destination"] == {"address": "@\x00name"}


def test_a_programs_hash_is_where_ecs_looks_for_it() -> None:
    document = ecs(EVERYTHING["exec"])
    assert document["file"]["hash"] == {"sha256": "c" * 64}
    assert document["event"]["type"] == ["start", "denied"]


def test_guards_own_records_keep_their_members() -> None:
    for record in EVERYTHING.values():
        if "verdict" not in record:
            kept = ecs(record)["guard"]
            ours = record.keys() - {"time", "seq", "host", "event"}
            assert {name: kept[name] for name in ours} == {name: record[name] for name in ours}


def test_the_check_itself_refuses_what_ecs_does_not_know() -> None:
    document = ecs(EVERYTHING["open"])
    with pytest.raises(AssertionError):
        check({**document, "colour": "red"})
    with pytest.raises(AssertionError):
        check({**document, "process": {"pid": "7"}})
