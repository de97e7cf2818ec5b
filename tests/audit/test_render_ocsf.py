# SPDX-License-Identifier: Apache-2.0
"""Every record is a valid OCSF 1.8.0 event, by the schema that OCSF publishes."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from guard.audit.reading import record_id
from guard.audit.render_ocsf import OCSF_VERSION, ocsf, render_ocsf
from tests.audit.records import CHAIN, Flat, everything, hostile_records

EVERYTHING = everything()


@functools.cache
def published() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(OCSF_VERSION))


@functools.cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> jsonschema.Draft202012Validator:
    """OCSF's own schema of a class with profiles: unknown members are errors."""
    name = published().lookup_class_name_from_uid(class_uid)
    schema = published().get_class_schema(name, list(profiles))
    return jsonschema.Draft202012Validator(schema)


def check(event: dict[str, Any]) -> None:
    """Raises if an independent reader of OCSF would not take the event."""
    profiles = tuple(event["metadata"].get("profiles", ()))
    validator(event["class_uid"], profiles).validate(event)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["category_uid"] == event["class_uid"] // 1000
    assert event["metadata"]["version"] == OCSF_VERSION
    # The numbers mean what the words beside them say.
    attributes = published().schema.schema["classes"][
        published().lookup_class_name_from_uid(event["class_uid"])
    ]["attributes"]
    for name in ("activity", "action", "disposition", "severity", "status", "launch_type"):
        number, word = event.get(f"{name}_id"), event.get("activity_name", "")
        word = word if name == "activity" else event.get(name)
        if number is not None and number != 99:
            assert attributes[f"{name}_id"]["enum"][str(number)]["caption"] == word, name


@pytest.mark.parametrize("findings", [False, True])
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_kind_of_record_is_a_valid_event(name: str, findings: bool) -> None:
    line = render_ocsf(EVERYTHING[name], findings)
    assert line.isascii() and b"\n" not in line
    check(json.loads(line))


@settings(max_examples=100, deadline=None)
@given(hostile_records())
def test_hostile_records_are_valid_events_and_lose_no_byte(record: Flat) -> None:
    line = render_ocsf(record)
    assert line.isascii() and b"\n" not in line
    event = json.loads(line)
    check(event)
    kept = event["unmapped"]["guard"]
    for group in ("object", "process"):
        for name, value in (record.get(group) or {}).items():
            if name.endswith("_hex"):
                assert kept[group][name] == value


CLASSES = {
    "open": 100114,
    "rename": 100105,
    "exec": 100701,
    "bare": 100199,
    "tcp": 400101,
    "udp6": 400106,
    "create": 400199,
    "unix": 400101,
    "packet": 400106,
    "ptrace": 100703,
    "signal": 100799,
    "mount": 200401,
    "bpf": 200401,
}


@pytest.mark.parametrize("name", CLASSES)
def test_what_was_tried_is_the_class_and_activity(name: str) -> None:
    assert ocsf(EVERYTHING[name])["type_uid"] == CLASSES[name]


def test_guards_own_records_are_event_log_activity() -> None:
    own = [record for record in EVERYTHING.values() if "verdict" not in record]
    assert {ocsf(record)["class_uid"] for record in own} == {1008}


def test_a_denied_read_says_who_did_what_and_why() -> None:
    record = EVERYTHING["open"]
    event = ocsf(record)
    assert (event["action"], event["disposition"], event["severity"]) == (
        "Denied",
        "Blocked",
        "Medium",
    )
    assert event["file"]["path"] == "/etc/shadow"
    assert event["file"]["name"] == "shadow"
    assert event["file"]["uid"] == "8:1/1234"
    process = event["actor"]["process"]
    assert (process["pid"], process["uid"]) == (100, "b0071d:100:3000000000")
    assert process["path"] == "/usr/bin/cat"
    assert process["created_time"] == event["time"] - 2000
    assert process["container"]["runtime"] == "docker"
    assert [one["pid"] for one in process["ancestry"]] == [9, 1]
    assert process["parent_process"]["pid"] == 9
    assert event["actor"]["user"] == {
        "uid": "33",
        "name": "www-data",
        "groups": [{"uid": "34", "name": "www-data"}],
    }
    assert event["policy"]["name"] == "nginx"
    assert event["firewall_rule"]["match_location"] == "nginx.yaml:12"
    assert event["attacks"] == [
        {"technique": {"uid": "T1003"}, "sub_technique": {"uid": "T1003.008"}}
    ]
    assert event["metadata"]["uid"] == record_id(record) == f"{ORIGIN_ID}/b0071d/e1/1/7"
    assert event["time_dt"] == record["time"]


ORIGIN_ID = "0123456789abcdef0123456789abcdef"


def test_a_policy_in_mode_audit_only_observes() -> None:
    event = ocsf(EVERYTHING["would deny"])
    assert (event["action"], event["disposition"], event["severity"]) == (
        "Observed",
        "Detected",
        "Low",
    )


def test_what_was_allowed_is_no_alert() -> None:
    event = ocsf(EVERYTHING["default"])
    assert (event["is_alert"], event["action"]) == (False, "Allowed")


def test_a_programs_hash_is_where_ocsf_looks_for_it() -> None:
    event = ocsf(EVERYTHING["exec"])
    assert event["process"]["file"]["hashes"] == [
        {"algorithm_id": 3, "algorithm": "SHA-256", "value": "c" * 64}
    ]


def test_a_packet_has_both_ends_and_the_interface_and_no_actor() -> None:
    event = ocsf(EVERYTHING["packet"])
    assert event["src_endpoint"] == {"ip": "192.0.2.1", "port": 5555}
    assert event["dst_endpoint"] == {"ip": "198.51.100.2", "port": 22, "interface_name": "eth0"}
    assert event["connection_info"]["protocol_num"] == 6
    assert event["count"] == 42
    assert "actor" not in event


def test_findings_carry_the_same_evidence() -> None:
    event = ocsf(EVERYTHING["open"], findings=True)
    assert event["class_uid"] == 2004
    assert event["evidences"][0]["file"]["path"] == "/etc/shadow"
    assert event["finding_info"]["analytic"]["name"] == "no-shadow"


def test_the_chain_has_the_shape_of_record_integrity() -> None:
    (seal,) = ocsf(EVERYTHING["sealed"])["unmapped"]["record_integrity"]["attestation_list"]
    assert seal["chain_uid"] == f"{ORIGIN_ID}/denials"
    assert seal["uid"] == f"{ORIGIN_ID}/denials/17"
    assert seal["fingerprint"]["value"] == CHAIN["hash"]
    assert seal["prev_event"]["uid"] == f"{ORIGIN_ID}/denials/16"
    assert seal["prev_event"]["fingerprint"]["value"] == CHAIN["prev"]
    (first,) = ocsf(EVERYTHING["first sealed"])["unmapped"]["record_integrity"]["attestation_list"]
    assert "prev_event" not in first


def test_nothing_of_a_record_is_lost_but_what_has_a_place_of_its_own() -> None:
    kept = ocsf(EVERYTHING["stack"])["unmapped"]["guard"]
    assert {"epoch", "cpu", "seq", "boot_ns", "reason", "flags", "stack", "killed"} <= kept.keys()
    assert kept["process"]["unit"] == "nginx.service"
    assert kept["rule"]["line"] == 12


def test_the_check_itself_refuses_what_ocsf_does_not_know() -> None:
    event = ocsf(EVERYTHING["open"])
    with pytest.raises(jsonschema.ValidationError):
        check({**event, "colour": "red"})
    with pytest.raises(jsonschema.ValidationError):
        check({name: value for name, value in event.items() if name != "actor"})
