# SPDX-License-Identifier: Apache-2.0
"""Answers come in under ``default: drop``, and nothing that only looks like one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    IPv6,
)
from scapy.packet import Packet

from guard.policy.ingress import Action, Established, FlowMatch
from guard.wire.ingress import Reason
from tests.ingress.make import frame, port, prefix, put, rule, section
from tests.ingress.native import DROP, PASS, Filter

HERE, PEER, OTHER = "192.0.2.1", "198.51.100.7", "198.51.100.8"
HERE6, PEER6 = "2001:db8::1", "2001:db8:1::7"
NOBODY = "0.0.0.0"  # noqa: S104 - a source, no socket


@dataclass
class Connection:
    """A TCP connection over loopback, of which ``near`` is the end that is asked about."""

    address: str
    near: int
    far: int
    listener: int

    def ip(self) -> Packet:
        kind = IPv6 if ":" in self.address else IP
        return kind(src=self.address, dst=self.address)


@contextmanager
def connection(address: str) -> Iterator[Connection]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind((address, 0))
        server.listen()
        client.connect(server.getsockname()[:2])
        taken, _ = server.accept()
        with taken:
            listener = server.getsockname()[1]
            yield Connection(address, client.getsockname()[1], listener, listener)


@pytest.fixture(params=["127.0.0.1", "::1"])
def tcp(request: pytest.FixtureRequest) -> Iterator[Connection]:
    with connection(request.param) as made:
        yield made


def _verdict(filter_: Filter, packet: Packet) -> tuple[int, int]:
    outcome = filter_.run([frame(packet)])[0]
    return outcome.verdict, outcome.reason


IN, OUT = (PASS, Reason.ESTABLISHED), (DROP, Reason.DEFAULT)


def test_a_segment_of_the_hosts_own_connection_comes_in(loaded: Filter, tcp: Connection) -> None:
    put(loaded, section())
    answer = tcp.ip() / TCP(sport=tcp.far, dport=tcp.near, flags="A")
    assert _verdict(loaded, answer) == IN
    put(loaded, section(established=None))
    assert _verdict(loaded, answer) == OUT


def test_what_only_looks_like_a_segment_of_it_does_not(loaded: Filter, tcp: Connection) -> None:
    put(loaded, section())
    for near, far, flags in (
        (tcp.near, tcp.far, "S"),
        (tcp.near, tcp.far ^ 1, "A"),
        (tcp.near ^ 1, tcp.far, "A"),
        # A listener is nobody's connection.
        (tcp.listener, 1, "A"),
        (tcp.listener, 1, "SA"),
    ):
        packet = tcp.ip() / TCP(sport=far, dport=near, flags=flags)
        assert _verdict(loaded, packet) == OUT, (near, far, flags)


def test_a_denial_beats_return_traffic(loaded: Filter) -> None:
    with connection("127.0.0.1") as tcp:
        answer = tcp.ip() / TCP(sport=tcp.far, dport=tcp.near, flags="A")
        match = FlowMatch(sources=(prefix("127.0.0.0/8"),))
        put(loaded, section(rule("no", Action.DENY, match)))
        assert _verdict(loaded, answer) == (DROP, Reason.RULE)


def test_an_error_about_the_hosts_own_connection_comes_in(loaded: Filter, tcp: Connection) -> None:
    put(loaded, section())
    kinds = {
        "127.0.0.1": (ICMP(type=3, code=4), ICMP(type=11)),
        "::1": (ICMPv6PacketTooBig(mtu=1280), ICMPv6DestUnreach()),
    }
    for error in kinds[tcp.address]:
        quoted = tcp.ip() / TCP(sport=tcp.near, dport=tcp.far)
        assert _verdict(loaded, tcp.ip() / error / quoted) == IN
        other = tcp.ip() / TCP(sport=tcp.near, dport=tcp.far ^ 1)
        assert _verdict(loaded, tcp.ip() / error / other) == OUT
        quoted.src = "127.0.0.2" if tcp.address == "127.0.0.1" else "::2"
        assert _verdict(loaded, tcp.ip() / error / quoted) == OUT


def test_an_answer_to_a_datagram_comes_in_from_whom_it_was_sent_to(loaded: Filter) -> None:
    put(loaded, section())
    query = IP(src=HERE, dst=PEER) / UDP(sport=40001, dport=53)
    answer = IP(src=PEER, dst=HERE) / UDP(sport=53, dport=40001)
    assert _verdict(loaded, answer) == OUT
    loaded.leaves(frame(query))
    assert _verdict(loaded, answer) == IN
    for source, sport, dport in ((OTHER, 53, 40001), (PEER, 54, 40001), (PEER, 53, 40002)):
        packet = IP(src=source, dst=HERE) / UDP(sport=sport, dport=dport)
        assert _verdict(loaded, packet) == OUT


def test_an_answer_to_a_datagram_over_ipv6_comes_in(loaded: Filter) -> None:
    put(loaded, section())
    loaded.leaves(frame(IPv6(src=HERE6, dst=PEER6) / UDP(sport=40003, dport=53)))
    answer = IPv6(src=PEER6, dst=HERE6) / UDP(sport=53, dport=40003)
    assert _verdict(loaded, answer) == IN
    error = ICMPv6DestUnreach() / IPv6(src=HERE6, dst=PEER6) / UDP(sport=40003, dport=53)
    assert _verdict(loaded, IPv6(src="2001:db8:9::1", dst=HERE6) / error) == IN


def test_an_answer_to_what_was_sent_to_all_comes_in_from_anybody(loaded: Filter) -> None:
    put(loaded, section())
    offer = IP(src=PEER, dst="192.0.2.77") / UDP(sport=67, dport=68)
    assert _verdict(loaded, offer) == OUT
    asked = IP(src=NOBODY, dst="255.255.255.255") / UDP(sport=68, dport=67)
    loaded.leaves(frame(asked))
    assert _verdict(loaded, offer) == IN
    assert _verdict(loaded, IP(src=PEER, dst=HERE) / UDP(sport=67, dport=69)) == OUT


def test_an_echo_reply_comes_in_to_whoever_asked(loaded: Filter) -> None:
    put(loaded, section())
    loaded.leaves(frame(IP(src=HERE, dst=PEER) / ICMP(type=8, id=77)))
    assert _verdict(loaded, IP(src=PEER, dst=HERE) / ICMP(type=0, id=77)) == IN
    assert _verdict(loaded, IP(src=PEER, dst=HERE) / ICMP(type=0, id=78)) == OUT
    assert _verdict(loaded, IP(src=PEER, dst=HERE) / ICMP(type=8, id=77)) == OUT
    loaded.leaves(frame(IPv6(src=HERE6, dst=PEER6) / ICMPv6EchoRequest(id=77)))
    assert _verdict(loaded, IPv6(src=PEER6, dst=HERE6) / ICMPv6EchoReply(id=77)) == IN
    assert _verdict(loaded, IPv6(src=PEER6, dst=HERE6) / ICMPv6EchoReply(id=79)) == OUT


def test_what_left_as_tcp_is_known_only_to_a_router(loaded: Filter) -> None:
    put(loaded, section())
    sent = frame(IP(src=HERE, dst=PEER) / TCP(sport=40009, dport=443, flags="S"))
    answer = IP(src=PEER, dst=HERE) / TCP(sport=443, dport=40009, flags="SA")
    loaded.leaves(sent)
    assert _verdict(loaded, answer) == OUT
    put(loaded, section(established=Established(forwarded=True)))
    loaded.leaves(sent)
    assert _verdict(loaded, answer) == IN


def test_each_kind_of_return_traffic_can_be_left_out(loaded: Filter) -> None:
    loaded.leaves(frame(IP(src=HERE, dst=PEER) / UDP(sport=40011, dport=53)))
    loaded.leaves(frame(IP(src=HERE, dst=PEER) / ICMP(type=8, id=80)))
    answers = {
        "udp": IP(src=PEER, dst=HERE) / UDP(sport=53, dport=40011),
        "icmp": IP(src=PEER, dst=HERE) / ICMP(type=0, id=80),
    }
    for left_out in answers:
        put(loaded, section(established=Established(**{left_out: False})))
        for kind, packet in answers.items():
            assert _verdict(loaded, packet) == (OUT if kind == left_out else IN)


def test_neighbours_come_in_and_nobody_in_their_name(loaded: Filter) -> None:
    put(loaded, section())
    near = (PASS, Reason.NEIGHBOUR)
    local = "fe80::1"
    for message in (ICMPv6ND_NS(tgt=HERE6), ICMPv6ND_RA()):
        assert _verdict(loaded, IPv6(src=local, dst=HERE6, hlim=255) / message) == near
        assert _verdict(loaded, IPv6(src=local, dst=HERE6, hlim=254) / message) == OUT
    report = ICMPv6MLReport2()
    assert _verdict(loaded, IPv6(src=local, dst="ff02::16", hlim=1) / report) == near
    assert _verdict(loaded, IPv6(src=PEER6, dst="ff02::16", hlim=1) / report) == OUT
    redirect = ICMPv6ND_Redirect()
    assert _verdict(loaded, IPv6(src=local, dst=HERE6, hlim=255) / redirect) == OUT
    put(loaded, section(established=Established(neighbours=False)))
    solicitation = IPv6(src=local, dst=HERE6, hlim=255) / ICMPv6ND_NS(tgt=HERE6)
    assert _verdict(loaded, solicitation) == OUT


def test_a_later_fragment_goes_the_way_of_its_first(loaded: Filter) -> None:
    dns = FlowMatch(protocols=(17,), destination_ports=port(53))
    put(loaded, section(rule("dns", Action.ALLOW, dns)))
    body = bytes(UDP(sport=1, dport=53, len=2008)) + bytes(2000)

    def piece(source: str, id_: int, first: bool) -> Packet:
        half = body[:1000] if first else body[1000:]
        return (
            IP(
                src=source,
                dst=HERE,
                proto=17,
                id=id_,
                flags="MF" if first else "",
                frag=0 if first else 125,
            )
            / half
        )

    assert _verdict(loaded, piece(PEER, 5, False)) == OUT
    assert _verdict(loaded, piece(PEER, 5, True)) == (PASS, Reason.RULE)
    assert _verdict(loaded, piece(PEER, 5, False)) == (PASS, Reason.TRACKED)
    assert _verdict(loaded, piece(PEER, 6, False)) == OUT
    assert _verdict(loaded, piece(OTHER, 5, False)) == OUT
    # What denies the address denies the fragment, whatever became of the first.
    no = rule("no", Action.DENY, FlowMatch(sources=(prefix(f"{PEER}/32"),)))
    put(loaded, section(no))
    assert _verdict(loaded, piece(PEER, 5, False)) == (DROP, Reason.RULE)
