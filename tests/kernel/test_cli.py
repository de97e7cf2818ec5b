# SPDX-License-Identifier: Apache-2.0
"""The commands as root uses them on a host: run, status, unload, and how they refuse."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.command import GUARD, PINS, enforcing, guard, pinned, policy_file, records
from tests.kernel.harness import DRIVERS, SHARED, expect, literal, policy, rule

pytestmark = pytest.mark.kernel

OPEN = DRIVERS / "open"
HOOKS = {
    "file_open",
    "task_alloc",
    "bprm_creds_for_exec",
    "bprm_check_security",
    "bprm_committed_creds",
    # Names and descriptors by which what is denied could be reached otherwise.
    "inode_link",
    "inode_rename",
    "file_receive",
}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Each test begins with nothing loaded and leaves nothing."""
    assert pinned() == []
    yield
    left = pinned()
    if left:
        guard("unload", *left)
    assert left == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file to be protected, and its neighbour."""
    for name in ("secret", "other"):
        (tmp_path / name).write_text("contents")
    return tmp_path / "secret"


def protecting(secret: Path, subject: str = "{host: true}") -> Path:
    """A policy file that denies reading the secret."""
    text = policy(rule("deny", "read", literal(secret)), subject=subject)
    return policy_file(secret.parent, text)


def reads(path: Path) -> int:
    """The errno that a process of its own gets, or 0."""
    return subprocess.run([OPEN, path], check=False).returncode


def let_go(path: Path) -> bool:
    """Whether a file can be read again: the kernel detaches programs in the background, some
    time after their last pin is gone (bpf_link_put, kernel/bpf/syscall.c).
    """
    for _ in range(300):
        if reads(path) == 0:
            return True
        time.sleep(0.1)
    return False


def test_a_policy_for_one_command_holds_for_it_alone_and_its_status_is_passed_on(
    secret: Path,
) -> None:
    log = secret.parent / "log"
    file = protecting(secret)
    beside = secret.with_name("other")
    script = f"{OPEN} {beside} || exit 99; {OPEN} {secret}; test $? = 13 && exit 7"
    with subprocess.Popen(
        [GUARD, "run", "--log", log, file, "--", "/bin/sh", "-c", script], stdout=subprocess.PIPE
    ) as running:
        # Nobody else is under it, before, while and after.
        while running.poll() is None:
            assert reads(secret) == 0
        assert running.stdout is not None and running.stdout.read() == b""
    assert running.returncode == 7
    found = records(log.read_text())
    assert len(found) == 1
    expect(found[0], path=secret, file=str(file), exe=str(OPEN), comm="open")
    assert log.stat().st_mode & 0o777 == 0o600
    kinds = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert kinds[:2] == ["guard.started", "policy.loaded"] and kinds[-1] == "guard.stopped"
    assert len(records(log.read_text(), "audit.lost")) == 0


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["/bin/true"], 0),
        (["/bin/sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["/none/such"], 127),
    ],
)
def test_a_commands_end_is_guards_exit_status(
    command: list[str], status: int, secret: Path
) -> None:
    ended = guard("run", protecting(secret), "--", *command)
    assert ended.returncode == status
    wanted = "guard: cannot execute '/none/such'\n" if status == 127 else ""
    assert ended.stderr == wanted


def test_a_host_is_protected_until_guard_is_told_to_stop(secret: Path) -> None:
    named = secret.parent / "named"
    named.write_bytes(OPEN.read_bytes())
    named.chmod(0o755)
    other = secret.with_name("other")
    text = policy(rule("deny", "read", literal(other)), name="q", subject=f"{{exe: {named}}}")
    file, second = protecting(secret), policy_file(secret.parent, text, "q.yaml")
    early = subprocess.Popen([named, other, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert early.stdout is not None and early.stdout.read(1) == b"+"
    with enforcing(file, second) as process:
        assert process.stdout is not None
        assert reads(secret) == errno.EACCES
        assert reads(other) == 0
        # A program that ran before guard did is under its policy too.
        early.communicate(b"!")
        assert early.returncode == errno.EACCES
        shown = guard("status", "--json")
        again = guard("run", file)
        process.send_signal(signal.SIGTERM)
        out = process.stdout.read()
        assert process.wait() == 0
    assert pinned() == []
    assert let_go(secret)
    found = records(out)
    assert len(found) == 2
    expect(found[0], path=secret, file=str(file), exe=str(OPEN), comm="open")
    expect(found[1], path=other, policy="q", file=str(second), exe=str(named), comm="named")
    assert records(out, "guard.stopped")[0]["because"] == "SIGTERM"
    # A second one of the same name does not disturb the first.
    assert again.returncode == 3
    assert again.stderr.startswith(
        "guard: guard instance 'host' is already loaded, and a guard attends it\n  remedy: "
    )
    _assert_status(shown, file, process.pid)


def _assert_status(shown: subprocess.CompletedProcess[str], file: Path, daemon: int) -> None:
    assert (shown.returncode, shown.stderr) == (0, "")
    told = json.loads(shown.stdout)
    assert told["kernel"]["release"] == os.uname().release
    assert "bpf" in told["kernel"]["lsm_list"] and told["kernel"]["btf"] is True
    (one,) = (one for one in told["instances"] if one["name"] != SHARED)
    assert (one["name"], one["state"], one["scope"]) == ("host", "enforcing", "host")
    assert (one["daemon"], one["generation"]) == (daemon, 1)
    first = {"name": "p", "mode": "enforce", "source": str(file), "rules": 1}
    assert one["policies"][0] == first and len(one["policies"]) == 2
    assert {hook["hook"] for hook in one["hooks"]} == HOOKS
    assert all(hook["canary"] == "caught" for hook in one["hooks"]) and one["detached"] == []
    assert one["counters"]["denied"] >= 1 and one["counters"]["dropped"] == 0
    assert one["pins"] == "/sys/fs/bpf/guard/host"


def test_what_persists_stays_until_it_is_unloaded(secret: Path) -> None:
    with enforcing("--persist", "--name", "kept", protecting(secret)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert pinned() == ["kept"]
    assert reads(secret) == errno.EACCES
    shown = guard("status")
    assert shown.returncode == 0
    assert "kept: enforcing" in shown.stdout
    assert "daemon      none; the kernel enforces by itself" in shown.stdout
    unknown = guard("unload", "other")
    assert unknown.returncode == 3
    assert unknown.stderr.startswith(
        "guard: no guard instance 'other' is loaded\n  remedy: loaded now: kept"
    )
    ended = guard("unload", "kept")
    assert (ended.returncode, ended.stdout) == (0, "unloaded kept\n")
    assert let_go(secret)


def test_a_program_that_was_detached_makes_the_instance_degraded(secret: Path) -> None:
    with enforcing("--persist", "--name", "kept", protecting(secret)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert guard("status").returncode == 0
    # Neither the file gate nor a label: a hook that no file canary goes through.
    (PINS / "kept" / "links" / "guard_inode_link").unlink()
    shown = guard("status")
    assert shown.returncode == 1
    assert "kept: degraded" in shown.stdout
    assert "DETACHED    guard_inode_link: its link is no longer pinned" in shown.stdout
    assert guard("unload", "kept").returncode == 0


def test_a_killed_guard_leaves_its_denials_in_force(secret: Path) -> None:
    with enforcing(protecting(secret)) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert pinned() == ["host"]
    assert reads(secret) == errno.EACCES
    assert reads(secret.with_name("other")) == 0
    # By exec, fork and task storage too, not only for who ran already.
    script = f"{OPEN} {secret}; exit $?"
    assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == errno.EACCES
    assert guard("unload", "host").returncode == 0
    assert let_go(secret)


BROKEN = """\
version: 1
name: p
mode: enforce
subject: {host: true}
file:
  default: allow
  rules:
    - {deny: raed, path: /etc/shadow}
