# SPDX-License-Identifier: Apache-2.0
"""The ingress filter in this kernel: its verifier takes it, and packets are let in and dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.audit.test_schema import VALIDATOR
from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_6, HOST_IF, PEER_4
from tests.ingress_front.policies import state

pytestmark = [pytest.mark.kernel, pytest.mark.netns]

# Without tcx (before Linux 6.6) nothing sees what leaves: TCP's answers need no such thing.
TCP_ONLY = "established: {udp: false, icmp: false}"


@pytest.fixture(scope="module")
def host() -> Iterator[Running]:
    made = Running()
    try:
        yield made
    finally:
        made.close()


def test_a_filter_that_drops_by_default_lets_in_what_a_rule_allows_and_answers(
    host: Running,
) -> None:
    assert host.connects(81)
    host.put(
        state(
            "{id: web, allow: tcp, port: 80, limit: {rate: 1000/s, per: source}}",
            '{id: block, deny: all, from: "@bad"}',
            more=f"sets: {{bad: [192.0.2.0/24]}}\n{TCP_ONLY}",
        )
    )
    assert host.connects(80)
    assert host.connects(80, HOST_6)
    assert not host.connects(81)
    counts = host.counts()
    assert counts["web"] >= 8 and counts["default"] >= 1
    # The host's own connection to the peer: its answers match no rule.
    server = host.lab.peer.start(
        "python3",
        "-c",
        "import socket; s = socket.create_server(('', 90)); print('ready', flush=True);"
        " one, _ = s.accept(); one.sendall(b'hello')",
        stdout=-1,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    said = host.lab.host.python(
        f"import socket; print(socket.create_connection(('{PEER_4}', 90), 10).recv(5))"
    )
    server.wait()
    server.stdout.close()
    assert said.stdout == "b'hello'\n"


def test_an_entry_of_run_time_is_dropped_and_its_record_is_one_of_the_schema(
    host: Running,
) -> None:
    assert host.connects(80)
    assert host.guard("set", "add", "bad", PEER_4, "--ttl", "1h").returncode == 0
    assert not host.connects(80)
    assert host.connects(80, HOST_6)
    told = host.guard("events", "--json", "--drops")
    records = [json.loads(line) for line in told.stdout.splitlines()]
    for one in records:
        VALIDATOR.validate(one)
    mine = [one["object"] for one in records if one["rule"]["id"] == "block"]
    assert mine[0]["source"]["address"] == PEER_4 and mine[0]["interface"] == HOST_IF
