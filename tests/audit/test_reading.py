# SPDX-License-Identifier: Apache-2.0
"""What every renderer asks of a record: its name, its gravity, its sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import reading, spool_reader
from guard.audit.reading import Level, level, record_id, summary
from tests.audit.records import everything, own_lines

EVERYTHING = everything()


def test_a_records_name_is_the_same_wherever_it_is_asked_for() -> None:
    for record in EVERYTHING.values():
        line = json.dumps(record, separators=(",", ":")).encode()
        assert record_id(record) == spool_reader.record_id(line)


def test_names_of_records_differ_if_one_part_differs() -> None:
    record = EVERYTHING["open"]
    others = [
        {**record, "seq": 8},
        {**record, "cpu": 2},
        {**record, "cpu": None},
        {**record, "epoch": "e2"},
        {**record, "host": {**record["host"], "boot": "x"}},
        {**record, "host": {**record["host"], "id": "x"}},
    ]
    assert len({record_id(one) for one in (record, *others)}) == 7


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("open", Level.WARNING),
        ("would deny", Level.NOTICE),
        ("default", Level.INFORMATION),
        ("stack", Level.ERROR),  # killed
    ],
)
def test_a_decisions_level(name: str, wanted: Level) -> None:
    assert level(EVERYTHING[name]) is wanted


def test_guards_own_levels() -> None:
    found = {(one["event"], one.get("outcome")): level(one) for one in map(json.loads, own_lines())}
    assert found["audit.lost", None] is Level.ERROR
    assert found["policy.rejected", None] is Level.ERROR
    assert found["selfprotect.unlocked", None] is Level.WARNING
    assert found["control.called", "refused"] is Level.WARNING
    assert found["control.called", "done"] is Level.INFORMATION
    assert found["policy.loaded", None] is Level.INFORMATION


SENTENCES = {
    "open": "file.open /etc/shadow: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "default": "file.open /etc/shadow: allowed to /usr/bin/cat (100) by p/default",
    "tcp": "net.connect 192.0.2.7:443: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "udp6": "net.send [2001:db8::1]:53: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "ptrace": "kernel.ptrace process 77: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "bpf": "kernel.bpf bpf: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "create": "net.create packet: denied to /usr/bin/cat (100) by nginx/no-shadow",
    "packet": "packet.ingress tcp 192.0.2.1:5555 -> 198.51.100.2:22: denied by nginx/no-shadow",
    "short packet": "packet.ingress ? ? -> ?: denied by nginx/no-shadow",
    "kernel thread": "file.open /etc/shadow: denied to cat (100) by nginx/no-shadow",
    "unresolved": "file.open /etc/shadow: denied to /usr/bin/cat (100)",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_decision_in_a_sentence(name: str) -> None:
    assert summary(EVERYTHING[name]) == SENTENCES[name]


def test_guards_own_records_in_a_sentence() -> None:
    sentences = {one["event"]: summary(one) for one in map(json.loads, own_lines())}
    assert sentences["guard.started"] == "guard.started: 1.0"
    assert sentences["policy.loaded"] == "policy.loaded: web"
    assert sentences["audit.lost"] == "audit.lost: 5 records, sink"
    assert sentences["set.expired"] == "set.expired: 40 of web"
    assert sentences["control.called"] == "control.called: unlock, refused"
    assert sentences["sink.failing"] == "sink.failing: web, web"


def test_a_processs_name_needs_its_start() -> None:
    record = EVERYTHING["open"]
    assert reading.process_id(record, record["process"]) == "b0071d:100:3000000000"
    assert reading.process_id(record, {"pid": 1}) is None


@pytest.mark.parametrize("time", [None, "", "yesterday", 5])
def test_a_time_that_is_none_is_no_reason_to_lose_a_record(time: Any) -> None:
    record = {**EVERYTHING["open"], "time": time}
    assert reading.milliseconds(record) == 0
    assert reading.started_at(record, record["process"]) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_MEMBERS = sorted({name for record in EVERYTHING.values() for name in record})


@given(st.dictionaries(st.sampled_from(_MEMBERS), _JSON))
def test_any_object_at_all_has_a_name_a_level_and_a_sentence(record: dict[str, Any]) -> None:
    assert record_id(record).count("/") >= 4
    assert isinstance(level(record), Level)
    assert isinstance(summary(record), str)
