# SPDX-License-Identifier: Apache-2.0
"""The commands that look: events, the heaviest sources, flows, and captures."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from guard.daemon.ingress import Filter
from guard.kernel import ingress_control
from guard.wire.ingress import COUNT, Reason
from tests.audit.test_schema import VALIDATOR
from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_4, PEER_4, PEER_IF
from tests.ingress_front.runs import Run

pytestmark = pytest.mark.netns


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
    # Whatever else the peer's kernel says comes in between.
    assert any(f" -> {HOST_4}:81: denied by edge/default" in line for line in events.stdout)
    run.end()
    events.wait(10)
    events.stdout.close()


def test_the_sources_of_drops_are_counted_exactly(fresh: Running, policy: Path) -> None:
    run = Run(fresh, "--persist", str(policy))
    run.says()
    run.end()
    flood = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f'[s.sendto(b"x" * 60, ("{HOST_4}", 9)) for _ in range(2000)]'
    )
    top = fresh.lab.host.start(
        *(sys.executable, "-m", "guard.cli.main", "ingress", "top", "--seconds", "30", "--json"),
        stdout=subprocess.PIPE,
    )
    assert top.stdout is not None
    while not fresh.with_filter(lambda found: ingress_control.is_counting(found.kernel)):
        assert top.poll() is None
    before = fresh.counts()["default"]
    fresh.lab.peer.python(flood)
    counted = fresh.counts()["default"] - before
    top.send_signal(signal.SIGINT)
    (mine,) = (
        one
        for one in json.loads(top.stdout.read())["sources"]
        if (one["source"], one["by"]) == (PEER_4, "default")
    )
    top.stdout.close()
    top.wait()
    assert 2000 <= mine["packets"] <= counted
    assert mine["bytes"] == mine["packets"] * (14 + 20 + 8 + 60)


def test_records_and_what_they_say_was_suppressed_are_all_drops(
    fresh: Running, policy: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    run = Run(fresh, "--persist", "--log", str(log), str(policy))
    run.says()
    flood = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f'[s.sendto(b"x" * 60, ("{HOST_4}", 9)) for _ in range(5000)]'
    )
    for _ in range(3):
        fresh.lab.peer.python(flood)
    assert not fresh.connects(81)
    # So that nobody says anything more: the peer's kernel does, of its own, in IPv6.
    fresh.lab.peer.run("ip", "link", "set", PEER_IF, "down")
    run.end()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for one in records:
        VALIDATOR.validate(one)
    dropped = [
        one
        for one in records
        if one["event"] == "packet.ingress"
        and one["rule"]["id"] is None
        and one["reason"] == "policy"
    ]
    told = sum(one["suppressed"] for one in dropped)
    assert told > 5000

    def counted(found: Filter) -> tuple[dict[str, int], int]:
        slot = int(Reason.DEFAULT)
        size = COUNT.size * found.libbpf.possible_cpus()
        fd = found.kernel.maps["ingress_counts"]
        raw = found.libbpf.map_lookup(fd, struct.pack("=I", slot), size, "counts") or b""
        at = COUNT.fields["turn"].offset
        waiting = sum(
            struct.unpack_from("=Q", raw, cpu + at)[0] >> 16 for cpu in range(0, size, COUNT.size)
        )
        return found.kernel.counts([slot])[slot], waiting

    counts, waiting = fresh.with_filter(counted)
    # What came since a CPU's last record is told by its next one.
    assert counts["suppressed"] == told + waiting
    assert counts["lost"] == 0
    assert counts["recorded"] == len(dropped)
    assert counts["packets"] == len(dropped) + told + waiting


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
    listed = json.loads(fresh.guard("flows", "--json").stdout)
    (mine,) = (one for one in listed["flows"] if one["local"]["port"] == 40001)
    assert mine["age"] < 120 and mine["seconds_left"] == 120 - mine["age"]
    assert {name: mine[name] for name in ("protocol", "local", "remote", "from")} == {
        "protocol": "udp",
        "local": {"address": HOST_4, "port": 40001},
        "remote": {"address": PEER_4, "port": 5353},
        "from": "table",
    }
    assert listed["table"]["places"] == 131072
    told = fresh.guard("flows").stdout
    assert f"udp      {HOST_4}:40001 <- {PEER_4}:5353  " in told


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
