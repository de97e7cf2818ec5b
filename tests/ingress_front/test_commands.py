# SPDX-License-Identifier: Apache-2.0
"""The commands of the ingress filter, as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from guard.daemon import confirm
from tests.audit.test_schema import VALIDATOR
from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_4, HOST_IF, PEER_4, TRIVIAL, compiled
from tests.ingress_front.runs import POLICY, Run

pytestmark = pytest.mark.netns


def drop_of(record: dict[str, Any], source: str) -> bool:
    """Whether a record is of a refused packet from there."""
    return bool(
        record["event"] == "packet.ingress"
        and record["verdict"] == "denied"
        and record["object"]["source"]["address"] == source
    )


def test_a_filter_runs_is_watched_and_comes_off(fresh: Running, policy: Path) -> None:
    run = Run(fresh, str(policy))
    assert run.says() == f"guard: {HOST_IF} is filtered in native mode (native mode, as demanded)\n"
    assert fresh.connects(80)
    assert not fresh.connects(81)
    told = fresh.guard("ingress", "status")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("ingress: enforcing\n  policy      edge, ")
    assert f"  interface   {HOST_IF}: native (native mode, as demanded)\n" in told.stdout
    assert "  rule        block (deny, line 10): 0 packets, 0 bytes\n" in told.stdout
    assert "  set         bad: 1 prefixes, 0 more of run time, 0 ended\n" in told.stdout
    counted = json.loads(fresh.guard("ingress", "status", "--json").stdout)
    assert counted["attendant"] is not None
    (web,) = (one for one in counted["rules"] if one["id"] == "web")
    assert web["packets"] >= 4
    assert counted["reasons"]["default"]["packets"] >= 1
    code, records, _ = run.end()
    assert code == 0
    # The peer's kernel may have said things of its own before: IPv6 does when a link comes up.
    for one in records:
        VALIDATOR.validate(one)
    events = [one["event"] for one in records]
    assert events[:2] == ["guard.started", "policy.loaded"] and events[-1] == "guard.stopped"
    drops = [one for one in records if drop_of(one, PEER_4)]
    assert drops[0]["policy"]["name"] == "edge" and drops[0]["rule"]["line"] == 6
    assert drops[0]["verdict"] == "denied" and drops[0]["reason"] == "policy"
    assert drops[0]["object"]["destination"] == {"address": HOST_4, "port": 81}
    assert drops[0]["object"]["interface"] == HOST_IF
    assert fresh.connects(81)
    assert fresh.guard("ingress", "status").returncode == 3


def test_a_persistent_filter_outlives_a_killed_guard_and_is_taken_over(
    fresh: Running, policy: Path
) -> None:
    run = Run(fresh, "--persist", str(policy))
    run.says()
    run.end(signal.SIGKILL)
    assert fresh.connects(80)
    assert not fresh.connects(81)
    status = fresh.guard("ingress", "status").stdout
    assert "  daemon      none; the kernel filters\n" in status
    waiting = fresh.guard("events", "--drops")
    assert f" {HOST_IF} packet.ingress tcp {PEER_4}:" in waiting.stdout
    assert f" -> {HOST_4}:81: denied by edge/default ({policy}:6)" in waiting.stdout
    policy.write_text(POLICY.replace("[22, 80]", "[22, 81]"))
    run = Run(fresh, "--persist", str(policy))
    run.says()
    assert fresh.connects(81)
    assert not fresh.connects(80)
    assert run.end()[0] == 0
    assert not fresh.connects(80)


def test_a_changed_policy_is_read_again_and_a_wrong_one_is_not_taken(
    fresh: Running, policy: Path
) -> None:
    run = Run(fresh, str(policy))
    run.says()
    policy.write_text(POLICY.replace("[22, 80]", "[22, 81]"))
    done = fresh.guard("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("guard: the ingress policy 'edge' is in force, generation ")
    assert fresh.connects(81)
    assert not fresh.connects(80)
    policy.write_text(POLICY.replace("[22, 80]", "[22, 99999]"))
    done = fresh.guard("reload")
    assert done.returncode == 1
    assert done.stderr == (
        f"guard: {policy}:11:40: port cannot be '99999'\n"
        "guard: the ingress policy that was in force stays\n"
    )
    assert fresh.connects(81)
    assert run.end()[0] == 0
    assert fresh.connects(80)


def test_an_interface_that_comes_back_is_filtered_again_by_whoever_attends(
    fresh: Running, policy: Path
) -> None:
    fresh.lab.wire("gi1", "gp1", "10.79.0.1", "10.79.0.2")
    policy.write_text(POLICY.replace(f"[{HOST_IF}]", f"[{HOST_IF}, gi1]"))
    run = Run(fresh, str(policy))
    run.says()
    run.says()
    assert not fresh.connects(81, "10.79.0.1")
    fresh.lab.host.run("ip", "link", "del", "gi1")
    deadline = time.monotonic() + 30
    while fresh.guard("ingress", "status").returncode != 1:
        assert time.monotonic() < deadline
    fresh.lab.wire("gi1", "gp1", "10.79.0.1", "10.79.0.2")
    while fresh.guard("ingress", "status").returncode != 0:
        assert time.monotonic() < deadline
    assert fresh.connects(80, "10.79.0.1")
    assert not fresh.connects(81, "10.79.0.1")
    code, records, _ = run.end()
    told = [one["because"] for one in records if one["event"] == "ingress.interface"]
    assert (code, told) == (0, ["interface gi1 is gone", "interface gi1 is back and filtered"])


def test_what_is_not_confirmed_is_undone_though_guard_was_killed(
    fresh: Running, policy: Path
) -> None:
    run = Run(fresh, "--persist", "--confirm", "5s", str(policy))
    run.says()
    assert run.says() == (
        "guard: undone in 5 s unless you say `guard confirm`, best from a new connection\n"
    )
    run.end(signal.SIGKILL)
    assert not fresh.connects(81)
    deadline = time.monotonic() + 15
    while not fresh.connects(81):
        assert time.monotonic() < deadline


def guardian(host: Running) -> int:
    """The pid of the process that waits for this host's deadline."""

    def of_this_host(comm: Path) -> bool:
        with contextlib.suppress(OSError):
            mine = os.readlink(f"/proc/{host.lab.host.pid}/ns/net")
            return (
                comm.read_text() == "guard-confirm\n"
                and os.readlink(comm.parent / "ns" / "net") == mine
            )
        return False

    (found,) = (one for one in Path("/proc").glob("[0-9]*/comm") if of_this_host(one))
    return int(found.parent.name)


