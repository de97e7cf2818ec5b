# SPDX-License-Identifier: Apache-2.0
"""Real traffic through a host with ``default: drop``: what must work works, the rest does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import (
    HOST_4,
    HOST_6,
    HOST_IF,
    PEER_4,
    PEER_6,
    PEER_IF,
    TRIVIAL,
    Space,
    compiled,
)
from tests.ingress_front.policies import state

pytestmark = pytest.mark.netns

WEB = "{id: web, allow: tcp, port: 80}"


@pytest.fixture(autouse=True)
def drop_all_else(host: Running) -> None:
    host.put(state(WEB))


def served(space: Space, source: str, *words: str) -> subprocess.Popen[str]:
    """A server that says when it is ready."""
    made = space.start(sys.executable, "-c", source, *words, stdout=subprocess.PIPE)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def ended(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    assert server.stdout is not None
    server.stdout.close()


HTTP = """
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"x" * 300000)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = Server((sys.argv[1], int(sys.argv[2])), Handler)
print("ready", flush=True)
server.serve_forever()
"""

FETCH = """
import sys, urllib.request
host = f"[{sys.argv[1]}]" if ":" in sys.argv[1] else sys.argv[1]
try: print(len(urllib.request.urlopen(f"http://{host}:{sys.argv[2]}/", timeout=2).read()))
except OSError as error: print(type(error).__name__)
"""


@pytest.fixture(params=["IPv4", "IPv6"])
def ends(request: pytest.FixtureRequest) -> tuple[str, str]:
    return (HOST_4, PEER_4) if request.param == "IPv4" else (HOST_6, PEER_6)


def test_a_web_server_that_a_rule_allows_is_reached_and_another_is_not(
    host: Running, ends: tuple[str, str]
) -> None:
    for port, answer in ((80, "300000\n"), (81, "URLError\n")):
        server = served(host.lab.host, HTTP, ends[0], str(port))
        assert host.lab.peer.python(FETCH, ends[0], str(port)).stdout == answer
        ended(server)


def test_the_hosts_own_requests_are_answered(host: Running, ends: tuple[str, str]) -> None:
    server = served(host.lab.peer, HTTP, ends[1], "8000")
    assert host.lab.host.python(FETCH, ends[1], "8000").stdout == "300000\n"
    ended(server)


def test_segments_of_no_connection_are_dropped(host: Running) -> None:
    before = host.counts()["default"]
    # A port that a connection of the host's has, but from elsewhere: RST if it came in.
    assert not host.connects(8080)
    assert host.counts()["default"] > before


DNS_SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM); server.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(512); server.sendto(data[:2] + b"answer", peer)
"""

DNS_CLIENT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM); client.settimeout(1)
client.sendto(b"\\x12\\x34question", (sys.argv[1], 53))
try: print(client.recv(512))
except OSError: print("none")
"""


def test_names_are_resolved(host: Running, ends: tuple[str, str]) -> None:
    server = served(host.lab.peer, DNS_SERVER, ends[1])
    assert host.lab.host.python(DNS_CLIENT, ends[1]).stdout == "b'\\x124answer'\n"
    ended(server)


def test_datagrams_that_nobody_asked_for_are_dropped(host: Running) -> None:
    assert host.ask("udp", 5353, HOST_4, None) is False
    host.put(state(WEB, "{id: name, allow: udp, port: 5353}"))
    assert host.ask("udp", 5353, HOST_4, None) is True


SESSION_SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 2222))
print("ready", flush=True)
one, _ = server.accept()
while data := one.recv(100): one.sendall(data.upper())
"""

SESSION_CLIENT = """
import socket, sys
client = socket.create_connection((sys.argv[1], 2222), 2); client.settimeout(2)
print("ready", flush=True)
for line in sys.stdin:
    client.sendall(line.strip().encode()); print(client.recv(100).decode(), flush=True)
"""


