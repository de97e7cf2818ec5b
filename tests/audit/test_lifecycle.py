# SPDX-License-Identifier: Apache-2.0
"""guard's records about itself."""

from __future__ import annotations

import json

from guard.audit.lifecycle import FINDINGS, Caller, Finding, Lifecycle
from guard.audit.loss import LossCause
from tests.audit.samples import ORIGIN, fixed_clock

HEAD = {
    "schema": 2,
    "time": "2026-03-16T09:05:10.000000Z",
    "boot_ns": "10000000000",
    "host": {"name": "web-1", "id": ORIGIN.id, "boot": "b0071d"},
    "epoch": "e1",
    "cpu": None,
}


def test_each_kind_has_its_members_and_the_next_number() -> None:
    lifecycle = Lifecycle(ORIGIN, fixed_clock())
    lines = [
        lifecycle.started(version="1.0", adopted=True),
        lifecycle.policy_loaded("nginx", "enforce", "nginx.yaml", generation=4, rules=9),
        lifecycle.lost(LossCause.RING_FULL, 5, cpu=1, between=(7, 30)),
        lifecycle.stopped("SIGTERM", enforcing=True),
    ]
    assert [json.loads(line) for line in lines] == [
        {**HEAD, "event": "guard.started", "seq": 0, "version": "1.0", "adopted": True},
        {
            **HEAD,
            "event": "policy.loaded",
            "seq": 1,
            "policy": {"name": "nginx", "mode": "enforce", "generation": 4},
            "source": "nginx.yaml",
            "rules": 9,
        },
        {
            **HEAD,
            "event": "audit.lost",
            "seq": 2,
            "lost": {
                "cause": "ring-full",
                "count": 5,
                "cpu": 1,
                "first_seq": 7,
                "last_seq": 30,
                "sink": None,
                "detail": None,
            },
        },
        {**HEAD, "event": "guard.stopped", "seq": 3, "because": "SIGTERM", "enforcing": True},
    ]


def test_a_rejection_tells_the_first_findings_and_counts_the_others() -> None:
    findings = [Finding("G101", "a.yaml", number, "wrong") for number in range(FINDINGS + 3)]
    caller = Caller(10, 1000, 1000, b"m\xff", None)
    line = Lifecycle(ORIGIN, fixed_clock()).policy_rejected(
        ["a.yaml"], "19 errors", findings, kept=3, caller=caller
    )
    record = json.loads(line)
    assert len(record["findings"]) == FINDINGS
    assert record["findings"][0] == {
        "code": "G101",
        "file": "a.yaml",
        "line": 0,
        "message": "wrong",
    }
    assert (record["more"], record["generation"]) == (3, 3)
    assert record["caller"] == {
        "pid": 10,
        "uid": 1000,
        "gid": 1000,
        "user": "m\ufffd",
        "user_hex": "6dff",
        "exe": None,
    }


def test_a_call_of_the_control_socket_says_who_asked_what() -> None:
    caller = Caller(10, 0, 0, b"root", b"/usr/bin/guard")
    line = Lifecycle(ORIGIN, fixed_clock()).control_called("reload", ["/etc/guard"], caller, "done")
    assert json.loads(line) == {
        **HEAD,
        "event": "control.called",
        "seq": 0,
        "command": "reload",
        "arguments": ["/etc/guard"],
        "caller": {"pid": 10, "uid": 0, "gid": 0, "user": "root", "exe": "/usr/bin/guard"},
        "outcome": "done",
        "detail": None,
    }


def test_hostile_policy_names_stay_on_their_line() -> None:
    line = Lifecycle(ORIGIN, fixed_clock()).policy_loaded("a\n\udcff", "audit", "b\u2028", 1, 1)
    assert line.isascii() and b"\n" not in line
    assert json.loads(line)["policy"]["name"] == "a\n\ufffd"
