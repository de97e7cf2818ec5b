# SPDX-License-Identifier: Apache-2.0
"""The evasion corpus: crafted packets, and what each must meet under three policies.

SOURCE denies one source of each family, else allows. PORT denies TCP to port
80, else allows. CLOSED allows TCP to port 80, else drops. Every packet comes
from the denied sources, and goes to port 80 where it has one, in the way its
name says.
"""

from __future__ import annotations

from dataclasses import dataclass

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from guard.wire.ingress import Reason

DENIED4, DENIED6 = "8.8.4.9", "2001::9"
HERE4, HERE6 = "192.0.2.1", "2001:db8::1"

RULE, DEFAULT = Reason.RULE, Reason.DEFAULT


@dataclass(frozen=True)
class Case:
    """A frame, and (dropped, reason) under SOURCE, PORT and CLOSED."""

    name: str
    frame: bytes
    source: tuple[bool, Reason]
    port: tuple[bool, Reason]
    closed: tuple[bool, Reason]


_DROP_RULE, _LET_RULE = (True, RULE), (False, RULE)
_DROP, _LET = (True, DEFAULT), (False, DEFAULT)


def _always(reason: Reason) -> tuple[tuple[bool, Reason], ...]:
    return ((True, reason),) * 3


# What is: to port 80 over TCP; another port or protocol; a tunnel; unreadable ports of TCP.
_WEB = (_DROP_RULE, _DROP_RULE, _LET_RULE)
_OTHER = (_DROP_RULE, _LET, _DROP)
_TUNNEL = (_DROP_RULE, (True, Reason.TUNNEL), (True, Reason.TUNNEL))
_HIDDEN = (_DROP_RULE, _DROP_RULE, _DROP)
_UNKNOWN = _HIDDEN

_MAC = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def _tags(count: int) -> Packet:
    made: Packet = _MAC
    for i in range(count):
        made = made / (Dot1AD(vlan=7) if i == 0 and count == 2 else Dot1Q(vlan=7 + i))
    return made


def _four(**fields: object) -> Packet:
    return IP(src=DENIED4, dst=HERE4, **fields)


def _six(**fields: object) -> Packet:
    return IPv6(src=DENIED6, dst=HERE6, **fields)


def _payloads() -> list[tuple[str, Packet, tuple[tuple[bool, Reason], ...]]]:
    """What both families carry, with what it must meet."""
    web = TCP(sport=4321, dport=80, flags="S")
    return [
        ("tcp to 80", web, _WEB),
        ("tcp null", TCP(dport=80, flags=0), _WEB),
        ("tcp xmas", TCP(dport=80, flags="FPU"), _WEB),
        ("tcp with options", TCP(dport=80, options=[("MSS", 1460), ("NOP", None)]), _WEB),
        ("tcp to 443", TCP(dport=443), _OTHER),
        ("udp to 80", UDP(dport=80) / b"x", _OTHER),
        ("sctp to 80", SCTP(dport=80) / b"\0\0\0\0", _OTHER),
    ]


def _cases() -> list[tuple[str, bytes, tuple[tuple[bool, Reason], ...]]]:
    web = TCP(sport=4321, dport=80, flags="S")
    cases: list[tuple[str, bytes, tuple[tuple[bool, Reason], ...]]] = []
    for family, header in (("v4", _four), ("v6", _six)):
        for name, payload, expected in _payloads():
            for tags in (0, 1, 2):
                frame = bytes(_tags(tags) / header() / payload)
                cases.append((f"{family} {name}, {tags} tags", frame, expected))
        whole = bytes(_MAC / header() / web)
        size = 20 if family == "v4" else 40
        cases += [
            (f"{family}, 3 tags", bytes(_tags(3) / header() / web), _always(Reason.TAGS)),
            (f"{family}, 5 tags", bytes(_tags(5) / header() / web), _always(Reason.TAGS)),
            (f"{family} header cut", whole[: 14 + size - 1], _always(Reason.TRUNCATED)),
            (f"{family} tcp cut", whole[: 14 + size + 19], _always(Reason.TRUNCATED)),
            (f"{family} empty", whole[:14], _always(Reason.TRUNCATED)),
            (f"{family} padded", whole + bytes(20), _WEB),
            (f"{family} esp", bytes(_MAC / header() / Raw(bytes(24))), _TUNNEL),
            (f"{family} version 5", whole[:14] + b"\x55" + whole[15:], _always(Reason.MALFORMED)),
            (
                f"{family} tcp offset 4",
                whole[: 14 + size + 12] + b"\x40" + whole[14 + size + 13 :],
                _always(Reason.MALFORMED),
            ),
            (
                f"{family} tcp offset beyond the end",
                whole[: 14 + size + 12] + b"\xf0" + whole[14 + size + 13 :],
                _always(Reason.TRUNCATED),
            ),
        ]
    cases = [(n, _protocol(f, 50) if " esp" in n else f, e) for n, f, e in cases]
    return cases + _only4(web) + _only6(web) + _not_ip()


