# SPDX-License-Identifier: Apache-2.0
"""A new guard takes over what a killed one left, and nothing gets by meanwhile."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.audit.decode import counters as decode_counters
from guard.kernel import about
from guard.kernel import engine as kernel
from guard.kernel.fdinfo import fdinfo
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import Instance
from guard.version import VERSION
from guard.wire.layout import MERGING
from tests.kernel.command import PINS, enforcing, guard, only_instance, pinned, policy_file
from tests.kernel.harness import DRIVERS, literal, policy, rule

pytestmark = [pytest.mark.kernel, pytest.mark.long]

OPEN = DRIVERS / "open"
HOST = Instance(PINS / "host")

# Opens a file over and over, and says at the end how often, and how often it was let through.
SPINNER = """
import os, sys
tried = leaked = 0
os.nice(19)
sys.stdin.readline()
print("spinning", flush=True)
while os.path.exists(sys.argv[2]):
    tried += 1
    try:
        os.close(os.open(sys.argv[1], os.O_RDONLY))
        leaked += 1
    except PermissionError:
        pass
print(tried, leaked)
"""


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """What a killed guard left goes on enforcing: it is taken off after each test."""
    yield
    left = pinned()
    if left:
        guard("unload", *left)
    assert pinned() == []


def protecting(*paths: Path, name: str = "p") -> str:
    """A policy for the host that denies reading."""
    patterns = [literal(path) for path in paths]
    return policy(rule("deny", "read", *patterns), name=name, subject="{host: true}")


def reads(path: Path) -> int:
    """The errno that a process of its own gets, or 0."""
    return subprocess.run([OPEN, path], check=False).returncode


@contextlib.contextmanager
def spinning(path: Path, running: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that opens ``path`` from when it is told to until ``running`` is gone."""
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", SPINNER, path, running],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            running.unlink(missing_ok=True)


def killed(*arguments: str | Path) -> None:
    """A guard that enforces and is killed."""
    with enforcing(*arguments) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()


EACH_AT_ONCE = ("--no-merge", "--rate", "0")
"""Options by which no event waits for its repetitions."""


def parsed(log: Path) -> list[dict[str, Any]]:
    """All records of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def program_ids() -> dict[str, int]:
    """The kernel's numbers of the pinned programs."""
    libbpf, found = Libbpf(), {}
    for pin in (HOST.directory / "programs").iterdir():
        fd = libbpf.open_pin(str(pin))
        found[pin.name] = fdinfo(fd)["prog_id"]
        os.close(fd)
    return found


def status() -> dict[str, Any]:
    """What guard status says of the only instance."""
    return only_instance(guard("status", "--json").stdout)


def counted() -> tuple[int, int]:
    """The kernel's counts: events worth a record, and those of them that found no room."""
    opened = kernel.adopt(Libbpf(), HOST, 18, 0)
    try:
        every = [decode_counters(raw) for raw in opened.counters()]
    finally:
        opened.close()
    return sum(one.attempts for one in every), sum(one.dropped for one in every)


def merges() -> bool:
    """Whether repetitions are counted instead of sent: struct guard_merging, as it is now."""
    libbpf = Libbpf()
    fd = libbpf.open_pin(HOST.map("merging"))
    try:
        raw = libbpf.map_lookup(fd, bytes(4), MERGING.size, "merging") or b""
    finally:
        os.close(fd)
    return any(raw[MERGING.fields["merge"].offset :])


def test_a_killed_guards_instance_is_taken_over_and_nothing_gets_by(tmp_path: Path) -> None:
    secret, other, running = tmp_path / "secret", tmp_path / "other", tmp_path / "running"
    for path in (secret, other, running):
        path.touch()
    file, log = policy_file(tmp_path, protecting(secret)), tmp_path / "log"
    with spinning(secret, running) as spinner:
        with enforcing("--log", log, file) as first:
            programs, before = program_ids(), status()
            assert spinner.stdout is not None and spinner.stdin is not None
            spinner.stdin.write("begin\n")
            spinner.stdin.flush()
            assert spinner.stdout.readline() == "spinning\n"
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert status()["daemon"] is None
        # Nobody reads: this waits in the ring.
        assert reads(secret) == errno.EACCES
        # The new guard has more to say than the old one.
        policy_file(tmp_path, protecting(other, name="q"), "more.yaml")
        with enforcing("--log", log, file, tmp_path / "more.yaml") as second:
            assert (reads(secret), reads(other)) == (errno.EACCES, errno.EACCES)
            now = status()
            running.unlink()
            tried, leaked = map(int, spinner.stdout.read().split())
            assert program_ids() == programs, "they are the same programs"
            again = guard("run", file)
            attempts, dropped = counted()
            second.send_signal(signal.SIGTERM)
            assert second.wait() == 0
    assert tried > 0 and leaked == 0

    assert (before["state"], now["state"], now["detached"]) == ("enforcing", "enforcing", [])
    assert (now["daemon"], now["generation"]) == (second.pid, before["generation"] + 1)
    assert [one["name"] for one in now["policies"]] == ["p", "q"]
    assert again.returncode == 3
    assert again.stderr == (
        "guard: guard instance 'host' is already loaded, and a guard attends it\n"
        "  remedy: see it with `guard status`; `guard reload` has it read its policies again,"
        " `guard unload` takes it off\n"
    )
    _assert_continuous(parsed(log), attempts, dropped)


