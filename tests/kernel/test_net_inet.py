# SPDX-License-Identifier: Apache-2.0
"""The net gate on internet sockets and other families: each verb denied with its twins."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

import pytest

from tests.kernel import calls
from tests.kernel.harness import Enforcer
from tests.kernel.sockets import (
    DGRAM,
    INET,
    INET6,
    RAW,
    REACHED,
    STREAM,
    bind,
    connect,
    inet,
    inet6,
    listening,
    loopback_up,
    make,
    net,
    prove,
    received,
    receiving,
    send,
    spoken,
    told,
)

pytestmark = pytest.mark.kernel

ANY = str(ipaddress.IPv4Address(0))
NETLINK, PACKET = 16, 17
NEWNET = 0x40000000  # include/uapi/linux/sched.h


@pytest.fixture(autouse=True)
def loopback() -> None:
    loopback_up()


def create(family: int, kind: int, protocol: int) -> None:
    make(family, kind, protocol).close()


CREATIONS = {
    "tcp": ("proto: tcp", (INET, STREAM, 0), (INET, DGRAM, 0), ("inet", "stream", "tcp")),
    "udp": ("proto: udp", (INET6, DGRAM, 0), (INET6, STREAM, 0), ("inet6", "dgram", "udp")),
    "raw icmp": (
        "family: inet, type: raw, proto: icmp",
        (INET, RAW, 1),
        (INET, RAW, 2),
        ("inet", "raw", "icmp"),
    ),
    "netlink": (
        "family: netlink, proto: generic",
        (NETLINK, RAW, 16),
        (NETLINK, RAW, 0),
        ("netlink", "raw", "16"),
    ),
    "packet": (
        "family: packet",
        (PACKET, RAW, socket.htons(0x0800)),
        (INET, RAW, 1),
        ("packet", "raw", str(0x0800)),
    ),
    "mptcp, by tcp's rule": (
        "proto: tcp",
        (INET, STREAM, 262),
        (INET, DGRAM, 0),
        ("inet", "stream", "mptcp"),
    ),
    "unix": ("family: unix", (1, DGRAM, 0), (INET, DGRAM, 0), ("unix", "dgram", None)),
    "raw unix, which are datagrams": (
        "family: unix, type: dgram",
        (1, RAW, 1),
        (1, STREAM, 0),
        ("unix", "dgram", None),
    ),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_a_socket_is_not_made(name: str, enforcer: Enforcer) -> None:
    words, made, beside, (family, kind, protocol) = CREATIONS[name]
    said = {"family": family, "type": kind}
    if protocol is not None:
        said["protocol"] = protocol
    prove(
        enforcer,
        f"{{id: it, deny: [create], {words}}}",
        create,
        made,
        beside,
        verb="create",
        **said,
    )


def test_a_pair_of_sockets_is_not_made(enforcer: Enforcer) -> None:
    def pair(kind: int) -> None:
        for one in socket.socketpair(socket.AF_UNIX, kind):
            one.close()

    enforcer.enforce(net("{id: it, deny: [create], family: unix, type: seqpacket}"))
    assert enforcer.attempt(pair, 5, label=None).errno == 0
    assert enforcer.attempt(pair, 1).errno == 0
    denied = enforcer.attempt(pair, 5)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["create"], "denied", "EACCES", "p", "it")


def bound(family: int, kind: int, address: bytes) -> None:
    with make(family, kind) as sock:
        bind(sock, address)


BINDS = {
    "an address and port": (
        "proto: tcp, to: 127.0.0.2, port: 7100",
        (INET, STREAM, inet("127.0.0.2", 7100)),
        (INET, STREAM, inet("127.0.0.3", 7100)),
        "127.0.0.2",
        7100,
    ),
    "every address, which the denied one is among": (
        "proto: udp, to: 127.0.0.2, port: 7100",
        (INET, DGRAM, inet(ANY, 7100)),
        (INET, DGRAM, inet(ANY, 7101)),
        ANY,
        7100,
    ),
    "AF_UNSPEC, which IPv4 takes for its own": (
        "proto: tcp, port: 7100",
        (INET, STREAM, inet(ANY, 7100, 0)),
        (INET, STREAM, inet(ANY, 7101, 0)),
        ANY,
        7100,
    ),
    "a mapped address": (
        "proto: udp, to: 127.0.0.2, port: 7100",
        (INET6, DGRAM, inet6("::ffff:127.0.0.2", 7100)),
        (INET6, DGRAM, inet6("::ffff:127.0.0.3", 7100)),
        "127.0.0.2",
        7100,
    ),
    "IPv6": (
        "proto: tcp, to: '::1', port: 7000-7200",
        (INET6, STREAM, inet6("::1", 7100)),
        (INET6, STREAM, inet6("::1", 7201)),
        "::1",
        7100,
    ),
    "port 0, which the kernel may make a denied one": (
        "proto: tcp, port: 40000",
        (INET, STREAM, inet("127.0.0.1", 0)),
        (INET, STREAM, inet("127.0.0.1", 7101)),
        "127.0.0.1",
        0,
    ),
}


@pytest.mark.parametrize("name", BINDS)
def test_a_socket_is_not_bound_to(name: str, enforcer: Enforcer) -> None:
    words, made, beside, address, port = BINDS[name]
    family, kind, _ = made
    prove(
        enforcer,
        f"{{id: it, deny: [bind], {words}}}",
        bound,
        made,
        beside,
        verb="bind",
        family="inet" if family == INET else "inet6",
        type="stream" if kind == STREAM else "dgram",
        protocol="tcp" if kind == STREAM else "udp",
        address=address,
        port=port,
    )


def listened(port: int | None) -> None:
    with make(INET, STREAM) as sock:
        if port is not None:
            sock.bind(("127.0.0.1", port))
        sock.listen(1)


def test_a_socket_does_not_listen(enforcer: Enforcer) -> None:
    prove(
        enforcer,
        "{id: it, deny: [listen], proto: tcp, port: 7110}",
        listened,
        (7110,),
        (7111,),
        verb="listen",
        family="inet",
        type="stream",
        protocol="tcp",
        address="127.0.0.1",
        port=7110,
    )


def accepted(port: int) -> None:
    """Accepts its own connection, from before the label as far as verbs go."""
    with make(INET, STREAM) as sock, make(INET, STREAM) as client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(1)
        client.connect(("127.0.0.1", port))
        sock.accept()[0].close()


def test_a_connection_is_not_accepted(enforcer: Enforcer) -> None:
    prove(
        enforcer,
        "{id: it, deny: [accept], proto: tcp, to: 127.0.0.0/8, port: 7120}",
        accepted,
        (7120,),
        (7121,),
        verb="accept",
        family="inet",
        type="stream",
        protocol="tcp",
        address="127.0.0.1",
        port=7120,
    )


def connected(family: int, kind: int, protocol: int, address: bytes) -> None:
    with make(family, kind, protocol) as sock:
        connect(sock, address)


@pytest.mark.parametrize(
    ("kind", "protocol", "word"), [(STREAM, 0, "tcp"), (DGRAM, 0, "udp"), (STREAM, 262, "mptcp")]
)
def test_an_address_is_not_connected_to(
    kind: int, protocol: int, word: str, enforcer: Enforcer
) -> None:
    with listening() as port:
        prove(
            enforcer,
            f"{{id: it, deny: [connect], proto: {word}, to: 127.0.0.2/31, port: {port}}}",
            connected,
            (INET, kind, protocol, inet("127.0.0.3", port)),
            (INET, kind, protocol, inet("127.0.0.4", port)),
            verb="connect",
            reached=REACHED,
            family="inet",
            type="stream" if kind == STREAM else "dgram",
            protocol=word,
            address="127.0.0.3",
            port=port,
        )


def test_an_ipv6_address_is_not_connected_to(enforcer: Enforcer) -> None:
    with listening(INET6) as port:
        prove(
            enforcer,
            f"{{id: it, deny: [connect], proto: tcp, to: '::/64', port: {port}}}",
            connected,
            (INET6, STREAM, 0, inet6("::1", port)),
            (INET, STREAM, 0, inet("127.0.0.1", port)),
            verb="connect",
            reached=REACHED,
            family="inet6",
            type="stream",
            protocol="tcp",
            address="::1",
            port=port,
        )


def sent(family: int, address: bytes) -> None:
    with make(family, DGRAM) as sock:
        send(sock, address)


def test_a_datagram_is_not_sent(enforcer: Enforcer) -> None:
    with receiving() as sink:
        port = sink.getsockname()[1]
        prove(
            enforcer,
            f"{{id: it, deny: [send], proto: udp, to: 127.0.0.1, port: {port}}}",
            sent,
            (INET, inet("127.0.0.1", port)),
            (INET, inet("127.0.0.1", port - 1)),
            verb="send",
            reached=REACHED,
            family="inet",
            type="dgram",
            protocol="udp",
            address="127.0.0.1",
            port=port,
        )
        assert received(sink) == 2, "the two that nothing denied"


def test_what_no_rule_allows_is_denied_by_default(enforcer: Enforcer) -> None:
    with listening() as port:
        allow = f"{{allow: [connect], proto: tcp, to: 127.0.0.1, port: {port}}}"
        enforcer.enforce(net("{allow: [create], proto: tcp}", allow, default="deny"))
        address = inet("127.0.0.1", port)
        assert enforcer.attempt(connected, INET, STREAM, 0, address).errno == 0
        other = enforcer.attempt(connected, INET, STREAM, 0, inet("127.0.0.2", port))
        assert other.errno == errno.EACCES
        assert told(other.record) == (["connect"], "denied", "EACCES", "p", None)
        udp = enforcer.attempt(connected, INET, DGRAM, 0, address)
        assert udp.errno == errno.EACCES
        assert told(udp.record) == (["create"], "denied", "EACCES", "p", None)
        assert enforcer.attempt(create, 1, STREAM, 0).errno == errno.EACCES


def test_an_address_of_another_family_is_refused_with_its_reason(enforcer: Enforcer) -> None:
    enforcer.enforce(net(), net(name="q", mode="audit"))
    address = inet6("::1", 9)
    assert enforcer.attempt(sent, INET, address, label=None).errno == errno.EAFNOSUPPORT
    watched = enforcer.attempt(sent, INET, address, label=0b10)
    assert (watched.errno, watched.record["verdict"]) == (errno.EAFNOSUPPORT, "would-deny")
    refused = enforcer.attempt(sent, INET, address, label=0b01)
    assert refused.errno == errno.EACCES
    assert refused.record["reason"] == "address"
    short = enforcer.attempt(sent, INET, address[:10], label=0b01)
    assert (short.errno, short.record["reason"]) == (errno.EACCES, "address")


def test_a_connection_may_be_taken_apart(enforcer: Enforcer) -> None:
    def disconnect(port: int) -> None:
        with make(INET, DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            connect(sock, inet(ANY, 0, 0))

    enforcer.enforce(
        net(
            "{allow: [create], proto: udp}",
            "{allow: [connect], proto: udp, port: 9}",
            default="deny",
        )
    )
    attempt = enforcer.attempt(disconnect, 9)
    assert (attempt.errno, attempt.records) == (0, [])


def test_other_families_are_judged_for_every_verb_without_an_address(enforcer: Enforcer) -> None:
    def ask() -> None:
        with make(NETLINK, RAW, 0) as sock:
            sock.bind((0, 0))
            sock.sendto(struct.pack("=IHHII", 16, 1, 0, 0, 0), (0, 0))  # NLMSG_NOOP

    enforcer.enforce(net("{id: it, deny: [bind], family: netlink}"))
    assert enforcer.attempt(ask, label=None).errno == 0
    denied = enforcer.attempt(ask)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["bind"], "denied", "EACCES", "p", "it")
    assert spoken(denied.record) == {"family": "netlink", "type": "raw"}
    enforcer.enforce(net("{id: it, deny: [send], family: netlink, proto: route}"))
    denied = enforcer.attempt(ask)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["send"], "denied", "EACCES", "p", "it")


def test_the_kernels_own_sockets_are_nobodys(enforcer: Enforcer) -> None:
    """A name space's set-up makes sockets in the kernel, for whoever asks for it."""
    enforcer.enforce(net(default="deny"))
    attempt = enforcer.attempt(lambda: calls.unshare(NEWNET))
    assert (attempt.errno, attempt.records) == (0, [])