def _protocol(frame: bytes, number: int) -> bytes:
    at = 14 + (9 if frame[12:14] == b"\x08\x00" else 6)
    return frame[:at] + bytes((number,)) + frame[at + 1 :]


def _only4(web: Packet) -> list[tuple[str, bytes, tuple[tuple[bool, Reason], ...]]]:
    inner = IP(src="1.2.3.4", dst=HERE4) / web
    fragment = web / Raw(bytes(1000))
    body = bytes(fragment)
    options = _four(options=[b"\x07\x07\x04\0\0\0\0", b"\0"]) / web

    def piece(offset: int, more: bool, data: bytes, protocol: int = 6) -> bytes:
        flags = "MF" if more else ""
        return bytes(
            _MAC / _four(proto=protocol, frag=offset, flags=flags, id=7 + offset) / Raw(data)
        )

    return [
        ("v4 icmp echo", bytes(_MAC / _four() / ICMP()), _OTHER),
        ("v4 gre", bytes(_MAC / _four() / GRE() / inner), _TUNNEL),
        ("v4 ipip", bytes(_MAC / _four() / inner), _TUNNEL),
        ("v4 6in4", bytes(_MAC / _four(proto=41) / _six() / web), _TUNNEL),
        ("v4 ah", bytes(_MAC / _four(proto=51) / Raw(bytes(24))), _TUNNEL),
        ("v4 protocol 253", bytes(_MAC / _four(proto=253) / Raw(bytes(24))), _OTHER),
        ("v4 options before tcp", bytes(_MAC / options), _WEB),
        ("v4 first fragment", piece(0, True, body[:200]), _WEB),
        ("v4 later fragment that looks like port 80", piece(25, False, body[:200]), _HIDDEN),
        ("v4 middle fragment", piece(25, True, body[:200]), _HIDDEN),
        ("v4 later fragment of udp", piece(25, False, body[:200], 17), _OTHER),
        ("v4 tiny first fragment", piece(0, True, body[:8]), _always(Reason.TINY_FRAGMENT)),
        (
            "v4 first fragment without flags",
            piece(0, True, body[:12]),
            _always(Reason.TINY_FRAGMENT),
        ),
        ("v4 fragment over the flags", piece(1, False, body[8:200]), _always(Reason.TINY_FRAGMENT)),
        ("v4 ihl 4", bytes(_MAC / _four(ihl=4) / web), _always(Reason.MALFORMED)),
        (
            "v4 ihl beyond the length",
            bytes(_MAC / _four(ihl=15, len=40) / web),
            _always(Reason.MALFORMED),
        ),
        (
            "v4 length below the header",
            bytes(_MAC / _four(len=19) / web),
            _always(Reason.MALFORMED),
        ),
        (
            "v4 length beyond the frame",
            bytes(_MAC / _four(len=1000) / web),
            _always(Reason.TRUNCATED),
        ),
        (
            "v4 length that hides the ports",
            bytes(_MAC / _four(len=24) / web),
            _always(Reason.TRUNCATED),
        ),
        (
            "v4 in an IPv6 ethertype",
            bytes(
                Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x86DD)
                / _four()
                / web
                / bytes(40)
            ),
            _always(Reason.MALFORMED),
        ),
    ]


