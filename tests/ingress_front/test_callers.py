# SPDX-License-Identifier: Apache-2.0
"""What fail2ban and crowdsec run by the files in packaging/: every command, as they would."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import PEER_4, PEER_6
from tests.ingress_front.policies import state

pytestmark = pytest.mark.netns

PACKAGING = Path(__file__).parents[2] / "packaging"


@pytest.fixture
def bouncing(host: Running, tmp_path: Path) -> tuple[Running, dict[str, str]]:
    """A host with the rules that the files ask for, and an environment with a `guard`."""
    host.put(
        state(
            '{id: fail2ban, deny: all, from: "@fail2ban"}',
            '{id: crowdsec, deny: all, from: "@crowdsec"}',
            "{id: web, allow: tcp, port: 80}",
            more="sets: {fail2ban: [], crowdsec: []}",
        )
    )
    made = tmp_path / "guard"
    made.write_text(f'#!/bin/sh\nexec {sys.executable} -m guard.cli.main "$@"\n')
    made.chmod(0o755)
    return host, {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def listed(host: Running, name: str) -> dict[str, int | None]:
    told = json.loads(host.guard("set", "list", name, "--json").stdout)
    return {one["prefix"]: one["ttl"] for one in told["entries"]}


def fail2ban(
    host: Running, environment: dict[str, str], action: str, ip: str = PEER_4, bantime: str = "600"
) -> subprocess.CompletedProcess[str]:
    """Run an action of guard.conf as fail2ban would: its tags filled in, by a shell."""
    parser = configparser.RawConfigParser()
    parser.read(PACKAGING / "fail2ban" / "guard.conf")
    command = parser.get("Definition", action)
    tags = {"guard": "guard", "set": parser.get("Init", "set"), "ip": ip, "bantime": bantime}
    for tag, value in tags.items():
        command = command.replace(f"<{tag}>", value)
    assert "<" not in command
    return host.lab.host.run("sh", "-c", command, check=False, env=environment)


def test_fail2ban_bans_for_its_time_and_lifts_the_ban(
    bouncing: tuple[Running, dict[str, str]],
) -> None:
    host, _ = bouncing
    assert fail2ban(*bouncing, "actionstart").returncode == 0
    assert fail2ban(*bouncing, "actionban").returncode == 0
    ttl = listed(host, "fail2ban")[PEER_4]
    assert ttl is not None and 590 <= ttl <= 600
    assert not host.connects(80)
    assert fail2ban(*bouncing, "actionunban").returncode == 0
    assert host.connects(80)
    # Lifted already, as when the kernel ended it: no error to fail2ban.
    assert fail2ban(*bouncing, "actionunban").returncode == 0


def test_fail2bans_ban_for_good_has_no_end(bouncing: tuple[Running, dict[str, str]]) -> None:
    assert fail2ban(*bouncing, "actionban", PEER_6, "-1").returncode == 0
    assert listed(bouncing[0], "fail2ban") == {PEER_6: None}


def test_fail2ban_does_not_start_where_the_policy_has_no_such_set(
    bouncing: tuple[Running, dict[str, str]],
) -> None:
    host, environment = bouncing
    host.put(state("{id: web, allow: tcp, port: 80}"))
    assert fail2ban(host, environment, "actionstart").returncode == 3


def test_crowdsecs_decisions_are_entries_and_others_than_addresses_are_passed_by(
    bouncing: tuple[Running, dict[str, str]],
) -> None:
    host, environment = bouncing
    settings = yaml.safe_load((PACKAGING / "crowdsec" / "crowdsec-custom-bouncer.yaml").read_text())
    bouncer = PACKAGING / "crowdsec" / Path(settings["bin_path"]).name
    assert settings["feed_via_stdin"] is False

    def decide(*words: str) -> int:
        command = ["sh", str(bouncer), *words]
        return host.lab.host.run(*command, check=False, env=environment).returncode

    assert decide("add", PEER_4, "14400", "ssh-bf", "{}") == 0
    assert decide("add", "203.0.113.0/24", "3600.5", "range", "{}") == 0
    assert decide("add", "FRANCE", "3600", "country", "{}") == 0
    found = listed(host, "crowdsec")
    assert set(found) == {PEER_4, "203.0.113.0/24"}
    assert not host.connects(80)
    assert decide("del", PEER_4, "14400", "ssh-bf", "{}") == 0
    assert decide("del", PEER_4, "14400", "ssh-bf", "{}") == 0
    assert host.connects(80)
