# SPDX-License-Identifier: Apache-2.0
"""Sockets that were made before the policy, by others, or under another policy: judged at use."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
from collections.abc import Callable

import pytest

from tests.kernel.harness import Enforcer
from tests.kernel.sockets import (
    DGRAM,
    INET,
    INET6,
    RAW,
    STREAM,
    UNIX,
    listening,
    loopback_up,
    make,
    net,
    spoken,
    told,
)

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def loopback() -> None:
    loopback_up()


USES: dict[str, Callable[[socket.socket], object]] = {
    "send": lambda sock: sock.send(b"x"),
    "write": lambda sock: os.write(sock.fileno(), b"x"),
    "recv": lambda sock: sock.recv(1, socket.MSG_DONTWAIT),
    "read": lambda sock: os.read(sock.fileno(), 1),
}


def used(sock: socket.socket, how: str) -> None:
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        USES[how](sock)


@pytest.mark.parametrize("family", [INET, INET6])
@pytest.mark.parametrize("how", USES)
def test_a_connection_made_before_the_policy_is_judged_when_it_is_used(
    how: str, family: int, enforcer: Enforcer
) -> None:
    address = "127.0.0.1" if family == INET else "::1"
    with listening(family) as port, make(family, STREAM) as sock:
        sock.connect((address, port))
        deny = f"{{id: it, deny: [connect], proto: tcp, port: {port}}}"
        enforcer.enforce(net(deny), net(deny, name="q", mode="audit"))
        free = enforcer.attempt(used, sock, how, label=None)
        assert (free.errno, free.records) == (0, [])
        watched = enforcer.attempt(used, sock, how, label=0b10)
        assert watched.errno == 0
        assert told(watched.record) == (["connect"], "would-deny", None, "q", "it")
        denied = enforcer.attempt(used, sock, how, label=0b01)
        assert denied.errno == errno.EACCES
        assert told(denied.record) == (["connect"], "denied", "EACCES", "p", "it")
        assert spoken(denied.record) == {
            "family": "inet" if family == INET else "inet6",
            "type": "stream",
            "protocol": "tcp",
            "address": address,
            "port": port,
        }
        again = enforcer.attempt(used, sock, how, label=0b01)
        assert again.errno == errno.EACCES, "a refusal is not remembered as judged"


def test_a_connection_that_its_policy_allows_is_judged_once(enforcer: Enforcer) -> None:
    with listening() as port, make(INET, STREAM) as sock:
        sock.connect(("127.0.0.1", port))
        rule = f"{{id: it, allow: [connect], proto: tcp, port: {port}, audit: true}}"
        enforcer.enforce(net(rule))

        def twice() -> None:
            used(sock, "send")
            used(sock, "send")

        attempt = enforcer.attempt(twice)
        assert attempt.errno == 0
        assert told(attempt.record) == (["connect"], "allowed", None, "p", "it")
        enforcer.enforce(net(rule))
        assert len(enforcer.attempt(twice).records) == 1, "again under the next generation"


def test_another_policys_task_is_judged_by_its_own(enforcer: Enforcer) -> None:
    with listening() as port, make(INET, STREAM) as sock:
        sock.connect(("127.0.0.1", port))
        enforcer.enforce(
            net(), net(f"{{id: it, deny: [connect], proto: tcp, port: {port}}}", name="q")
        )
        assert enforcer.attempt(used, sock, "send", label=0b01).errno == 0
        assert enforcer.attempt(used, sock, "send", label=0b10).errno == errno.EACCES
        assert enforcer.attempt(used, sock, "send", label=0b11).errno == errno.EACCES
        assert enforcer.attempt(used, sock, "send", label=0b01).errno == 0


def test_an_accepted_connection_is_not_taken_for_one_that_was_made(enforcer: Enforcer) -> None:
    with make(INET, STREAM) as server, make(INET, STREAM) as client:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        port = server.getsockname()[1]
        client.connect(("127.0.0.1", port))
        taken, _ = server.accept()
        enforcer.enforce(net("{deny: [connect], to: 127.0.0.0/8}"))
        attempt = enforcer.attempt(used, taken, "send")
        assert (attempt.errno, attempt.records) == (0, [])
        enforcer.enforce(net(f"{{id: it, deny: [accept], proto: tcp, port: {port}}}"))
        denied = enforcer.attempt(used, taken, "send")
        assert denied.errno == errno.EACCES
        assert told(denied.record) == (["accept"], "denied", "EACCES", "p", "it")
        taken.close()


def passed(sock: socket.socket) -> int:
    """Take a socket that is passed, and send on it."""
    _, ancillary, _, _ = sock.recvmsg(1, 64)
    found = array.array("i")
    found.frombytes(ancillary[0][2])
    with socket.socket(fileno=found[0]) as taken:
        return taken.send(b"x")


def test_a_socket_passed_by_another_process_is_judged(enforcer: Enforcer) -> None:
    with listening() as port, make(INET, STREAM) as sock:
        sock.connect(("127.0.0.1", port))
        deny = f"{{id: it, deny: [connect], proto: tcp, port: {port}}}"
        enforcer.enforce(net(deny))
        for label, wanted in ((None, 0), (0b01, errno.EACCES)):
            ours, theirs = socket.socketpair(UNIX, DGRAM)
            rights = array.array("i", [sock.fileno()])
            ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            assert enforcer.attempt(passed, theirs, label=label).errno == wanted
            ours.close()
            theirs.close()


def test_a_datagram_socket_bound_before_the_policy_does_not_receive(enforcer: Enforcer) -> None:
    with make(INET, DGRAM) as sock, make(INET, DGRAM) as free:
        sock.bind(("127.0.0.1", 7130))
        free.bind(("127.0.0.1", 7131))
        enforcer.enforce(net("{id: it, deny: [bind], proto: udp, port: 7130}"))
        assert enforcer.attempt(used, sock, "recv", label=None).errno == 0
        assert enforcer.attempt(used, free, "recv").errno == 0
        denied = enforcer.attempt(used, sock, "recv")
        assert denied.errno == errno.EACCES
        assert told(denied.record) == (["bind"], "denied", "EACCES", "p", "it")


def test_a_raw_socket_made_before_the_policy_does_not_receive(enforcer: Enforcer) -> None:
    packet = socket.AF_PACKET
    with make(INET, RAW, 1) as raw, make(packet, RAW, 0) as link:
        enforcer.enforce(
            net(
                "{id: raw, deny: [create], type: raw}", "{id: link, deny: [create], family: packet}"
            )
        )
        for sock in (raw, link):
            assert enforcer.attempt(used, sock, "recv", label=None).errno == 0
            denied = enforcer.attempt(used, sock, "recv")
            assert denied.errno == errno.EACCES
            assert denied.record["verbs"] == ["create"]


def test_a_unix_stream_given_to_a_process_is_its_own(enforcer: Enforcer) -> None:
    ours, theirs = socket.socketpair(UNIX, STREAM)
    enforcer.enforce(net(default="deny"))
    attempt = enforcer.attempt(used, theirs, "send")
    assert (attempt.errno, attempt.records) == (0, [])
    ours.close()
    theirs.close()


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_a_connect_that_fails_does_not_vouch_for_the_peer_that_stays(
    kind: int, enforcer: Enforcer
) -> None:
    def trick(sock: socket.socket) -> None:
        # One is connected already; to the other's address there is no route for a bound socket.
        with contextlib.suppress(OSError):
            sock.connect(("192.0.2.1", 9))
        sock.send(b"x")

    with listening() as port, make(INET, kind) as sock:
        sock.connect(("127.0.0.1", port))
        word = "tcp" if kind == STREAM else "udp"
        enforcer.enforce(net(f"{{id: it, deny: [connect], proto: {word}, port: {port}}}"))
        assert enforcer.attempt(trick, sock, label=None).errno in (0, errno.ECONNREFUSED)
        assert enforcer.attempt(trick, sock).errno == errno.EACCES