def _assert_continuous(records: list[dict[str, Any]], attempts: int, dropped: int) -> None:
    """Attempts = written + counted, in one epoch over both guards."""
    own = [one for one in records if one["cpu"] is None]
    kernels = [one for one in records if one["cpu"] is not None]
    assert len({one["epoch"] for one in kernels}) == 1
    # A killed guard may have written what it had not taken out of the ring yet.
    numbers = {(one["cpu"], one["seq"]) for one in kernels}
    lost = [one["lost"] for one in own if one["event"] == "audit.lost"]
    assert all(one["cause"] == "ring-full" for one in lost)
    assert sum(one["count"] for one in lost) == dropped
    assert len(numbers) + dropped >= attempts, "all that was counted before the end"
    for cpu in {cpu for cpu, _ in numbers}:
        mine = sorted(number for one, number in numbers if one == cpu)
        assert mine[0] == 0 and mine[-1] + 1 - len(mine) <= dropped, "a hole is a counted loss"
    assert all(one["policy"]["name"] in "pq" for one in kernels if one["reason"] != "canary")
    kinds = [one["event"] for one in own if one["event"] not in ("audit.lost", "policy.loaded")]
    assert kinds == ["guard.started", "guard.started", "guard.adopted", "guard.stopped"]
    began, took = (one for one in own if one.get("adopted") or one["event"] == "guard.adopted")
    assert took["loaded_by"] == took["version"] == began["version"] == VERSION
    assert took["generation"] == 1
    assert len({(one["epoch"], one["seq"]) for one in own}) == len(own)


def test_losses_while_nobody_attended_are_told_once(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    file, log = policy_file(tmp_path, protecting(secret)), tmp_path / "log"
    killed(*EACH_AT_ONCE, "--log", log, file)
    # More than both rings hold: about 300 bytes an event, and a ring of 8 MiB.
    flood = (
        "import os,sys\n"
        "for _ in range(40000):\n"
        "    try: os.open(sys.argv[1], 0)\n"
        "    except PermissionError: pass\n"
    )
    subprocess.run(["/usr/bin/python3", "-c", flood, secret], check=True)
    attempts, dropped = counted()
    assert dropped > 0
    assert not merges()
    for _ in range(2):
        with enforcing("--log", log, "--persist", file) as taking:
            assert merges(), "who takes over says how"
            assert reads(secret) == errno.EACCES
            taking.send_signal(signal.SIGTERM)
            assert taking.wait() == 0
    attempts, dropped = counted()
    records = parsed(log)
    lost = [one["lost"] for one in records if one["event"] == "audit.lost"]
    assert sum(one["count"] for one in lost) == dropped
    assert {one["cause"] for one in lost} == {"ring-full"}
    numbers = {(one["cpu"], one["seq"]) for one in records if one["cpu"] is not None}
    assert len(numbers) + dropped == attempts


def test_another_layout_is_refused_and_goes_on_enforcing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    file = policy_file(tmp_path, protecting(secret))
    killed(file)
    libbpf = Libbpf()
    told = about.read(libbpf, HOST)
    about.write(libbpf, HOST, told | {"layout": "99.1-feedfacecafe", "guard": "9.0"})
    refused = guard("run", file)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr == (
        "guard: the instance 'host' was loaded by guard 9.0 in layout 99.1-feedfacecafe, and this"
        f" is guard {VERSION}, which knows layout {about.layout()} alone\n"
        "  remedy: what is loaded goes on enforcing; attend it with the guard that loaded it, or"
        " `guard run --name NEW` with this one and then `guard unload host`, which leaves no gap\n"
    )
    assert reads(secret) == errno.EACCES
    shown = guard("status")
    assert shown.returncode == 1 and "layout 99.1-feedfacecafe" in shown.stdout
    # The way that the remedy names.
    with enforcing("--name", "new", file):
        assert guard("unload", "host").returncode == 0
        assert reads(secret) == errno.EACCES


def test_policies_that_cannot_be_put_in_force_leave_the_old_ones(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    file = policy_file(tmp_path, protecting(secret))
    killed(file)
    (tmp_path / "many").mkdir()
    for number in range(64):
        name = f"q{number}"
        policy_file(tmp_path / "many", protecting(secret, name=name), f"{name}.yaml")
    refused = guard("run", tmp_path / "many")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "with the policies that running tasks still carry there would be 65" in refused.stderr
    assert refused.stderr.endswith("guard: what is loaded stays in force\n")
    assert reads(secret) == errno.EACCES
    # Nobody attends it after that either, and what fits is taken.
    with enforcing(file) as taking:
        assert status()["daemon"] == taking.pid
    # What the killed one left, with a program off its hook.
    (HOST.directory / "links" / "guard_inode_link").unlink()
    refused = guard("run", file)
    assert refused.returncode == 3
    assert "has lost programs (guard_inode_link)" in refused.stderr
    assert reads(secret) == errno.EACCES
