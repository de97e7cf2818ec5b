# SPDX-License-Identifier: Apache-2.0
"""Syslog over UDP, TCP, TLS and RELP, against rsyslog and syslog-ng as Debian has them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.ship.formats import renderer
from guard.ship.sink import DELIVERED, Message, Sink, Unavailable
from guard.ship.syslog_frame import octet_counted
from guard.ship.tls import Tls, connect, end
from guard.ship.to_relp import Relp
from guard.ship.to_syslog import SyslogStream, SyslogUdp
from guard.ship.worker import Plan
from tests.ship.receivers.processes import Certificates, until
from tests.ship.receivers.syslogs import Daemon, Rsyslog, SyslogNg
from tests.ship.support import Bench, lines, message

pytestmark = pytest.mark.receivers

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "pki")


@pytest.fixture(scope="module")
def daemons(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[dict[str, Daemon]]:
    directory = tmp_path_factory.mktemp("syslog")
    running: dict[str, Daemon] = {}
    try:
        running["rsyslog"] = Rsyslog(directory / "plain", certificates)
        running["rsyslog-gtls"] = Rsyslog(directory / "gtls", certificates, "gtls")
        running["rsyslog-ossl"] = Rsyslog(directory / "ossl", certificates, "ossl")
        running["syslog-ng"] = SyslogNg(directory / "ng", certificates)
        yield running
    finally:
        for daemon in running.values():
            daemon.process.stop()


# Which daemon, which of its inputs, and how the sink speaks to it.
WAYS = [
    ("rsyslog", "udp"),
    ("rsyslog", "tcp"),
    ("rsyslog-gtls", "tcp"),
    ("rsyslog-ossl", "tcp"),
    ("rsyslog", "relp"),
    ("rsyslog", "relps"),
    ("syslog-ng", "udp"),
    ("syslog-ng", "tcp"),
    ("syslog-ng", "tls"),
]
STREAMS = [way for way in WAYS if way[1] != "udp"]


def _sink(daemon: Daemon, name: str, way: str, tls: Tls, is_syslog: bool = True) -> Sink:
    port = daemon.ports[way]
    if way == "udp":
        return SyslogUdp(HOST, port, is_syslog)
    if way.startswith("relp"):
        return Relp(HOST, port, tls if way == "relps" else None, is_syslog)
    secure = way == "tls" or name.endswith(("gtls", "ossl"))
    return SyslogStream(HOST, port, tls if secure else None, is_syslog)


def _rendered(first: int, count: int, form: str = "rfc5424", **more: Any) -> list[Message]:
    render = renderer(form)
    plain = [message(first + number, **more) for number in range(count)]
    return [Message(one.id, one.record, one.line, render(one.record, one.line)) for one in plain]


def _ids(daemon: Daemon) -> list[str]:
    """The records' ids in the order in which they were received."""
    found = []
    for one in daemon.received():
        told = json.dumps(one)
        match = re.search(r"[0-9a-f]{32}/b0071d/host@16503381797/0/\d+", told)
        if match is not None:
            found.append(match.group())
    return found


_next_number = iter(range(1_000_000, 10**9, 100_000))


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_records_arrive_whole_in_order_and_once(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str
) -> None:
    daemon = daemons[name]
    sent = _rendered(next(_next_number), 50)
    sink = _sink(daemon, name, way, certificates.tls())
    assert sink.send(sent[:20]) == DELIVERED
    assert sink.send(sent[20:]) == DELIVERED
    sink.close()
    wanted = [one.id for one in sent]
    until(lambda: set(wanted) <= set(_ids(daemon)), "all arrived")
    assert [one for one in _ids(daemon) if one in wanted] == wanted
    last = next(one for one in daemon.received() if wanted[-1] in json.dumps(one))
    assert (last["host"], last["app"], last["msgid"]) == ("web-1", "guard", "file.open")
    assert "/etc/shadow" in json.dumps(last)


