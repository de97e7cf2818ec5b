# SPDX-License-Identifier: Apache-2.0
"""The net gate on UNIX sockets: paths and abstract names, streams and datagrams."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal
from tests.kernel.sockets import (
    DGRAM,
    SEQPACKET,
    STREAM,
    UNIX,
    make,
    net,
    prove,
    spoken,
    told,
)

pytestmark = pytest.mark.kernel

KINDS = {STREAM: "stream", DGRAM: "dgram", SEQPACKET: "seqpacket"}


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[dict[int, list[str]]]:
    """Of each type, two sockets with paths and two with abstract names, waiting."""
    found: dict[int, list[str]] = {}
    held = []
    for kind, word in KINDS.items():
        paths = [str(tmp_path / f"{word}-{one}") for one in ("secret", "other")]
        names = [f"\0guard/{word}-{one}" for one in ("secret", "other")]
        found[kind] = [*paths, *names]
        for name in found[kind]:
            sock = make(UNIX, kind)
            sock.bind(name)
            if kind != DGRAM:
                sock.listen(8)
            held.append(sock)
    yield found
    for sock in held:
        sock.close()


def connected(kind: int, name: str) -> None:
    with make(UNIX, kind) as sock:
        sock.connect(name)


def sent(name: str) -> None:
    with make(UNIX, DGRAM) as sock:
        sock.sendto(b"x", name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_not_connected_to(
    kind: int, peers: dict[int, list[str]], enforcer: Enforcer
) -> None:
    secret, other = peers[kind][:2]
    deny = f"{{id: it, deny: [connect], unix: ['{literal(secret)}']}}"
    prove(
        enforcer,
        deny,
        connected,
        (kind, secret),
        (kind, other),
        verb="connect",
        family="unix",
        path=secret,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_abstract_name_is_not_connected_to(
    kind: int, peers: dict[int, list[str]], enforcer: Enforcer
) -> None:
    secret, other = peers[kind][2:]
    deny = "{id: it, deny: [connect], abstract: ['guard/*-secret']}"
    prove(
        enforcer,
        deny,
        connected,
        (kind, secret),
        (kind, other),
        verb="connect",
        family="unix",
        type=KINDS[kind],
        abstract=secret[1:],
    )


def test_a_datagram_is_not_sent_to_a_path(peers: dict[int, list[str]], enforcer: Enforcer) -> None:
    secret, other = peers[DGRAM][:2]
    deny = f"{{id: it, deny: [send], unix: ['{literal(secret)}']}}"
    prove(enforcer, deny, sent, (secret,), (other,), verb="send", family="unix", path=secret)
    assert enforcer.attempt(connected, DGRAM, secret, label=0b01).errno == 0, "connect is another"


def test_a_datagram_is_not_sent_to_an_abstract_name(
    peers: dict[int, list[str]], enforcer: Enforcer
) -> None:
    secret, other = peers[DGRAM][2:]
    deny = "{id: it, deny: [send], abstract: ['*/dgram-secret']}"
    prove(
        enforcer,
        deny,
        sent,
        (secret,),
        (other,),
        verb="send",
        family="unix",
        type="dgram",
        abstract=secret[1:],
    )


def test_a_connect_denied_does_not_deny_the_sends_that_follow_it(
    peers: dict[int, list[str]], enforcer: Enforcer
) -> None:
    secret = peers[DGRAM][0]

    def both() -> None:
        with make(UNIX, DGRAM) as sock:
            try:
                sock.connect(secret)
            except PermissionError:
                sock.sendto(b"x", secret)
                return
            raise AssertionError("connected")

    enforcer.enforce(net(f"{{id: it, deny: [connect], unix: ['{literal(secret)}']}}"))
    attempt = enforcer.attempt(both)
    assert attempt.errno == 0
    assert told(attempt.record) == (["connect"], "denied", "EACCES", "p", "it")


def bound(name: str, kind: int = STREAM) -> None:
    with make(UNIX, kind) as sock:
        sock.bind(name)
        if not name.startswith("\0"):
            os.unlink(name)


def test_a_socket_is_not_bound_to_a_path(tmp_path: Path, enforcer: Enforcer) -> None:
    secret, other = str(tmp_path / "secret"), str(tmp_path / "other")
    deny = f"{{id: it, deny: [bind], unix: ['{literal(secret)}']}}"
    prove(enforcer, deny, bound, (secret,), (other,), verb="bind", family="unix", path=secret)
    assert not os.path.exists(secret)


def test_a_sockets_node_is_not_made_otherwise(tmp_path: Path, enforcer: Enforcer) -> None:
    path = tmp_path / "node"
    enforcer.enforce(net(f"{{id: it, deny: [bind], unix: ['{literal(path)}']}}"))
    denied = enforcer.attempt(os.mknod, path, stat.S_IFSOCK | 0o600)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["bind"], "denied", "EACCES", "p", "it")
    assert enforcer.attempt(os.mknod, path, stat.S_IFIFO | 0o600).errno == 0


ABSTRACT = {
    "a name": (b"guard/x-secret", "guard/?-secret", b"guard/y-other"),
    "the longest name": (b"n" * 107, "n" * 107, b"n" * 106),
    "one byte": (b"s", "s", b"t"),
    "bytes that are no text": (b"\xff\xfe-secret", "*-secret", b"\xff\xfe-other"),
}


@pytest.mark.parametrize("name", ABSTRACT)
def test_a_socket_is_not_bound_to_an_abstract_name(name: str, enforcer: Enforcer) -> None:
    raw, glob, beside = ABSTRACT[name]
    enforcer.enforce(net(f"{{id: it, deny: [bind], abstract: ['{glob}']}}"))

    def bound_to(raw: bytes) -> None:
        with make(UNIX, STREAM) as sock:
            sock.bind(b"\0" + raw)

    assert enforcer.attempt(bound_to, raw, label=None).errno == 0
    neighbour = enforcer.attempt(bound_to, beside)
    assert (neighbour.errno, neighbour.records) == (0, [])
    denied = enforcer.attempt(bound_to, raw)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["bind"], "denied", "EACCES", "p", "it")
    said = spoken(denied.record)
    assert said["abstract"] == raw.decode("utf-8", "replace")
    assert said["type"] == "stream"


def test_a_name_with_a_nul_in_it_is_matched_by_runs_alone(enforcer: Enforcer) -> None:
    def bound_to(raw: bytes) -> None:
        with make(UNIX, STREAM) as sock:
            sock.bind(raw)

    enforcer.enforce(net("{id: it, deny: [bind], abstract: ['a*']}"))
    assert enforcer.attempt(bound_to, b"\0b\0b").errno == 0
    denied = enforcer.attempt(bound_to, b"\0a\0b")
    assert denied.errno == errno.EACCES
    assert spoken(denied.record)["abstract"] == "a\0b"
    enforcer.enforce(net("{id: it, deny: [bind], abstract: ['a?b']}"))
    assert enforcer.attempt(bound_to, b"\0a\0b").errno == 0
    assert enforcer.attempt(bound_to, b"\0axb").errno == errno.EACCES


def test_the_ends_of_a_pair_need_no_address(enforcer: Enforcer) -> None:
    def pair() -> None:
        one, other = socket.socketpair(UNIX, DGRAM)
        one.send(b"x")
        assert other.recv(1) == b"x"

    enforcer.enforce(net("{allow: [create], family: unix}", default="deny"))
    attempt = enforcer.attempt(pair)
    assert (attempt.errno, attempt.records) == (0, [])


def test_a_unix_socket_listens_by_its_family(tmp_path: Path, enforcer: Enforcer) -> None:
    def listens(name: str) -> None:
        with make(UNIX, STREAM) as sock:
            sock.bind(name)
            os.unlink(name)
            sock.listen(1)

    name = str(tmp_path / "x")
    enforcer.enforce(net("{id: it, deny: [listen], family: unix}"))
    assert enforcer.attempt(listens, name, label=None).errno == 0
    denied = enforcer.attempt(listens, name)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["listen"], "denied", "EACCES", "p", "it")
    assert spoken(denied.record) == {"family": "unix", "type": "stream"}
