# SPDX-License-Identifier: Apache-2.0
"""SCTP's own ways to addresses: several at once, and a message that connects."""

from __future__ import annotations

import errno
import socket
import subprocess
from collections.abc import Callable

import pytest

from tests.kernel.harness import Enforcer
from tests.kernel.sockets import (
    INET,
    SCTP,
    SEQPACKET,
    bind,
    connect,
    inet,
    loopback_up,
    make,
    net,
    send,
)

pytestmark = pytest.mark.kernel

# include/uapi/linux/sctp.h
_BINDX_ADD, _CONNECTX = 100, 110
_OTHER, _IT = "127.0.0.3", "127.0.0.2"
PORT = 9899


@pytest.fixture(scope="module", autouse=True)
def _module() -> None:
    """Protocol modules are loaded by name: whoever opens such a socket asks for no more."""
    subprocess.run(["modprobe", "sctp"], check=True)
    loopback_up()


def _many(option: int, *addresses: str) -> None:
    with make(INET, SEQPACKET, SCTP) as sock:
        sock.setblocking(False)
        if option == _BINDX_ADD:
            bind(sock, inet("127.0.0.1", PORT))
        packed = b"".join(inet(one, PORT) for one in addresses)
        sock.setsockopt(SCTP, option, packed)


def _connected(call: Callable[[socket.socket, bytes], None], address: str) -> None:
    with make(INET, SEQPACKET, SCTP) as sock:
        sock.setblocking(False)
        call(sock, inet(address, PORT))


WAYS: dict[str, tuple[str, Callable[[str], None]]] = {
    "connect": ("connect", lambda address: _connected(connect, address)),
    "several to connect to": ("connect", lambda address: _many(_CONNECTX, _OTHER, address)),
    "a message": ("connect", lambda address: _connected(send, address)),
    "several to bind to": ("bind", lambda address: _many(_BINDX_ADD, address)),
}


@pytest.mark.parametrize("name", WAYS)
def test_an_address_is_judged_in_every_way_that_sctp_has(name: str, enforcer: Enforcer) -> None:
    verb, act = WAYS[name]
    deny = f"{{id: it, deny: [{verb}], to: {_IT}}}"
    enforcer.enforce(net(deny), net(deny, name="q", mode="audit"))
    # An association that is begun and not finished: EINPROGRESS, or nobody answers.
    begun = (0, errno.EINPROGRESS, errno.ECONNREFUSED, errno.EAGAIN)
    free = enforcer.attempt(act, _IT, label=None)
    assert free.errno in begun and free.records == [], free
    watched = enforcer.attempt(act, _IT, label=0b10)
    assert watched.errno in begun, watched
    assert {(one["verdict"], one["rule"]["id"]) for one in watched.records} == {
        ("would-deny", "it")
    }
    beside = enforcer.attempt(act, "127.0.0.4", label=0b01)
    assert beside.errno in begun and beside.records == [], beside
    denied = enforcer.attempt(act, _IT, label=0b01)
    assert denied.errno == errno.EACCES, denied
    first = denied.records[0]
    assert (first["verdict"], first["verbs"], first["rule"]["id"]) == ("denied", [verb], "it")
