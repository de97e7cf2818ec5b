# SPDX-License-Identifier: Apache-2.0
"""guard's records about itself."""

from __future__ import annotations

import json

from guard.audit.lifecycle import Lifecycle
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


def test_hostile_policy_names_stay_on_their_line() -> None:
    line = Lifecycle(ORIGIN, fixed_clock()).policy_loaded("a\n\udcff", "audit", "b\u2028", 1, 1)
    assert line.isascii() and b"\n" not in line
    assert json.loads(line)["policy"]["name"] == "a\n\ufffd"