@pytest.mark.parametrize("form", ["flat", "ocsf", "ecs", "cef"])
@pytest.mark.parametrize(("name", "way"), [("rsyslog", "relp"), ("syslog-ng", "tcp")])
def test_other_formats_are_the_message_of_a_syslog_message(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str, form: str
) -> None:
    daemon = daemons[name]
    sent = _rendered(next(_next_number), 1, form)
    sink = _sink(daemon, name, way, certificates.tls(), is_syslog=False)
    sink.send(sent)
    sink.close()
    got = until(
        lambda: [one for one in daemon.received() if sent[0].id in json.dumps(one)], "it arrived"
    )
    assert got[0]["msg"].strip().encode() == sent[0].body


@pytest.mark.parametrize(("name", "way"), STREAMS)
def test_hostile_bytes_stay_inside_their_record(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str
) -> None:
    daemon = daemons[name]
    evil = 'a\n<0>1 - - - - - - forged\r\n"] [x y="z\\'
    first = next(_next_number)
    sent = _rendered(first, 3, object={"kind": "file", "path": evil})
    sink = _sink(daemon, name, way, certificates.tls())
    before = len(daemon.received())
    sink.send(sent)
    sink.close()
    wanted = {one.id for one in sent}
    until(lambda: wanted <= set(_ids(daemon)), "all arrived")
    fresh = daemon.received()[before:]
    assert len(fresh) == 3
    assert all(one["app"] == "guard" for one in fresh)


@pytest.mark.parametrize(("name", "way"), STREAMS)
def test_a_record_of_a_hundred_kilobytes_arrives(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str
) -> None:
    daemon = daemons[name]
    sent = _rendered(next(_next_number), 1, "flat", others=["x" * 100_000])
    sink = _sink(daemon, name, way, certificates.tls(), is_syslog=False)
    assert sink.send(sent) == DELIVERED
    sink.close()
    got = until(
        lambda: [one for one in daemon.received() if sent[0].id in json.dumps(one)], "it arrived"
    )
    assert "x" * 100_000 in json.dumps(got[0])


@pytest.mark.parametrize(("name", "way"), STREAMS)
def test_nothing_is_lost_when_the_connection_is_closed_at_once(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str
) -> None:
    """With TLS 1.3 and a plain close(), 3 863 of 5 000 were."""
    daemon = daemons[name]
    sent = _rendered(next(_next_number), 5000)
    sink = _sink(daemon, name, way, certificates.tls())
    assert sink.send(sent) == DELIVERED
    sink.close()
    wanted = [one.id for one in sent]
    last = wanted[-1]
    until(lambda: any(last in one for one in _ids(daemon)[-3:]), "the last one arrived")
    got = [one for one in _ids(daemon) if one in set(wanted)]
    assert got == wanted


@pytest.mark.parametrize("name", ["rsyslog-gtls", "rsyslog-ossl"])
def test_ending_a_connection_by_itself_loses_nothing(
    daemons: dict[str, Daemon], certificates: Certificates, name: str
) -> None:
    """Without a sink that reads in between: unread tickets make a mere close() a reset."""
    daemon = daemons[name]
    sent = _rendered(next(_next_number), 5000)
    connection = connect(HOST, daemon.ports["tcp"], certificates.tls())
    connection.sendall(b"".join(octet_counted(one.body) for one in sent))
    end(connection)
    last = sent[-1].id
    until(lambda: any(last in one for one in _ids(daemon)[-3:]), "the last one arrived")
    assert {one.id for one in sent} <= set(_ids(daemon))


def test_a_datagram_that_is_too_long_is_refused_and_the_others_arrive(
    daemons: dict[str, Daemon], certificates: Certificates
) -> None:
    daemon = daemons["rsyslog"]
    first = next(_next_number)
    sent = [
        *_rendered(first, 1, "flat"),
        *_rendered(first + 1, 1, "flat", others=["x" * 70_000]),
        *_rendered(first + 2, 1, "flat"),
    ]
    sink = _sink(daemon, "rsyslog", "udp", certificates.tls(), is_syslog=False)
    outcome = sink.send(sent)
    sink.close()
    assert outcome.refused == {1: "longer than a datagram can be"}
    wanted = {sent[0].id, sent[2].id}
    until(lambda: wanted <= set(_ids(daemon)), "the others arrived")