@pytest.mark.parametrize("before", [False, True], ids=["nothing-before", "a-policy-before"])
def test_the_filter_itself_goes_back_where_every_process_of_guard_was_killed(
    fresh: Running, policy: Path, before: bool
) -> None:
    if before:
        run = Run(fresh, "--persist", str(policy))
        run.says()
        run.end()
        policy.write_text(POLICY.replace("[22, 80]", "[22, 81]"))
    run = Run(fresh, "--persist", "--confirm", "10s", str(policy))
    run.says()
    os.kill(guardian(fresh), signal.SIGKILL)
    run.end(signal.SIGKILL)
    new, old = (81, 80) if before else (80, 82)
    generation = fresh.with_filter(lambda found: found.state.generation)
    deadline = time.monotonic() + 30
    while not fresh.connects(old):
        assert time.monotonic() < deadline
    # Nobody wrote tables meanwhile: the filter did it alone.
    assert fresh.with_filter(lambda found: found.state.generation) == generation
    assert fresh.connects(new) is not before
    assert (fresh.counts()["unconfirmed"] > 0) is not before
    # Whoever of guard's looks next tidies up, and it is too late to confirm.
    late = fresh.guard("confirm")
    assert late.returncode == 3
    assert late.stderr == (
        "guard: the time to confirm the ingress policy is up: it was rolled back\n"
        "  remedy: start it again with more time, say --confirm 2m\n"
    )
    assert fresh.guard("ingress", "status").returncode == (0 if before else 3)
    assert fresh.connects(old)


def test_a_policy_that_is_confirmed_outlives_its_deadline_though_all_were_killed(
    fresh: Running, policy: Path
) -> None:
    run = Run(fresh, "--persist", "--confirm", "20s", str(policy))
    run.says()
    os.kill(guardian(fresh), signal.SIGKILL)
    run.end(signal.SIGKILL)
    assert fresh.guard("confirm").returncode == 0
    until = confirm.now() + 20
    while confirm.now() < until:
        assert not fresh.connects(81)
    assert fresh.connects(80)


