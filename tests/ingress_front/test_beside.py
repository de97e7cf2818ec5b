# SPDX-License-Identifier: Apache-2.0
"""One `guard run` for a policy that filters packets and gates processes as well.

The gates are a stand-in here: what matters is that both begin, and both end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.cli import run as run_command
from guard.cli.run_ingress import run_ingress
from guard.daemon import ingress
from guard.errors import GuardError, HostError
from guard.policy.load import load
from guard.policy.model import Policy
from tests.audit.test_schema import VALIDATOR
from tests.ingress_front.conftest import Running
from tests.ingress_front.runs import POLICY

pytestmark = pytest.mark.netns

BOTH = f"{POLICY}file:\n  default: allow\n  rules:\n    - {{deny: [read], path: /etc/shadow}}\n"

Gates = Callable[[argparse.Namespace, list[Policy], list[str] | None], int]


def ran(host: Running, path: Path, gates: Gates, *words: str) -> Any:
    """What `guard run` gives with these gates, run on the host."""

    def inside() -> Any:
        parser = argparse.ArgumentParser()
        run_command.add_arguments(parser)
        arguments = parser.parse_args([str(path), *words])
        loaded = load([(str(path), path.read_bytes())])
        assert loaded.usable, loaded.diagnostics
        having = [one for one in loaded.policies if one.ingress is not None]
        return run_ingress(arguments, list(loaded.policies), having, None, gates)

    return host.lab.host.call(inside)


def test_the_gates_run_while_the_filter_is_in_force_and_both_end(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    policy.write_text(BOTH)
    seen, log = tmp_path / "seen", tmp_path / "log"

    def gates(
        arguments: argparse.Namespace, policies: list[Policy], command: list[str] | None
    ) -> int:
        there = ingress.running() is not None
        seen.write_text(json.dumps([there, [one.name for one in policies], arguments.log]))
        return 7

    assert ran(fresh, policy, gates, "--log", str(log)) == 7
    assert json.loads(seen.read_text()) == [True, ["edge"], str(log)]
    # The filter's own log, for a log has one writer.
    records = [json.loads(line) for line in Path(f"{log}.ingress").read_text().splitlines()]
    for one in records:
        VALIDATOR.validate(one)
    assert [records[0]["event"], records[-1]["event"]] == ["guard.started", "guard.stopped"]
    assert fresh.lab.host.call(ingress.running) is None
    assert fresh.connects(81)


def test_the_filter_comes_off_where_the_gates_cannot_be_loaded(
    fresh: Running, policy: Path
) -> None:
    policy.write_text(BOTH)

    def gates(*_: object) -> int:
        assert ingress.running() is not None
        raise HostError("this kernel has no gates")

    with pytest.raises(GuardError, match="this kernel has no gates"):
        ran(fresh, policy, gates)
    assert fresh.lab.host.call(ingress.running) is None
    assert fresh.connects(81)


def test_the_gates_are_not_loaded_where_the_filter_cannot_be(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    policy.write_text(BOTH.replace("[gi0]", "[none0]"))
    called = tmp_path / "called"

    def gates(*_: object) -> int:
        called.write_text("yes")
        return 0

    assert ran(fresh, policy, gates) == 3
    assert not called.exists()


def test_the_filters_records_go_to_a_spool_of_their_own(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    policy.write_text(BOTH)
    spool = tmp_path / "spool"
    assert ran(fresh, policy, lambda *_: 0, "--spool", str(spool)) == 0
    told = fresh.guard("audit", "cat", "--json", str(tmp_path / "spool.ingress"))
    events = [json.loads(line)["event"] for line in told.stdout.splitlines()]
    assert events[:2] == ["guard.started", "policy.loaded"] and "guard.stopped" in events
    verified = fresh.guard("audit", "verify", str(tmp_path / "spool.ingress"))
    assert verified.returncode == 0, verified.stdout + verified.stderr
