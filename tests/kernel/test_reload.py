# SPDX-License-Identifier: Apache-2.0
"""`guard reload`: other policies in one step, or the old ones and the reason."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.command import enforcing, guard, only_instance, pinned, policy_file
from tests.kernel.harness import DRIVERS, literal, policy, rule

pytestmark = pytest.mark.kernel

OPEN = DRIVERS / "open"
DENIED = 13


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """What a killed guard left goes on enforcing: it is taken off after each test."""
    yield
    left = pinned()
    if left:
        guard("unload", *left)
    assert pinned() == []


def reads(path: Path) -> int:
    """The errno that a process of its own gets, or 0."""
    return subprocess.run([OPEN, path], check=False).returncode


def protecting(*paths: Path, name: str = "p") -> str:
    """A policy for the host that denies reading."""
    patterns = [literal(path) for path in paths]
    return policy(rule("deny", "read", *patterns), name=name, subject="{host: true}")


def events(log: Path) -> list[dict[str, object]]:
    """The records so far, canaries' left out."""
    parsed = [json.loads(line) for line in log.read_text().splitlines()]
    return [one for one in parsed if one.get("reason") != "canary"]


def test_new_policies_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.touch()
    file, log = policy_file(tmp_path, protecting(first)), tmp_path / "log"
    with enforcing("--log", log, file) as running:
        assert (reads(first), reads(second)) == (DENIED, 0)
        policy_file(tmp_path, protecting(second, name="q"))
        done = guard("reload")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "guard: 1 policy in force, generation 2\n"
        assert (reads(first), reads(second)) == (0, DENIED)

        policy_file(tmp_path, protecting(first).replace("deny", "dney"))
        refused = guard("reload")
        assert refused.returncode == 1
        said = refused.stderr.splitlines()
        assert said[0].startswith(f"guard: {file}:8:") and "dney" in said[0]
        assert said[1] == "guard: the policies that were in force stay"
        assert (reads(first), reads(second)) == (0, DENIED)

        status = only_instance(guard("status", "--json").stdout)
        assert [one["name"] for one in status["policies"]] == ["q"]
        assert status["state"] == "enforcing"
        running.send_signal(signal.SIGTERM)
        running.wait()
    loads = [one for one in events(log) if str(one["event"]).startswith("policy.")]
    assert [one["event"] for one in loads] == ["policy.loaded", "policy.loaded", "policy.rejected"]
    denied = [one["policy"]["name"] for one in events(log) if one["event"] == "file.open"]  # type: ignore[index]
    assert denied == ["p", "q", "q"]
    calls = [one for one in events(log) if one["event"] == "control.called"]
    assert [(one["command"], one["outcome"]) for one in calls] == [
        ("reload", "done"),
        ("reload", "refused"),
    ]
    assert all(one["caller"]["uid"] == 0 and one["caller"]["pid"] > 1 for one in calls)  # type: ignore[index]


def test_a_section_whose_program_is_not_attached_gets_it_before_the_switch(
    tmp_path: Path,
) -> None:
    """Another section's program on the same hook must not be taken for it."""
    first = tmp_path / "first"
    first.touch()
    file = policy_file(tmp_path, protecting(first))
    denied = tmp_path / "denied"
    denied.write_bytes(OPEN.read_bytes())
    denied.chmod(0o755)
    with enforcing(file):
        assert subprocess.run([denied, "/dev/null"], check=False).returncode == 0
        section = f"exec: {{default: allow, rules: [{{deny: exec, path: {denied}}}]}}\n"
        policy_file(tmp_path, protecting(first) + section)
        done = guard("reload")
        assert (done.returncode, done.stderr) == (0, "")
        with pytest.raises(PermissionError):
            subprocess.run([denied, "/dev/null"], check=False)
        assert reads(first) == DENIED
        answer = guard("status", "--json")
        status = only_instance(answer.stdout)
        assert (answer.returncode, status["state"], status["detached"]) == (
            0,
            "enforcing",
            [],
        ), answer.stdout
        assert [one["hook"] for one in status["hooks"]].count("bprm_check_security") == 2


def test_a_policy_that_is_gone_leaves_its_bit_to_nobody(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.touch()
    shell = Path("/bin/sh").resolve()

    def for_shell(path: Path, name: str) -> str:
        subject = f"{{exe: '{shell}', inherit: true}}"
        return policy(rule("deny", "read", literal(path)), name=name, subject=subject)

    policy_file(tmp_path, for_shell(first, "old"))
    with enforcing(tmp_path / "policy.yaml"):
        script = f'read line; "{OPEN}" "{first}"; echo $?; "{OPEN}" "{second}"; echo $?'
        with subprocess.Popen(
            ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as waiting:
            # Denies to the shell's tasks; those that carry the old policy's bit are no other's.
            other = policy(
                rule("deny", "read", literal(second)), name="new", subject="{exe: /none/such}"
            )
            policy_file(tmp_path, other)
            assert guard("reload").returncode == 0
            out, _ = waiting.communicate("go\n")
        assert out.split() == ["0", "0"]


def test_an_instance_that_nobody_attends_cannot_be_reloaded(tmp_path: Path) -> None:
    file = policy_file(tmp_path, protecting(tmp_path / "x"))
    with enforcing("--persist", file) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()
        asked = guard("reload")
        assert asked.returncode == 4
        assert "nobody attends the instance 'host': its guard has ended" in asked.stderr
    assert guard("unload", "host").returncode == 0
    asked = guard("reload")
    assert asked.returncode == 3
    assert "no guard instance 'host' is loaded" in asked.stderr
