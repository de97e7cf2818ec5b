# SPDX-License-Identifier: Apache-2.0
"""What is read besides policies: packets in words, captures, netlink, and ways in."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cli.main import main
from guard.daemon.ingress_sets import parse_seconds
from guard.daemon.way_in import Peer, session_peer, shut
from guard.kernel.netlink import XdpMode, parse_link
from guard.plan.capture import CaptureError, packets
from guard.plan.set_file import columns
from guard.policy import packet_words
from guard.policy.ingress import Prefix
from guard.policy.packet_words import BadPacket, Words
from tests.ingress_front.policies import section


def test_packets_in_words() -> None:
    assert packet_words.read("tcp 198.51.100.7:4321 > :22") == Words(
        4, 0xC6336407, 0, 6, 4321, 22, 2, None, 0, 60
    )
    assert packet_words.read("udp [2001:db8::1]:53 > [2001:db8::2]:40000 vlan 7 length 900") == (
        Words(6, (0x20010DB8 << 96) + 1, (0x20010DB8 << 96) + 2, 17, 53, 40000, None, None, 7, 900)
    )
    assert packet_words.read("icmp6 > type too-big").type == 2
    assert packet_words.read("tcp 192.0.2.1 > 192.0.2.2:80 flags syn,ack").flags == 0x12
    assert packet_words.read("gre 192.0.2.1 > 192.0.2.2").source_port is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tcp 192.0.2.1", "a packet is written PROTOCOL"),
        ("tpc 192.0.2.1 > :22", "'tpc' is no protocol"),
        ("tcp 192.0.2.300 > :22", "'192.0.2.300' is no IP address"),
        ("tcp 192.0.2.1:99999 > :22", "'99999' is no number up to 65535"),
        ("tcp 192.0.2.1 > [::1]:22", "source and destination are of different families"),
        ("gre 192.0.2.1:1 > :2", "gre has no ports"),
        ("tcp 192.0.2.1 > :22 flags snyn", "'snyn' is no TCP flag"),
        ("tcp 192.0.2.1 > :22 colour blue", "'colour blue' is not understood"),
        ("tcp example.org > :22", "'example.org' is no address and port"),
    ],
)
def test_words_that_are_no_packet_are_told(text: str, told: str) -> None:
    with pytest.raises(BadPacket) as caught:
        packet_words.read(text)
    assert str(caught.value).startswith(told)


@settings(deadline=None)
@given(st.text(alphabet="tcpudi 0123456789.:[]>,-", max_size=40))
def test_any_words_are_a_packet_or_told(text: str) -> None:
    with contextlib.suppress(BadPacket):
        packet_words.read(text)


POLICY = """\
version: 1
name: edge
mode: enforce
subject: {host: true}
ingress:
  interfaces: [eth0]
  default: drop
  rules:
    - {id: office, allow: tcp, port: 22, from: 192.0.2.0/24, why: administration}
    - {id: web, allow: tcp, port: [80, 443], limit: {rate: 10/s, per: source}}
    - {id: bad, deny: all, from: 192.0.2.66}