"""


def test_a_broken_policy_is_shown_with_its_place_and_nothing_is_loaded(tmp_path: Path) -> None:
    file = policy_file(tmp_path, BROKEN)
    for command in ([], ["--", "/bin/true"]):
        ended = guard("run", file, *command)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            "error[G101]: 'raed' is not a verb of the file section\n"
            f" --> {file}:8:14\n"
            "  |\n"
            "8 |     - {deny: raed, path: /etc/shadow}\n"
            "  |              ^^^^ unknown verb\n"
            "  = help: did you mean 'read'?\n"
            "\n"
            "1 error in 1 file\n"
            "guard: nothing was loaded\n"
        )


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = guard("run", tmp_path / "missing.yaml")
    assert ended.returncode == 3
    assert ended.stderr == (
        f"guard: cannot read '{tmp_path}/missing.yaml': No such file or directory\n"
    )


# Python itself may lie where nobody may look, so all it needs is imported first.
# Imports first what is imported late: whose checkout it is may shut nobody out.
NOBODY = """
import contextlib, io, os, sys
import guard.cli.controls
from guard.cli.main import main
from guard.policy.load import load
load([("policy.yaml", b"version: 1")])
for command in ("run", "status", "unload"):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main([command, "--help"])
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["run", "run --", "status", "unload"])
def test_a_user_who_is_not_root_gets_one_sentence(command: str, tmp_path: Path) -> None:
    words: list[str | Path] = [command.split(maxsplit=1)[0]]
    if words[0] == "run":
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
        words.append(policy_file(tmp_path, BROKEN.replace("raed", "read")))
    if command == "run --":
        words += ["--", "/bin/true"]
    ended = subprocess.run(
        [sys.executable, "-c", NOBODY, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert ended.stdout == ""
    problem, remedy = ended.stderr.splitlines()
    assert problem.startswith("guard: enforcing needs root")
    assert remedy.startswith("  remedy: run it with sudo")
