# SPDX-License-Identifier: Apache-2.0
"""The commands of the ingress filter, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_4, HOST_IF, PEER_4, TRIVIAL, Lab, compiled

pytestmark = pytest.mark.netns

POLICY = f"""\
version: 1
name: edge
mode: enforce
subject: {{host: true}}
ingress:
  interfaces: [{HOST_IF}]
  default: drop
  sets: {{bad: {{file: bad.txt}}}}
  rules:
    - {{id: block, deny: all, from: "@bad", why: known}}
    - {{id: web, allow: tcp, port: [22, 80], limit: {{rate: 1000/s}}}}
    - {{id: dns, allow: udp, sport: 53, from: 192.0.2.0/24}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    (tmp_path / "bad.txt").write_text("198.51.100.0/24\n")
    path = tmp_path / "edge.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def fresh() -> Iterator[Running]:
    """A lab without a filter."""
    made = Running.__new__(Running)
    made.lab = Lab()
    yield made
    for one in Run.started:
        one.kill()  # what a failed test left behind; ended ones are told no more
    Run.started.clear()
    made.close()


class Run:
    """`guard run`, in the background."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, host: Running, *words: str, **environment: str) -> None:
        self.process = host.lab.host.start(
            sys.executable,
            *("-m", "guard.cli.main", "run", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.started.append(self.process)

    def says(self) -> str:
        """The next line of standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, object]], str]:
        """Its exit status, its records, and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(one) for one in out.splitlines()], err


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
    drops = [one for one in records if one["kind"] == "packet" and one["source"] == PEER_4]
    assert drops and drops[0]["reason"] == "default" and drops[0]["verdict"] == "drop"
    assert drops[0]["destination_port"] == 81
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
    assert f" drop {HOST_IF} tcp {PEER_4}:" in waiting.stdout
    assert f" > {HOST_4}:81: default" in waiting.stdout
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


def test_a_listener_is_shown_drops_as_they_come(fresh: Running, policy: Path) -> None:
    run = Run(fresh, str(policy))
    run.says()
    words = ("-m", "guard.cli.main", "events", "--drops", "--follow")
    events = fresh.lab.host.start(sys.executable, *words, stdout=subprocess.PIPE)
    refused = fresh.guard("events")
    assert refused.returncode == 3
    assert "attends the filter and takes its records" in refused.stderr
    assert not fresh.connects(81)
    assert not fresh.connects(81)
    assert events.stdout is not None
    assert f" > {HOST_4}:81: default" in events.stdout.readline()
    run.end()
    events.wait(10)
    events.stdout.close()


def test_the_sources_of_most_drops_are_named(fresh: Running, policy: Path) -> None:
    run = Run(fresh, "--persist", str(policy))
    run.says()
    run.end()
    for _ in range(3):
        assert not fresh.connects(81)
    told = fresh.guard("ingress", "top", "--seconds", "0.5", "--json")
    (first, *_) = json.loads(told.stdout)["sources"]
    assert (first["source"], first["by"]) == (PEER_4, "default")
    assert first["records"] >= 3


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


def test_flows_can_be_asked_about(fresh: Running, policy: Path) -> None:
    run = Run(fresh, "--persist", str(policy))
    run.says()
    run.end()
    source = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f's.bind(("{HOST_4}", 40001)); s.sendto(b"x", ("{PEER_4}", 5353))'
    )
    packet = f"udp {PEER_4}:5353 > {HOST_4}:40001"
    assert fresh.guard("flows", packet).returncode == 1
    fresh.lab.host.python(source)
    done = fresh.guard("flows", packet)
    assert (done.returncode, done.stdout[:23]) == (0, "comes in as an answer f")
    assert fresh.guard("flows", f"udp {PEER_4}:5354 > {HOST_4}:40001").returncode == 1
    assert fresh.guard("flows").stdout.startswith("1 flows of the last two minutes; room for ")


def frame(source: bytes, port: int, size: int = 0) -> bytes:
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + size, 1, 0, 64, 6, 0) + source + b"\x0a\x4d\0\1"
    tcp = struct.pack(">HHIIBBHHH", 4321, port, 1, 0, 0x50, 2, 1000, 0, 0)
    return b"\2" * 12 + b"\x08\0" + ip + tcp + bytes(size)


def test_a_capture_is_judged_by_the_compiled_filter(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    frames = [
        frame(b"\xc6\x33\x64\x07", 22),
        frame(b"\xc0\0\2\1", 22),
        frame(b"\xc0\0\2\1", 22),
        frame(b"\xc0\0\2\1", 23),
        frame(b"\xc0\0\2\1", 80, 5000),
        frame(b"\xc0\0\2\1", 80)[:30],
    ]
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    body = b"".join(struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in frames)
    capture = tmp_path / "x.pcap"
    capture.write_bytes(head + body)
    done = fresh.guard("pcap", str(policy), str(capture))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            f"allow     {'web':24}  2 packets, 108 bytes",
            f"drop      {'block':24}  1 packets, 54 bytes",
            f"drop      {'default':24}  1 packets, 54 bytes",
            f"drop      {'truncated':24}  1 packets, 30 bytes",
            "left out  1 packets: larger than 3300 bytes, which a test run does not take",
        ]
    )
    assert fresh.lab.host.run("ls", "/sys/fs/bpf").stdout.split() == ["maps.debug", "progs.debug"]
    capture.write_bytes(b"nothing of the kind")
    done = fresh.guard("pcap", str(policy), str(capture))
    assert done.returncode == 3
    assert done.stderr.startswith("guard: the file is no capture: it begins with 6e 6f 74 68\n")