"""


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (
            "tcp 192.0.2.1:4000 > :22",
            (
                "packet tcp 192.0.2.1:4000 > :22: allow\nedge (enforce)\n"
                "  decided by  allow rule office ({file}:9:7)\n              why: administration\n"
            ),
        ),
        (
            "tcp 192.0.2.66 > :22",
            (
                "packet tcp 192.0.2.66 > :22: drop\nedge (enforce)\n"
                "  decided by  deny rule bad ({file}:11:7)\n"
            ),
        ),
        (
            "tcp 198.51.100.1 > :80",
            (
                "packet tcp 198.51.100.1 > :80: allow\nedge (enforce)\n"
                "  decided by  limit rule web ({file}:10:7)\n"
                "  within      10 packets/s per source, 10 at once; what exceeds that is dropped\n"
            ),
        ),
        (
            "udp 198.51.100.1:53 > :4000",
            (
                "packet udp 198.51.100.1:53 > :4000: drop\nedge (enforce)\n"
                "  decided by  default: drop ({file}:6:3), for no rule decides\n"
                "  as return traffic of something this host sent: allow\n"
            ),
        ),
    ],
)
def test_why_tells_about_a_packet(
    packet: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(POLICY)
    assert main(["why", str(file), f"packet {packet}"]) == 0
    assert capsys.readouterr().out == answer.format(file=file)


def pcap(frames: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    head = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    each = (struct.pack(f"{order}4I", 0, 0, len(one), len(one)) + one for one in frames)
    return head + b"".join(each)


def pcapng(frames: list[bytes], order: str = "<") -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        padded = body + bytes(-len(body) % 4)
        size = struct.pack(f"{order}I", len(padded) + 12)
        return struct.pack(f"{order}I", kind) + size + padded + size

    made = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    made += block(1, struct.pack(f"{order}HHI", 1, 0, 0)) + block(5, bytes(12))
    for one in frames:
        made += block(6, struct.pack(f"{order}5I", 0, 0, 0, len(one), len(one)) + one)
    return made + block(3, struct.pack(f"{order}I", len(frames[0])) + frames[0])


FRAMES = [bytes(range(60)), bytes(14), bytes(1500)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_captures_of_both_kinds_and_byte_orders_are_read(order: str) -> None:
    assert [one.data for one in packets(pcap(FRAMES, order))] == FRAMES
    assert [one.data for one in packets(pcapng(FRAMES, order))] == [*FRAMES, FRAMES[0]]
    assert [one.number for one in packets(pcap(FRAMES, order, 0xA1B23C4D))] == [1, 2, 3]


def test_packets_without_a_frame_get_one() -> None:
    (four, six) = packets(pcap([b"\x45" + bytes(30), b"\x60" + bytes(50)], link=101))
    assert four.data[12:15] == b"\x08\x00\x45"
    assert six.data[12:15] == b"\x86\xdd\x60"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is too short for a capture"),
        (b"GIF89a..", "the file is no capture: it begins with 47 49 46 38"),
        (pcap(FRAMES)[:-1], "the file is cut or damaged: a packet of 1500 bytes at byte 146"),
        (pcap(FRAMES)[:20], "the file ends inside its own header"),
        (pcap([b"x"], link=105), "packet 1 is of link type 105, which has no Ethernet frame"),
    ],
)
def test_what_is_no_capture_is_told(data: bytes, told: str) -> None:
    with pytest.raises(CaptureError) as caught:
        list(packets(data))
    assert str(caught.value).startswith(told)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.booleans())
def test_damaged_captures_never_break_the_reader(noise: bytes, at: int, ng: bool) -> None:
    data = bytearray(pcapng(FRAMES[:2]) if ng else pcap(FRAMES[:2]))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(CaptureError):
        list(packets(bytes(data)))


def link_message(*attributes: tuple[int, bytes]) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, 7, 1, 0)
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return body


def test_an_interface_is_read_from_its_message() -> None:
    nested = link_message((2, b"\1"), (4, struct.pack("=I", 42)))[16:]
    kind = link_message((1, b"veth\0"))[16:]
    made = parse_link(
        link_message((3, b"eth0\0"), (4, struct.pack("=I", 1500)), (43, nested), (18, kind))
    )
    assert made == (7, "eth0", 1500, True, "veth", XdpMode.NATIVE, (42,))


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_a_message_of_noise_is_an_interface_or_a_value_error(noise: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError):
        parse_link(noise)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800), ("0", None)]
    + [(bad, None) for bad in ("", "s", "-1", "1w", "1.5h", "9999999999", "\u0661")],
)
def test_times_in_words(text: str, seconds: int | None) -> None:
    assert parse_seconds(text) == seconds


def test_the_session_is_known_from_the_environment() -> None:
    told = {"SSH_CONNECTION": "192.0.2.9 50000 10.0.0.1 2222"}
    assert session_peer(told, 1) == Peer("192.0.2.9", 50000, "10.0.0.1", 2222)
    assert session_peer({"SSH_CONNECTION": "nonsense"}, 1) is None


def test_the_session_is_known_from_the_servers_sockets_when_sudo_took_the_environment(
    tmp_path: Path,
) -> None:
    def process(pid: int, parent: int, comm: str, inode: int | None = None) -> None:
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({comm}) S {parent} 0 0")
        (tmp_path / str(pid) / "comm").write_text(f"{comm}\n")
        if inode is not None:
            (tmp_path / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")

    process(50, 40, "sudo")
    process(40, 30, "bash")
    process(30, 20, "sshd", 777)
    process(20, 1, "sshd")
    (tmp_path / "net").mkdir()
    line = "  0: 0100000A:08AE 090200C0:C350 01 0:0 0:0 0 0 0 777 1"
    (tmp_path / "net" / "tcp").write_text(f"head\n{line}\n")
    (tmp_path / "net" / "tcp6").write_text("head\n")
    assert session_peer({}, 50, tmp_path) == Peer("192.0.2.9", 50000, "10.0.0.1", 2222)
    assert session_peer({}, 20, tmp_path) is None


def test_a_way_in_that_a_section_shuts_is_told() -> None:
    peer = Peer("::ffff:192.0.2.9", 50000, "::ffff:10.0.0.1", 22)
    open_ = section("{allow: tcp, port: 22, from: 192.0.2.0/24}")
    assert shut(open_, {}, peer) is None
    assert shut(section(), {}, peer) == (
        "a connection from ::ffff:192.0.2.9 to port 22 would be dropped by default: drop"
        " (p.yaml:2:3)"
    )
    banned = section('{deny: all, from: "@bad"}', default="allow", more="sets: {bad: []}")
    sets = {"bad": columns([Prefix(4, 0xC0000200, 24)])}
    told = shut(banned, sets, peer)
    assert told is not None and "would be dropped by rule ingress.1" in told
    assert shut(banned, {"bad": columns([])}, peer) is None