def _only6(web: Packet) -> list[tuple[str, bytes, tuple[tuple[bool, Reason], ...]]]:
    hop, opts, route = IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting()
    many = opts
    for _ in range(6):
        many = many / IPv6ExtHdrDestOpt()
    six_of_them = opts / opts.copy() / opts.copy() / opts.copy() / opts.copy() / opts.copy()
    inner = IPv6(src="2001:db8::7", dst=HERE6) / web

    def piece(offset: int, more: int, rest: Packet | bytes, following: int = 6) -> bytes:
        header = IPv6ExtHdrFragment(offset=offset, m=more, id=9 + offset, nh=following)
        return bytes(_MAC / _six() / header / rest)

    atomic = piece(0, 0, web)
    return [
        ("v6 icmp echo", bytes(_MAC / _six() / ICMPv6EchoRequest()), _OTHER),
        ("v6 hop by hop", bytes(_MAC / _six() / hop / web), _WEB),
        ("v6 routing header", bytes(_MAC / _six() / route / web), _WEB),
        ("v6 hop by hop, routing, options", bytes(_MAC / _six() / hop / route / opts / web), _WEB),
        ("v6 six headers", bytes(_MAC / _six() / six_of_them / web), _WEB),
        ("v6 seven headers", bytes(_MAC / _six() / many / web), _always(Reason.EXTENSIONS)),
        (
            "v6 header beyond the end",
            bytes(_MAC / _six(nh=60) / Raw(b"\x06\xff" + bytes(30))),
            _always(Reason.TRUNCATED),
        ),
        (
            "v6 extension header cut",
            bytes(_MAC / _six(nh=60) / Raw(b"\x06\x00\0\0")),
            _always(Reason.TRUNCATED),
        ),
        ("v6 gre", bytes(_MAC / _six(nh=47) / Raw(bytes(4) + bytes(inner))), _TUNNEL),
        ("v6 in v6", bytes(_MAC / _six() / inner), _TUNNEL),
        (
            "v6 options before esp",
            bytes(_MAC / _six() / IPv6ExtHdrDestOpt(nh=50) / Raw(bytes(24))),
            _TUNNEL,
        ),
        ("v6 no next header", bytes(_MAC / _six(nh=59)), _OTHER),
        ("v6 atomic fragment", atomic, _WEB),
        ("v6 first fragment", piece(0, 1, web / Raw(bytes(1000))), _WEB),
        ("v6 later fragment", piece(100, 0, bytes(web)), _HIDDEN),
        ("v6 later fragment of an unknown chain", piece(100, 0, bytes(web), 60), _UNKNOWN),
        ("v6 tiny first fragment", piece(0, 1, bytes(web)[:8]), _always(Reason.TINY_FRAGMENT)),
        ("v6 fragment over the flags", piece(1, 0, bytes(web)[8:]), _always(Reason.TINY_FRAGMENT)),
        (
            "v6 first fragment that ends in its options",
            piece(0, 1, b"\x06\x00\0\0", 60),
            _always(Reason.TINY_FRAGMENT),
        ),
        (
            "v6 options before a fragment",
            bytes(
                _MAC / _six() / opts / IPv6ExtHdrFragment(offset=100, id=99, nh=6) / Raw(bytes(web))
            ),
            _HIDDEN,
        ),
        (
            "v6 source in IPv4's form",
            bytes(_MAC / IPv6(src=f"::ffff:{DENIED4}", dst=HERE6) / web),
            _always(Reason.MALFORMED),
        ),
        ("v6 payload length 0", bytes(_MAC / _six(plen=0) / web), _always(Reason.TRUNCATED)),
        (
            "v6 neighbour solicitation from afar",
            bytes(_MAC / _six(hlim=64) / ICMPv6ND_NS(tgt=HERE6)),
            _OTHER,
        ),
        (
            "v6 neighbour solicitation",
            bytes(_MAC / _six(hlim=255) / ICMPv6ND_NS(tgt=HERE6)),
            (_DROP_RULE, _LET, (False, Reason.NEIGHBOUR)),
        ),
        (
            "v6 in an IPv4 ethertype",
            bytes(
                Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800) / _six() / web
            ),
            _always(Reason.MALFORMED),
        ),
    ]


def _not_ip() -> list[tuple[str, bytes, tuple[tuple[bool, Reason], ...]]]:
    listed = ((False, Reason.ETHERTYPE),) * 3
    other = ((False, Reason.NOT_IP), (False, Reason.NOT_IP), (True, Reason.NOT_IP))
    return [
        ("arp", bytes(_MAC / ARP(psrc=DENIED4)), listed),
        ("arp, 1 tag", bytes(_tags(1) / ARP(psrc=DENIED4)), listed),
        (
            "lldp",
            bytes(
                Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88CC)
                / Raw(bytes(40))
            ),
            other,
        ),
        (
            "a length for an ethertype",
            bytes(
                Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=38) / Raw(bytes(38))
            ),
            other,
        ),
        ("a cut tag", bytes(_tags(1) / Raw(b""))[:15], _always(Reason.TRUNCATED)),
    ]


CASES = [Case(name, frame, *expected) for name, frame, expected in _cases()]