@pytest.mark.parametrize(
    ("name", "way"), [("rsyslog-gtls", "tcp"), ("rsyslog", "relps"), ("syslog-ng", "tls")]
)
def test_without_our_certificate_the_receiver_takes_nothing(
    daemons: dict[str, Daemon], certificates: Certificates, name: str, way: str
) -> None:
    """TLS 1.3 tells a client late that it is not welcome, maybe after its first records."""
    daemon = daemons[name]
    first = next(_next_number)

    def try_to_send() -> None:
        with contextlib.closing(_sink(daemon, name, way, certificates.tls(client=False))) as sink:
            for number in range(200):
                sink.send(_rendered(first + number, 1))

    with pytest.raises(Unavailable):
        try_to_send()
    assert not any(f"/{first}" in one for one in _ids(daemon))


@pytest.mark.parametrize(
    ("name", "way"), [("rsyslog-ossl", "tcp"), ("rsyslog", "relps"), ("syslog-ng", "tls")]
)
def test_a_receiver_of_another_authority_gets_nothing(
    daemons: dict[str, Daemon], tmp_path: Path, name: str, way: str
) -> None:
    stranger = Certificates(tmp_path / "pki")
    with pytest.raises(Unavailable, match="the receiver's certificate is not trusted"):
        _sink(daemons[name], name, way, stranger.tls())


@pytest.mark.parametrize("way", ["relp", "relps"])
def test_a_relp_receiver_that_is_killed_amid_a_stream_loses_nothing(
    tmp_path: Path, certificates: Certificates, way: str
) -> None:
    """And one over plain TCP may: that is why RELP is there."""
    daemon = Rsyslog(tmp_path / "killed", certificates)
    try:
        bench = Bench(tmp_path, lines(*range(3000)), Plan(records=100, first=0.1, most=1.0))
        bench.worker._render = lambda record, line: renderer("rfc5424")(dict(record), line)
        bench.sink.make = lambda: _sink(  # type: ignore[method-assign]
            daemon, "rsyslog", way, certificates.tls()
        )
        for round_ in range(3):
            while bench.spool.acked < (round_ + 1) * 700:
                bench.worker.step()
            bench.worker.step()  # a batch in hand
            daemon.process.kill()
            assert bench.worker.step() > 0
            daemon.process.start()
        while bench.spool.acked < 3000:
            bench.worker.step()
        bench.worker.close()
        wanted = {message(number).id for number in range(3000)}
        until(lambda: wanted <= set(_ids(daemon)), "all arrived")
        bench.assert_law()
    finally:
        daemon.process.stop()


def test_a_receiver_that_is_restarted_is_found_again_over_tcp(
    tmp_path: Path, certificates: Certificates
) -> None:
    daemon = Rsyslog(tmp_path / "restarted", certificates)
    try:
        sink = _sink(daemon, "rsyslog", "tcp", certificates.tls())
        sink.send(_rendered(0, 10))
        # What its program has not read when it ends is lost: TCP cannot tell, RELP can.
        until(lambda: len(_ids(daemon)) == 10, "the first ones arrived")
        daemon.process.stop()
        with pytest.raises(Unavailable, match=r"closed the connection|reset"):
            sink.send(_rendered(10, 10))
        sink.close()
        with pytest.raises(Unavailable, match="Connection refused"):
            _sink(daemon, "rsyslog", "tcp", certificates.tls())
        daemon.process.start()
        sink = _sink(daemon, "rsyslog", "tcp", certificates.tls())
        sink.send(_rendered(10, 10))
        sink.close()
        wanted = {message(number).id for number in range(20)}
        until(lambda: wanted <= set(_ids(daemon)), "all arrived")
    finally:
        daemon.process.stop()
