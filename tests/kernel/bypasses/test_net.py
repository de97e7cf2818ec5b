# SPDX-License-Identifier: Apache-2.0
"""Known ways round network rules, each tried: B-11 to B-17 and B-32."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal
from tests.kernel.sockets import (
    DGRAM,
    FASTOPEN,
    INET,
    INET6,
    MPTCP,
    RAW,
    REACHED,
    SCTP,
    STREAM,
    UDPLITE,
    UNIX,
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


@pytest.fixture(autouse=True)
def loopback() -> None:
    loopback_up()


def sent(family: int, address: bytes) -> None:
    with make(family, DGRAM) as sock:
        send(sock, address)


def connected(family: int, kind: int, protocol: int, address: bytes) -> None:
    with make(family, kind, protocol) as sock:
        connect(sock, address)


def test_b11_an_address_of_no_family_is_the_sockets_own(enforcer: Enforcer) -> None:
    with receiving() as sink:
        port = sink.getsockname()[1]
        prove(
            enforcer,
            f"{{id: it, deny: [send], proto: udp, to: 127.0.0.1, port: {port}}}",
            sent,
            (INET, inet("127.0.0.1", port, socket.AF_UNSPEC)),
            (INET, inet("127.0.0.2", port, socket.AF_UNSPEC)),
            verb="send",
            reached=REACHED,
            family="inet",
            type="dgram",
            protocol="udp",
            address="127.0.0.1",
            port=port,
        )
        assert received(sink) == 2, "the two that nothing denied"


FORMS: dict[str, tuple[int, Callable[[str, int], bytes]]] = {
    "an IPv4 address on an IPv6 socket": (INET6, inet),
    "a mapped address": (INET6, lambda address, port: inet6(f"::ffff:{address}", port)),
    "as it is": (INET, inet),
}


@pytest.mark.parametrize("form", FORMS)
def test_b12_every_form_of_an_address_is_the_address(form: str, enforcer: Enforcer) -> None:
    family, form_of = FORMS[form]
    with receiving(INET6) as sink:
        port = sink.getsockname()[1]
        prove(
            enforcer,
            f"{{id: it, deny: [send], proto: udp, to: 127.0.0.1, port: {port}}}",
            sent,
            (family, form_of("127.0.0.1", port)),
            (family, form_of("127.0.0.2", port)),
            verb="send",
            reached=REACHED,
            family="inet" if family == INET else "inet6",
            type="dgram",
            protocol="udp",
            address="127.0.0.1",
            port=port,
        )
        assert received(sink) >= 2


ANYWHERE = {
    "0.0.0.0": (INET, inet("0.0.0.0", 7201), "127.0.0.1"),  # noqa: S104
    "::": (INET6, inet6("::", 7201), "::1"),
    "the mapped one": (INET6, inet6("::ffff:0.0.0.0", 7201), "127.0.0.1"),
    "127.9.9.9": (INET, inet("127.9.9.9", 7201), "127.9.9.9"),
}


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_b13_no_address_in_particular_is_loopback(name: str, kind: int, enforcer: Enforcer) -> None:
    family, address, judged = ANYWHERE[name]
    enforcer.enforce(net("{id: it, deny: [connect], to: '@loopback'}"))
    assert enforcer.attempt(connected, family, kind, 0, address, label=None).errno in REACHED
    denied = enforcer.attempt(connected, family, kind, 0, address)
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["connect"], "denied", "EACCES", "p", "it")
    assert spoken(denied.record)["address"] == judged


def fast_open(protocol: int, address: bytes) -> None:
    with make(INET, STREAM, protocol) as sock:
        send(sock, address, FASTOPEN)


@pytest.mark.parametrize("protocol", [0, MPTCP])
def test_b14_fast_open_connects(protocol: int, enforcer: Enforcer) -> None:
    with listening() as port:
        enforcer.enforce(net(f"{{id: it, deny: [connect], proto: tcp, port: {port}}}"))
        address = inet("127.0.0.1", port)
        free = enforcer.attempt(fast_open, protocol, address, label=None)
        # MPTCP has it from 6.2 on.
        assert free.errno == 0 or (protocol and free.errno == errno.EOPNOTSUPP)
        denied = enforcer.attempt(fast_open, protocol, address)
        assert denied.errno == errno.EACCES
        assert told(denied.record) == (["connect"], "denied", "EACCES", "p", "it")
        assert (spoken(denied.record)["address"], spoken(denied.record)["port"]) == (
            "127.0.0.1",
            port,
        )
        beside = enforcer.attempt(fast_open, protocol, inet("127.0.0.1", port - 1))
        assert beside.errno != errno.EACCES and beside.records == []


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("name_size", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("sent", ctypes.c_uint32),
    )


def sent_many(addresses: list[bytes]) -> int:
    """sendmmsg(2), an address for each message; how many were sent."""
    libc = ctypes.CDLL(None, use_errno=True)
    vector = _Iovec(b"x", 1)
    messages = (_Message * len(addresses))(
        *(_Message(one, len(one), ctypes.pointer(vector), 1, None, 0, 0, 0, 0) for one in addresses)
    )
    with make(INET, DGRAM) as sock:
        done = libc.sendmmsg(sock.fileno(), messages, len(addresses), 0)
        if done < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return int(done)


def test_b15_each_message_of_many_is_judged(enforcer: Enforcer) -> None:
    with receiving() as sink, receiving() as other:
        port, free = sink.getsockname()[1], other.getsockname()[1]
        enforcer.enforce(net(f"{{id: it, deny: [send], proto: udp, port: {port}}}"))
        to, beside = inet("127.0.0.1", port), inet("127.0.0.1", free)
        assert enforcer.attempt(sent_many, [beside, beside, to, to], label=None).value == 4
        assert (received(sink), received(other)) == (2, 2)
        denied = enforcer.attempt(sent_many, [beside, beside, to, to])
        assert denied.value == 2, "up to the one that was denied"
        assert told(denied.record) == (["send"], "denied", "EACCES", "p", "it")
        assert (received(sink), received(other)) == (0, 2)


@pytest.mark.parametrize(("kind", "protocol"), [(DGRAM, UDPLITE), (RAW, 1), (RAW, 255), (DGRAM, 1)])
def test_b15_what_sends_datagrams_is_judged(kind: int, protocol: int, enforcer: Enforcer) -> None:
    def echo(address: str) -> None:
        with make(INET, kind, protocol) as sock:
            data = b"\x08\0\0\0\0\0\0\0" if protocol != 255 else b"\x45" + bytes(40)
            send(sock, inet(address, 9 if protocol == UDPLITE else 0), 0, data)

    enforcer.enforce(net("{id: it, deny: [send], to: 127.0.0.1}"))
    free = enforcer.attempt(echo, "127.0.0.1", label=None)
    if free.errno in (errno.EPROTONOSUPPORT, errno.EACCES):
        assert protocol == UDPLITE or kind == DGRAM, "gone from newer kernels; ping_group_range"
        return
    assert enforcer.attempt(echo, "127.0.0.2").errno == free.errno
    denied = enforcer.attempt(echo, "127.0.0.1")
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["send"], "denied", "EACCES", "p", "it")


FAMILIES = {
    "mptcp": (INET, STREAM, MPTCP),
    "sctp": (INET, STREAM, SCTP),
    "alg": (38, 5, 0),
    "vsock": (40, STREAM, 0),
    "packet": (17, RAW, 0),
    "xdp": (44, RAW, 0),
    "smc": (43, STREAM, 0),
    "netlink": (16, RAW, 0),
    "bluetooth": (31, RAW, 1),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_b16_families_nobody_named_are_denied_by_default(name: str, enforcer: Enforcer) -> None:
    def create(*kind: int) -> None:
        make(*kind).close()

    enforcer.enforce(net("{allow: [create], proto: tcp}", default="deny"))
    denied = enforcer.attempt(create, *FAMILIES[name])
    assert denied.errno == errno.EACCES
    assert told(denied.record) == (["create"], "denied", "EACCES", "p", None)
    assert enforcer.attempt(create, INET, STREAM, 0).errno == 0


def test_b17_listening_without_bind_is_listening_on_any_port(enforcer: Enforcer) -> None:
    def listens(port: int | None) -> None:
        with make(INET, STREAM) as sock:
            if port is not None:
                bind(sock, inet("127.0.0.1", port))
            sock.listen(1)

    enforcer.enforce(net("{id: it, deny: [listen], proto: tcp, port: 40000-50000}"))
    assert enforcer.attempt(listens, None, label=None).errno == 0
    denied = enforcer.attempt(listens, None)
    assert denied.errno == errno.EACCES
    assert spoken(denied.record)["port"] == 0
    assert enforcer.attempt(listens, 7202).errno == 0


def test_b17_port_0_is_judged_by_what_it_may_become(enforcer: Enforcer) -> None:
    def bound(port: int) -> None:
        with make(INET, DGRAM) as sock:
            bind(sock, inet("127.0.0.1", port))

    enforcer.enforce(
        net(
            "{allow: [create], proto: udp}",
            "{allow: [bind], proto: udp, port: 7203}",
            default="deny",
        )
    )
    assert enforcer.attempt(bound, 7203).errno == 0
    assert enforcer.attempt(bound, 0).errno == errno.EACCES


def test_b32_a_socket_reached_by_another_path_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enforcer: Enforcer
) -> None:
    path, link, hard = (tmp_path / name for name in ("service", "link", "hard"))
    with make(UNIX, STREAM) as server:
        server.bind(str(path))
        server.listen(8)
        os.symlink(path, link)
        monkeypatch.chdir(tmp_path)

        def reach(name: str) -> None:
            with make(UNIX, STREAM) as sock:
                sock.connect(name)

        enforcer.enforce(net(f"{{id: it, deny: [connect], unix: ['{literal(path)}']}}"))
        os.link(path, hard)
        ways = [str(link), "service", "./service", f"/proc/self/cwd/{path.name}", str(hard)]
        for name in ways:
            assert enforcer.attempt(reach, name, label=None).errno == 0
            denied = enforcer.attempt(reach, name)
            assert denied.errno == errno.EACCES, name
            assert spoken(denied.record)["path"] == str(path), name


def flipped(address: bytes, other: bytes, rounds: int) -> int:
    """Send while another thread writes the address anew; how many sends were allowed."""
    buffer = ctypes.create_string_buffer(other, len(other))
    libc = ctypes.CDLL(None, use_errno=True)
    done = threading.Event()

    def flip() -> None:
        while not done.is_set():
            ctypes.memmove(buffer, address, len(address))
            ctypes.memmove(buffer, other, len(other))

    thread = threading.Thread(target=flip)
    thread.start()
    allowed = 0
    with make(INET, DGRAM) as sock:
        for _ in range(rounds):
            allowed += libc.sendto(sock.fileno(), b"x", 1, 0, buffer, len(other)) == 1
    done.set()
    thread.join()
    return allowed


def test_b36_an_address_changed_under_the_call_is_never_reached(enforcer: Enforcer) -> None:
    with receiving() as denied, receiving() as allowed:
        ports = [one.getsockname()[1] for one in (denied, allowed)]
        enforcer.enforce(net(f"{{id: it, deny: [send], proto: udp, port: {ports[0]}}}"))
        addresses = [inet("127.0.0.1", port) for port in ports]
        attempt = enforcer.attempt(flipped, *addresses, 3000)
        assert received(denied) == 0
        assert attempt.value > 0 and attempt.records, "both addresses were met"
