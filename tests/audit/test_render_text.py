# SPDX-License-Identifier: Apache-2.0
"""CEF and RFC 5424: whatever names hold, a strict parser reads back what was said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings

from guard.audit.reading import record_id
from guard.audit.render_cef import render_cef
from guard.audit.render_rfc5424 import render_rfc5424
from guard.version import VERSION
from tests.audit import strict_cef, strict_rfc5424
from tests.audit.records import Flat, everything, hostile_records
from tests.audit.strict_cef import NotCef
from tests.audit.strict_rfc5424 import NotRfc5424

EVERYTHING = everything()
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

# Where CEF has the names of a decision, and their bytes where they are not exact.
CEF_NAMES = {
    ("object", "path"): ("filePath", "guardPathHex"),
    ("object", "to"): ("guardTo", "guardToHex"),
    ("object", "abstract"): ("guardAbstract", "guardAbstractHex"),
    ("object", "interface"): ("deviceInboundInterface", "guardInterfaceHex"),
    ("process", "exe"): ("sproc", "guardExeHex"),
    ("process", "comm"): ("guardComm", "guardCommHex"),
    ("process", "user"): ("suser", "guardUserHex"),
    ("process", "unit"): ("cs5", "guardUnitHex"),
    ("process", "cgroup_path"): ("guardCgroupPath", "guardCgroupPathHex"),
}


def original(group: Flat, name: str) -> bytes:
    exact = group.get(name + "_hex")
    return bytes.fromhex(exact) if exact else str(group[name]).encode()


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_kind_of_record_is_strict_cef(name: str) -> None:
    record = EVERYTHING[name]
    header, extension = strict_cef.parse(render_cef(record))
    assert header[:5] == ["0", "guard", "guard", VERSION, record["event"]]
    assert extension["externalId"] == record_id(record)
    assert extension["guardTime"] == record["time"]


@settings(max_examples=200, deadline=None)
@given(hostile_records())
def test_hostile_records_are_strict_cef_and_lose_no_byte(record: Flat) -> None:
    header, extension = strict_cef.parse(render_cef(record))
    assert header[4] == record["event"]
    for (group, name), (key, hex_key) in CEF_NAMES.items():
        values = record.get(group) or {}
        if values.get(name) is None:
            continue
        shown = extension.get(hex_key)
        said = bytes.fromhex(shown) if shown is not None else extension[key].encode()
        assert said == original(values, name), name


def test_cef_of_a_denied_read() -> None:
    header, extension = strict_cef.parse(render_cef(EVERYTHING["open"]))
    assert header[5:] == ["file.open denied", "6"]
    wanted = {
        "act": "denied",
        "outcome": "failure",
        "reason": "EACCES",
        "cs1": "nginx",
        "cs2": "no-shadow",
        "cs3": "nginx.yaml:12",
        "cs4": "T1003.008",
        "cs5": "nginx.service",
        "cs6": "d" * 64,
        "filePath": "/etc/shadow",
        "fname": "shadow",
        "spid": "100",
        "sproc": "/usr/bin/cat",
        "suser": "www-data",
        "rt": "1773651905000",
        "guardProcess": "b0071d:100:3000000000",
    }
    assert {key: extension[key] for key in wanted} == wanted


def test_cefs_header_is_escaped_too() -> None:
    header, _ = strict_cef.parse(render_cef({**EVERYTHING["open"], "event": "a|b\\c=d"}))
    assert header[4:6] == ["a|b\\c=d", "a|b\\c=d denied"]


def test_cef_of_a_packet_and_of_a_loss() -> None:
    _, packet = strict_cef.parse(render_cef(EVERYTHING["packet"]))
    assert (packet["src"], packet["spt"], packet["dst"], packet["dpt"]) == (
        "192.0.2.1",
        "5555",
        "198.51.100.2",
        "22",
    )
    assert (packet["cnt"], packet["deviceInboundInterface"]) == ("42", "eth0")
    lost = next(one for one in EVERYTHING.values() if one["event"] == "audit.lost")
    header, extension = strict_cef.parse(render_cef(lost))
    assert header[6] == "8"
    assert (extension["guardLostCause"], extension["guardLostCount"]) == ("ring-full", "5")


@pytest.mark.parametrize(
    "wrong",
    [b"CEF:0|a|b|c|d|e|1", b"CEF:0|a|b|c|d|e|1|x", b"CEF:0|a|b|c|d|e|1|a=b\nc=d",
     b"CEF:0|a|b|c|d|e|1|a=b a=c", rb"CEF:0|a|b|c|d|e|1|a=\|", b"CEF:0|a|b|c|d|e|11|"],
)  # fmt: skip
def test_the_parser_of_cef_is_strict(wrong: bytes) -> None:
    with pytest.raises(NotCef):
        strict_cef.parse(wrong)


def flattened(value: Any, name: str = "") -> list[tuple[str, str]]:
    """The pairs that structured data is to hold, null left out."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [
            pair
            for key, item in value.items()
            for pair in flattened(item, f"{name}.{key}" if name else key)
        ]
    if isinstance(value, list):
        return [
            pair
            for number, item in enumerate(value)
            for pair in flattened(item, f"{name}.{number}" if isinstance(item, dict) else name)
        ]
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_kind_of_record_is_strict_rfc5424_and_complete(name: str) -> None:
    record = EVERYTHING[name]
    message = strict_rfc5424.parse(render_rfc5424(record))
    assert (message.app, message.msgid, message.host) == ("guard", record["event"], "web-1")
    assert message.time == record["time"]
    (_, first), *rest = message.data["guard@32473"]
    assert first == record_id(record)
    shown = dict(flattened(record))
    got = [(key, value) for key, value in rest if not key.endswith("_hex") or key in shown]
    assert [(key, CONTROL.sub("\ufffd", value)) for key, value in flattened(record)] == got


