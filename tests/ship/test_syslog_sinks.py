# SPDX-License-Identifier: Apache-2.0
"""Syslog without a daemon: frames and headers, and receivers that answer nonsense or nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.ship.sink import Outcome, Unavailable
from guard.ship.syslog_frame import octet_counted, syslog_message
from guard.ship.to_journald import entry
from guard.ship.to_relp import Relp
from guard.ship.to_syslog import SyslogStream
from tests.ship.receivers.processes import free_port
from tests.ship.support import FakeClock, message, messages

HEADER = re.compile(
    rb"<(\d{1,3})>1 (-|\S{20,32}) ([!-~]{1,255}) guard - ([!-~]{1,32})"
    rb' \[guard@32473 id="((?:[^"\\\]]|\\["\\\]])*)"\] '
)


@given(
    host=st.text(max_size=300),
    event=st.text(max_size=60),
    time=st.text(max_size=30) | st.just("2026-11-23T20:03:59.514199Z"),
    id_=st.text(min_size=1, max_size=50),
    body=st.binary(max_size=50),
)
def test_no_record_breaks_out_of_the_header(
    host: str, event: str, time: str, id_: str, body: bytes
) -> None:
    one = message(1, body=body, host={"name": host}, event=event, time=time)
    made = syslog_message(type(one)(id_, one.record, one.line, body), False)
    found = HEADER.match(made)
    assert found is not None
    assert made[found.end() :] == body
    assert 104 <= int(found[1]) <= 111  # facility 13


def test_a_rendered_syslog_message_is_taken_as_it_is() -> None:
    assert syslog_message(message(1, body=b"<108>1 - - - - - -"), True) == b"<108>1 - - - - - -"


def test_frames_count_octets() -> None:
    assert octet_counted("ü\n".encode()) == b"3 \xc3\xbc\n"


@given(st.text(max_size=40), st.binary(max_size=40))
def test_the_journals_fields_are_read_back_as_they_were(path: str, body: bytes) -> None:
    clean = path.encode("utf-8", "replace").decode()
    data = entry(message(1, body=body, object={"kind": "file", "path": clean}))
    fields: dict[bytes, bytes] = {}
    while data:
        name, _, rest = data.partition(b"\n")
        (size,) = struct.unpack("<Q", rest[:8])
        fields[name] = rest[8 : 8 + size]
        assert rest[8 + size : 9 + size] == b"\n"
        data = rest[9 + size :]
    assert fields[b"MESSAGE"] == body
    assert fields[b"GUARD_PATH"] == clean.encode()
    assert all(re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name) for name in fields)


@contextlib.contextmanager
def _server(serve: Callable[[socket.socket], None], buffer: int = 0) -> Iterator[int]:
    """One connection's worth of a receiver, whose kernel takes about so many bytes if not 0."""
    listener = socket.socket()
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def run() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _talk(port: int, count: int) -> Outcome:
    relp = Relp("127.0.0.1", port, None, False, timeout=5.0)
    try:
        return relp.send(messages(count))
    finally:
        relp._socket.close()


def _answers(*answers: bytes) -> Callable[[socket.socket], None]:
    """Says these, whatever it hears, and then reads to the end."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            connection.recv(65536)
            connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return serve


def test_relp_refusals_are_of_their_message() -> None:
    answers = _answers(b"1 rsp 6 200 OK\n", b"3 rsp 6 200 OK\n4 rsp 6 200 OK\n2 rsp 8 500 full\n")
    with _server(answers) as port:
        assert _talk(port, 3) == Outcome({0: "500 full"})


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([b"1 rsp 10 500 closed\n"], "RELP session refused: 500 closed"),
        ([b"1 rsp 6 200 OK\n", b"9 rsp 6 200 OK\n"], "an answer to message 9, which nobody sent"),
        ([b"1 rsp 6 200 OK\n", b"0 serverclose 0\n"], "the receiver closed the session"),
        ([b"1 rsp 6 200 OK\n", b"2 rsp 999999999 200"], "an answer of 999999999 bytes"),
        ([b"1 rsp 6 200 OK\n", b"2 rsp 2 no\n"], "an answer without a code: b'no'"),
        ([b"1 rsp 6 200 OK\n"], "the receiver closed the connection"),
        ([b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n" + b"x" * 80], "not RELP: b'HTTP/1.1 400"),
        ([b""], "the receiver closed the connection"),
    ],
)
def test_answers_that_are_no_relp_mean_that_all_comes_again(
    answers: list[bytes], told: str
) -> None:
    with _server(_answers(*answers)) as port, pytest.raises(Unavailable, match=re.escape(told)):
        _talk(port, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.just(b"2 rsp 6 200 OK\n"), max_size=4))
def test_no_answer_breaks_the_relp_client(noise: list[bytes]) -> None:
    with _server(_answers(b"1 rsp 6 200 OK\n", b"".join(noise))) as port:
        try:
            outcome = _talk(port, 1)
        except Unavailable:
            return
    assert outcome == Outcome() or outcome.refused


def test_what_only_our_own_kernel_has_does_not_count_as_delivered() -> None:
    """sendall has returned by then, and a receiver that dies now gets none of it."""
    release = threading.Event()
    clock = FakeClock()
    with _server(lambda _: release.wait(30) and None, buffer=2048) as port:
        sink = SyslogStream("127.0.0.1", port, None, False, 5.0, clock, clock.sleep)
        with pytest.raises(Unavailable, match=r"not acknowledged in 5 s"):
            sink.send([message(1, others=["x" * 30_000])])
        release.set()
        sink._socket.close()


def test_a_receiver_that_closed_in_between_gets_nothing_more() -> None:
    with _server(lambda _: None) as port:
        sink = SyslogStream("127.0.0.1", port, None, False, 5.0)
        while sink._socket.recv(1, socket.MSG_PEEK):
            pass
        with pytest.raises(Unavailable, match="the receiver closed the connection"):
            sink.send(messages(1))
        sink.close()


def test_an_unreachable_receiver_is_told_with_its_place() -> None:
    port = free_port()
    with pytest.raises(Unavailable) as told:
        SyslogStream("127.0.0.1", port, None, False)
    assert str(told.value) == f"127.0.0.1:{port}: Connection refused"
    with pytest.raises(Unavailable, match=r"^siem\.invalid:514: "):
        SyslogStream("siem.invalid", 514, None, False)