def test_a_session_from_before_the_policy_goes_on_and_a_new_one_is_refused(host: Running) -> None:
    host.put(state(WEB, "{id: ssh, allow: tcp, port: 2222}"))
    server = served(host.lab.host, SESSION_SERVER, HOST_4)
    client = host.lab.peer.start(
        sys.executable,
        "-c",
        SESSION_CLIENT,
        HOST_4,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None and client.stdin is not None
    assert client.stdout.readline() == "ready\n"

    def say(word: str) -> str:
        assert client.stdout is not None and client.stdin is not None
        client.stdin.write(f"{word}\n")
        client.stdin.flush()
        return client.stdout.readline()

    assert say("before") == "BEFORE\n"
    host.put(state(WEB))
    assert say("after") == "AFTER\n"
    assert not host.connects(2223)
    host.put(state('{deny: tcp, from: "10.77.0.0/24"}'))
    client.stdin.write("denied\n")
    client.stdin.flush()
    ended(server)
    client.stdin.close()
    assert "DENIED" not in client.stdout.read()  # a denial beats what is established
    client.kill()
    client.wait()
    client.stdout.close()


PING = """
import socket, struct, sys
six = ":" in sys.argv[1]
family, proto = (socket.AF_INET6, 58) if six else (socket.AF_INET, 1)
ping = socket.socket(family, socket.SOCK_RAW, proto); ping.settimeout(float(sys.argv[2]))
body = struct.pack(">BBHHH", 128 if six else 8, 0, 0, 0x4242, 1) + b"guard---"
if not six:
    total = sum(struct.unpack(">8H", body)); total = (total & 0xffff) + (total >> 16)
    body = body[:2] + struct.pack(">H", ~total & 0xffff) + body[4:]
ping.sendto(body, (sys.argv[1], 0))
try:
    while True:
        data = ping.recv(2000); data = data if six else data[20:]
        if data[0] == (129 if six else 0) and data[4:6] == b"BB": print("answered"); break
except OSError: print("none")
"""


def test_the_host_can_ping_and_is_not_pinged(host: Running, ends: tuple[str, str]) -> None:
    assert host.lab.host.python(PING, ends[1], "1").stdout == "answered\n"
    assert host.lab.peer.python(PING, ends[0], "0.4").stdout == "none\n"
    host.put(state(WEB, "{allow: [icmp, icmp6], icmp: echo, icmp6: echo}"))
    assert host.lab.peer.python(PING, ends[0], "1").stdout == "answered\n"


def test_neighbours_find_each_other_anew(host: Running) -> None:
    for space, interface in ((host.lab.host, HOST_IF), (host.lab.peer, PEER_IF)):
        space.run("ip", "-6", "neigh", "flush", "dev", interface)
        space.run("ip", "-4", "neigh", "flush", "dev", interface)
    before = host.counts()
    assert host.connects(80, HOST_6)
    assert host.connects(80, HOST_4)
    after = host.counts()
    assert after["neighbour"] > before["neighbour"]
    assert after["ethertype"] > before["ethertype"]  # ARP


def test_without_neighbour_discovery_there_is_none(host: Running) -> None:
    host.put(state(WEB, more="established: {neighbours: false}"))
    for space, interface in ((host.lab.host, HOST_IF), (host.lab.peer, PEER_IF)):
        space.run("ip", "-6", "neigh", "flush", "dev", interface)
    assert not host.connects(80, HOST_6)


ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM); server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(70000); server.sendto(data, peer)
"""

LARGE = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM); client.settimeout(float(sys.argv[3]))
client.sendto(b"x" * 9000, (sys.argv[1], int(sys.argv[2])))
try: print(len(client.recv(70000)))
except OSError: print("none")
"""


def test_fragmented_answers_come_in_and_fragmented_requests_where_they_are_allowed(
    host: Running, ends: tuple[str, str]
) -> None:
    server = served(host.lab.peer, ECHO, ends[1], "7001")
    assert host.lab.host.python(LARGE, ends[1], "7001", "1").stdout == "9000\n"
    ended(server)
    server = served(host.lab.host, ECHO, ends[0], "7002")
    assert host.lab.peer.python(LARGE, ends[0], "7002", "0.4").stdout == "none\n"
    host.put(state(WEB, "{allow: udp, port: 7002}"))
    before = host.counts()["tracked"]
    assert host.lab.peer.python(LARGE, ends[0], "7002", "1").stdout == "9000\n"
    assert host.counts()["tracked"] - before >= 5
    host.put(state(WEB, "{allow: udp, port: 7002}", more="fragments: drop"))
    assert host.lab.peer.python(LARGE, ends[0], "7002", "0.4").stdout == "none\n"
    ended(server)


@pytest.fixture
def beyond(host: Running) -> Iterator[Space]:
    """A third machine behind the peer, over a link of 1 280 bytes."""
    made = Space()
    peer = host.lab.peer
    ends = ["mtu", "1280", "netns"]
    other = ["peer", "name", "gb0", *ends, str(made.pid)]
    subprocess.run(
        ["ip", "link", "add", "narrow", *ends, str(peer.pid), "type", "veth", *other],
        check=True,
    )
    for space, name, four, six in (
        (peer, "narrow", "10.78.0.1/24", "fd78::1/64"),
        (made, "gb0", "10.78.0.2/24", "fd78::2/64"),
    ):
        space.run("ip", "addr", "add", four, "dev", name)
        space.run("ip", "addr", "add", six, "dev", name, "nodad")
        space.run("ip", "link", "set", name, "up")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        peer.run(sys.executable, "-c", _SYSCTL, key)
    made.run("ip", "route", "add", "default", "via", "10.78.0.1")
    made.run("ip", "-6", "route", "add", "default", "via", "fd78::1")
    host.lab.host.run("ip", "route", "replace", "10.78.0.0/24", "via", PEER_4)
    host.lab.host.run("ip", "-6", "route", "replace", "fd78::/64", "via", PEER_6)
    yield made
    peer.run("ip", "link", "del", "narrow")
    made.close()