def test_the_cut_of_a_terminal_undoes_it_at_once(fresh: Running, policy: Path) -> None:
    run = Run(fresh, "--confirm", "1h", str(policy))
    run.says()
    assert not fresh.connects(81)
    assert run.end(signal.SIGHUP)[0] == 0
    assert fresh.connects(81)


def test_a_confirmed_filter_goes_on(fresh: Running, policy: Path) -> None:
    run = Run(fresh, "--persist", "--confirm", "1h", str(policy))
    run.says()
    run.says()
    assert "on trial" in fresh.guard("ingress", "status").stdout
    assert fresh.guard("confirm").returncode == 0
    assert "on trial" not in fresh.guard("ingress", "status").stdout
    run.end()
    assert not fresh.connects(81)


def test_the_way_in_of_whoever_runs_it_is_watched(fresh: Running, policy: Path) -> None:
    run = Run(fresh, str(policy), SSH_CONNECTION=f"198.51.100.9 50000 {HOST_4} 22")
    assert run.says() == (
        "guard: warning: this locks you out: a connection from 198.51.100.9 to port 22 would be"
        f" dropped by rule block ({policy}:10:7)\n"
    )
    assert run.says() == (
        "  remedy: let your address in, or try it with `--confirm 30s`, which undoes it unless"
        " you confirm\n"
    )
    run.says()
    run.end()
    run = Run(fresh, str(policy), SSH_CONNECTION=f"{PEER_4} 50000 {HOST_4} 22")
    assert run.says().startswith(f"guard: {HOST_IF} is filtered")
    run.end()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[gi0]", "[gi0, eth9]"), "guard: no interface 'eth9' on this host\n"),
        (("bad.txt", "none.txt"), "the set 'bad': cannot read "),
        (("[gi0]", "[lo]"), "guard: lo does not take the filter in native mode: its driver"),
    ],
)
def test_what_the_host_cannot_do_is_told_and_nothing_is_filtered(
    fresh: Running, policy: Path, change: tuple[str, str], told: str
) -> None:
    policy.write_text(POLICY.replace(*change))
    done = fresh.guard("run", str(policy))
    assert done.returncode == 3
    assert told in done.stderr
    assert fresh.guard("ingress", "status").returncode == 3
    assert fresh.connects(81)


def test_a_wrong_line_in_a_set_file_keeps_the_policy_out(fresh: Running, policy: Path) -> None:
    (policy.parent / "bad.txt").write_text("198.51.100.0/24\n198.51.100.0/99\n")
    done = fresh.guard("run", str(policy))
    assert done.returncode == 3
    assert done.stderr.startswith(
        f"guard: {policy.parent}/bad.txt:2:14: an IPv4 prefix has a length of 0 to 32, not '99'\n"
    )
    assert fresh.connects(81)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--confirm", "soon"), 2, "guard run: --confirm takes a time from 5s to 60m, not 'soon'"),
        (("--confirm", "1s"), 2, "guard run: --confirm takes a time from 5s to 60m, not '1s'"),
    ],
)
def test_a_time_that_makes_no_sense_is_a_usage_error(
    fresh: Running, policy: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = fresh.guard("run", *words, str(policy))
    assert (done.returncode, done.stderr.strip()) == (code, told)


def test_another_program_is_chained_and_taken_away(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    run = Run(fresh, "--persist", str(policy))
    run.says()
    run.end()
    made = compiled(TRIVIAL, tmp_path)
    load = ["bpftool", "prog", "loadall", str(made), "/sys/fs/bpf/other", "type", "xdp"]
    fresh.lab.host.run(*load)
    done = fresh.guard("ingress", "next", "/sys/fs/bpf/other/drop")
    assert done.stdout == "what is let in goes on to /sys/fs/bpf/other/drop\n", done.stderr
    assert not fresh.connects(80)
    assert "  next        /sys/fs/bpf/other/drop\n" in fresh.guard("ingress", "status").stdout
    assert fresh.guard("ingress", "next", "none").returncode == 0
    # The other program dropped ARP, too: neighbours find each other again first.
    deadline = time.monotonic() + 15
    while not fresh.connects(80):
        assert time.monotonic() < deadline
    done = fresh.guard("ingress", "next", "/sys/fs/bpf/none")
    assert done.returncode == 3
    assert "pin an XDP program in a bpf file system" in done.stderr