@settings(max_examples=200, deadline=None)
@given(hostile_records())
def test_hostile_records_are_strict_rfc5424_and_lose_no_byte(record: Flat) -> None:
    message = strict_rfc5424.parse(render_rfc5424(record))
    said = dict(message.data["guard@32473"])
    for name, _ in flattened(record):
        if name.endswith("_hex"):
            assert name in said
    for group in ("object", "process"):
        for name, value in (record.get(group) or {}).items():
            if isinstance(value, str) and not name.endswith("_hex"):
                exact = said.get(f"{group}.{name}_hex")
                raw = bytes.fromhex(exact) if exact else said[f"{group}.{name}"].encode()
                assert raw == original(record[group], name)


def test_rfc5424_of_a_denied_read() -> None:
    raw = render_rfc5424(EVERYTHING["open"], facility=10, enterprise=99)
    message = strict_rfc5424.parse(raw)
    assert message.priority == 10 * 8 + 4
    assert dict(message.data["origin"]) == {
        "software": "guard",
        "swVersion": VERSION,
        "enterpriseId": "99",
    }
    assert [value for key, value in message.data["guard@99"] if key == "verbs"] == ["read"]
    assert message.text == (
        b"file.open /etc/shadow: denied to /usr/bin/cat (100) by nginx/no-shadow"
    )


def test_a_hosts_name_cannot_break_the_header() -> None:
    record = json.loads(json.dumps(EVERYTHING["open"]))
    record["host"]["name"] = "a b\n\u00e9" + "x" * 300
    record["event"] = "e" * 40
    record["time"] = "yesterday"
    message = strict_rfc5424.parse(render_rfc5424(record))
    assert message.host == ("a?b??" + "x" * 300)[:255]
    assert (message.msgid, message.time) == ("e" * 32, "-")


HEAD = b"<1>1 - h a - m "


@pytest.mark.parametrize(
    "wrong",
    [b"<192>1 - h a - m -", b"<1>1 - h a - m [x]", HEAD + b'[x@1 a="]"]', HEAD + rb'[x@1 a="\n"]',
     HEAD + b'[x@1 a="b]', HEAD + b'[x@1 ' + b"n" * 33 + b'=""]', HEAD + b"- a\nb"],
)  # fmt: skip
def test_the_parser_of_rfc5424_is_strict(wrong: bytes) -> None:
    with pytest.raises(NotRfc5424):
        strict_rfc5424.parse(wrong)


def test_no_parameter_of_the_schema_is_too_long_for_its_name() -> None:
    for record in EVERYTHING.values():
        assert [name for name, _ in flattened(record) if len(name) > 32] == []