_SYSCTL = "import sys; open('/proc/sys/' + sys.argv[1].replace('.', '/'), 'w').write('1')"

SINK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], 7100), family=family)
print("ready", flush=True)
while True:
    one, _ = server.accept(); total = 0
    while data := one.recv(65536): total += len(data)
    one.sendall(str(total).encode()); one.close()
"""

UPLOAD = """
import socket, sys
client = socket.create_connection((sys.argv[1], 7100), 3); client.settimeout(5)
try:
    client.sendall(b"x" * 200000); client.shutdown(socket.SHUT_WR); print(client.recv(100).decode())
except OSError: print("stuck")
"""


@pytest.mark.parametrize("address", ["10.78.0.2", "fd78::2"])
def test_a_narrower_path_is_learnt_from_the_routers_errors(
    host: Running, beyond: Space, address: str
) -> None:
    # Interfaces announce nothing (MSS is of the wider link): only the error tells.
    server = served(beyond, SINK, address)
    assert host.lab.host.python(UPLOAD, address).stdout == "200000\n"
    ended(server)


REFUSED = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.settimeout(1)
client.connect((sys.argv[1], 7300)); client.send(b"x")
try: print(client.recv(10))
except ConnectionRefusedError: print("refused")
except OSError: print("nothing")
"""


def test_an_unreachable_port_is_told_to_the_program_that_asked(host: Running) -> None:
    assert host.lab.host.python(REFUSED, PEER_4).stdout == "refused\n"


def test_a_reject_rule_tells_the_client_at_once(host: Running, tmp_path: Path) -> None:
    # A veth takes what the other end's XDP sends back only where it has XDP itself.
    passes = compiled(TRIVIAL, tmp_path)
    host.lab.peer.run("ip", "link", "set", PEER_IF, "xdp", "obj", str(passes), "program", "pass")
    host.put(state(WEB, "{id: none, reject: [tcp, udp], port: 7200}"))
    assert host.ask("tcp", 7200, HOST_4, None) == "refused"
    assert host.ask("tcp", 7200, HOST_6, None) == "refused"
    assert host.ask("udp", 7200, HOST_4, None) == "No route to host"  # prohibited, RFC 1812
    host.lab.peer.run("ip", "link", "set", PEER_IF, "xdp", "off")


CHECKSUMS = """
import array, fcntl, socket, struct, sys
# struct ethtool_value for ETHTOOL_STXCSUM, and struct ifreq that points to it: netdevice(7).
value = array.array("I", [0x17, int(sys.argv[2])])
request = struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0])
fcntl.ioctl(socket.socket(), 0x8946, request)
"""


def test_packets_that_a_rule_gives_to_another_cpu_reach_their_socket(host: Running) -> None:
    # A veth's packets have their checksum made last, and another CPU is not told that.
    host.lab.peer.python(CHECKSUMS, PEER_IF, "0")
    last = max(os.sched_getaffinity(0))
    host.put(state(WEB, f"{{id: spread, redirect: udp, port: 7400, to-cpu: {last}}}"))
    before = host.counts()
    assert host.ask("udp", 7400, HOST_4, None) is True
    after = host.counts()
    assert after["spread"] > before.get("spread", 0)
    assert after["no_target"] == before["no_target"]
    host.lab.peer.python(CHECKSUMS, PEER_IF, "1")


def test_packets_for_an_interface_that_went_are_a_fault_that_is_counted(host: Running) -> None:
    host.lab.wire("gi2", "gp2", "10.80.0.1", "10.80.0.2")
    host.put(state(WEB, "{id: away, redirect: udp, port: 7400, to-interface: gi2}"))
    host.lab.host.run("ip", "link", "del", "gi2")
    before = host.counts()["no_target"]
    assert host.ask("udp", 7400, HOST_4, None) is False
    assert host.counts()["no_target"] > before
    assert host.connects(80)


def test_a_policy_in_audit_mode_counts_and_lets_in(host: Running) -> None:
    host.put(state("{id: none, deny: tcp, port: 80}", mode="audit"))
    before = host.counts()["none"]
    assert host.connects(80)
    assert host.connects(81)
    assert host.counts()["none"] > before
