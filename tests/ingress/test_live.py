# SPDX-License-Identifier: Apache-2.0
"""What only an attached program can show: SYN cookies, redirects, mirrors, the next program."""

from __future__ import annotations

import ctypes
import json
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from guard.plan.ingress.build import Host, Options, build
from guard.policy.ingress import Action, Default, FlowMatch, IngressSection, Target
from guard.wire.ingress import Reason
from tests.ingress.make import port, rule, section
from tests.ingress.native import Filter
from tests.ingress_front.lab import HOST_4, HOST_IF, PEER_IF, TRIVIAL, Lab, Space, compiled

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")

_T = TypeVar("_T")
_NATIVE = 4  # XDP_FLAGS_DRV_MODE, include/uapi/linux/if_link.h
_TCX_INGRESS = 46  # enum bpf_attach_type, include/uapi/linux/bpf.h
_WEB = FlowMatch(protocols=(6,), destination_ports=port(8080))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab()
    # A third place, which the host can send to.
    made.wire("gi1", "gp1", "10.78.0.1", "10.78.0.2")
    made.peer.run("ip", "link", "set", "gp1", "promisc", "on")
    # Without IPv6 nothing is sent there of the host's own accord.
    made.host.run("sysctl", "-qw", "net.ipv6.conf.gi1.disable_ipv6=1")
    # A veth takes what the other end's XDP sends only where it has XDP itself.
    passes = compiled(TRIVIAL, tmp_path_factory.mktemp("passes"))
    for name in (PEER_IF, "gp1"):
        made.peer.run("ip", "link", "set", name, "xdp", "obj", str(passes), "program", "pass")
    yield made
    made.close()


def _filtered(lab: Lab, made: IngressSection, do: Callable[[Filter], _T], **options: Any) -> _T:
    """What ``do`` gives on the host, with the filter at its interface."""

    def inside() -> _T:
        filter_ = Filter(20)
        index = _index(HOST_IF)
        filter_.swap(build(made, {}, Host({HOST_IF: index}, 250), Options(**options)))
        libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        assert libbpf.bpf_xdp_attach(index, filter_.program(), _NATIVE, None) == 0
        return do(filter_)

    return lab.host.call(inside)


def _index(name: str) -> int:
    with open(f"/sys/class/net/{name}/ifindex", encoding="ascii") as file:
        return int(file.read())


def _connect(lab: Lab) -> bool:
    """Whether the peer can talk to a server on the host."""
    said = lab.peer.python(
        f"import socket; s = socket.create_connection(('{HOST_4}', 8080), 20); print(s.recv(5))",
        check=False,
    )
    return "hello" in said.stdout


_SERVER = """
import socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", 8080)); server.listen(4)
print("ready", flush=True)
while True:
    one, _ = server.accept(); one.sendall(b"hello"); one.close()
"""


def _serving(do: Callable[[Filter], _T]) -> Callable[[Filter], _T]:
    """With a server on the host, in whose namespaces the caller is already."""

    def wrapped(filter_: Filter) -> _T:
        import subprocess
        import sys

        with subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            try:
                return do(filter_)
            finally:
                server.kill()

    return wrapped


_FLOOD = """
import random, socket, struct, sys
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for i in range(400):
    ip = IP(src="10.77.0.%d" % (10 + i % 200), dst="10.77.0.1")
    out.send(bytes(Ether(dst=sys.argv[2]) / ip / TCP(sport=1024 + i, dport=8080, flags="S")))
"""


@pytest.mark.parametrize(
    ("mode", "flood", "cookies"), [(2, False, True), (1, False, False), (1, True, True)]
)
def test_a_connection_comes_about_by_cookie_only_when_the_kernel_wants_cookies(
    lab: Lab, mode: int, flood: bool, cookies: bool
) -> None:
    lab.host.run("sysctl", "-qw", f"net.ipv4.tcp_syncookies={mode}")
    lab.host.run("sysctl", "-qw", "net.ipv4.tcp_max_syn_backlog=8")
    mac = lab.host.run("cat", f"/sys/class/net/{HOST_IF}/address").stdout.strip()

    def do(filter_: Filter) -> tuple[bool, int]:
        if flood:
            lab.peer.python(_FLOOD, PEER_IF, mac)
        return _connect(lab), filter_.counts(Reason.SYN_COOKIE)["packets"]

    made = section(rule("web", Action.ALLOW, _WEB), syn_cookies=True)
    connected, answered = _filtered(lab, made, _serving(do))
    assert connected
    assert (answered > 0) == cookies, answered


def test_what_a_rule_redirects_leaves_by_the_other_interface(lab: Lab) -> None:
    match = FlowMatch(protocols=(17,), destination_ports=port(9))
    target = Target(interface="gi1")
    made = section(rule("away", Action.REDIRECT, match, target=target), default=Default.ALLOW)

    def do(filter_: Filter) -> tuple[int, int, int]:
        filter_.update("ingress_devices", 0, struct.pack("=I", _index("gi1")))
        before = _received(lab.peer, "gp1")
        lab.peer.python(_SEND, "9")
        aborted = filter_.counts(Reason.NO_TARGET)["packets"]
        return _received(lab.peer, "gp1") - before, filter_.counts(64)["packets"], aborted

    arrived, counted, aborted = _filtered(lab, made, do)
    assert (arrived, counted, aborted) == (5, 5, 0)


def test_what_a_rule_mirrors_comes_in_and_is_copied(lab: Lab) -> None:
    match = FlowMatch(protocols=(17,), destination_ports=port(9))
    made = section(
        rule("copy", Action.MIRROR, match, target=Target(interface="gi1")), default=Default.ALLOW
    )

    def do(filter_: Filter) -> tuple[int, int] | None:
        filter_.update("ingress_mirrors", 0, struct.pack("=I", _index("gi1")))
        libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        program = filter_.program("guard_ingress_mirror")
        link = libbpf.bpf_link_create(program, _index(HOST_IF), _TCX_INGRESS, None)
        if link < 0:
            return None
        before, mine = _received(lab.peer, "gp1"), _datagrams()
        lab.peer.python(_SEND, "9")
        return _received(lab.peer, "gp1") - before, _datagrams() - mine

    copied = _filtered(lab, made, do)
    if copied is None:
        pytest.skip("this kernel has no tcx: 6.6 and later do")
    assert copied == (5, 5)


_SEND = """
import socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(5):
    out.sendto(b"x", ("10.77.0.1", int(sys.argv[1])))
"""


def _received(peer: Space, name: str) -> int:
    (link,) = json.loads(peer.run("ip", "-j", "-s", "link", "show", name).stdout)
    return int(link["stats64"]["rx"]["packets"])


def _datagrams() -> int:
    """Datagrams to a port that nobody has, as the host's stack counted them."""
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, values = (line.split() for line in file if line.startswith("Udp:"))
    return int(values[names.index("NoPorts")])
