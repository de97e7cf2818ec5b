# SPDX-License-Identifier: Apache-2.0
"""The words of the ingress section and what they mean: one table.

The parser, its messages, the JSON Schema and the manual all come from here.
Numbers behind words are IANA's. Knows nothing of YAML.
"""

from __future__ import annotations

import enum

from guard.policy.ingress import Action, Default, Fragments, Per, Tunnels, Unit, Unreadable
from guard.policy.vocabulary import Key, Kind, Shape

PROTOCOLS: dict[str, int] = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmp6": 58,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
    "udplite": 136,
}
"""assignments/protocol-numbers"""

ALL = "all"
"""Every protocol."""

WITH_PORTS = frozenset(PROTOCOLS[name] for name in ("tcp", "udp", "dccp", "sctp", "udplite"))
TCP, ICMP, ICMP6 = PROTOCOLS["tcp"], PROTOCOLS["icmp"], PROTOCOLS["icmp6"]

FLAGS: dict[str, int] = {
    "fin": 0x01,
    "syn": 0x02,
    "rst": 0x04,
    "psh": 0x08,
    "ack": 0x10,
    "urg": 0x20,
    "ece": 0x40,
    "cwr": 0x80,
}
"""Byte 13 of the TCP header, RFC 9293."""

NO_FLAGS = "none"

ICMP_TYPES: dict[str, int] = {
    "echo-reply": 0,
    "unreachable": 3,
    "redirect": 5,
    "echo": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp": 13,
    "timestamp-reply": 14,
}
"""assignments/icmp-parameters"""

ICMP6_TYPES: dict[str, int] = {
    "unreachable": 1,
    "too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo": 128,
    "echo-reply": 129,
    "listener-query": 130,
    "listener-report": 131,
    "listener-done": 132,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbour-solicitation": 135,
    "neighbour-advertisement": 136,
    "redirect": 137,
    "listener-report-2": 143,
}
"""assignments/icmpv6-parameters"""

ETHERTYPES: dict[str, int] = {
    "arp": 0x0806,
    "rarp": 0x8035,
    "mpls": 0x8847,
    "pppoe-discovery": 0x8863,
    "pppoe": 0x8864,
    "eapol": 0x888E,
    "lldp": 0x88CC,
    "macsec": 0x88E5,
    "ptp": 0x88F7,
}
"""assignments/ieee-802-numbers"""

LOWEST_ETHERTYPE = 0x0600
"""Smaller numbers are lengths, IEEE 802.3."""

FAMILIES: dict[str, int] = {"ipv4": 4, "ipv6": 6}
ACTIONS: dict[str, Action] = {
    action.value: action for action in Action if action is not Action.LIMIT
}
DEFAULTS: dict[str, Default] = {default.value: default for default in Default}
FRAGMENTS: dict[str, Fragments] = {word.value: word for word in Fragments}
UNREADABLE: dict[str, Unreadable] = {word.value: word for word in Unreadable}
TUNNELS: dict[str, Tunnels] = {word.value: word for word in Tunnels}
PERS: dict[str, Per] = {per.value: per for per in Per}

MODES: dict[str, tuple[bool, bool]] = {
    "native": (False, False),
    "auto": (True, False),
    "generic": (True, True),
}
"""How the filter may be attached: whether generic mode will do, and whether it is wanted."""

RATE_UNITS: dict[str, tuple[int, Unit]] = {
    "": (1, Unit.PACKETS),
    "k": (1_000, Unit.PACKETS),
    "M": (1_000_000, Unit.PACKETS),
    "B": (1, Unit.BYTES),
    "kB": (1_000, Unit.BYTES),
    "MB": (1_000_000, Unit.BYTES),
    "GB": (1_000_000_000, Unit.BYTES),
}
"""What may stand between the number and the '/' of a rate."""

RATE_TIMES: dict[str, int] = {"s": 1, "m": 60, "h": 3600}

INTERFACE_FORM = r"(?!\.{1,2}$)[^\s/:]{1,15}"
"""What the kernel takes for an interface's name: dev_valid_name, net/core/dev.c."""

RATE_FORM = r"[0-9]{1,12}(k|M|B|kB|MB|GB)?/(s|m|h)"
FLAGS_FORM = r"none|!?(fin|syn|rst|psh|ack|urg|ece|cwr)([ ,]+!?(fin|syn|rst|psh|ack|urg|ece|cwr))*"


class Form(enum.Enum):
    """The form of a key's value in this section."""

    INTERFACES = enum.auto()
    INTERFACE = enum.auto()
    DEFAULT = enum.auto()
    MODE = enum.auto()
    SETS = enum.auto()
    RULES = enum.auto()
    ESTABLISHED = enum.auto()
    FRAGMENTS = enum.auto()
    UNREADABLE = enum.auto()
    TUNNELS = enum.auto()
    ETHERTYPES = enum.auto()
    FLAG = enum.auto()
    RULE_ID = enum.auto()
    TEXT = enum.auto()
    PROTOCOLS = enum.auto()
    FAMILY = enum.auto()
    ADDRESSES = enum.auto()
    PREFIXES = enum.auto()
    PORTS = enum.auto()
    TCP_FLAGS = enum.auto()
    ICMP = enum.auto()
    ICMP6 = enum.auto()
    VLANS = enum.auto()
    LENGTHS = enum.auto()
    LIMIT = enum.auto()
    CPU = enum.auto()
    SAMPLE = enum.auto()
    RATE = enum.auto()
    BURST = enum.auto()
    PER = enum.auto()
    FILE = enum.auto()


_KINDS = {
    Form.RULES: Kind.INGRESS_RULES,
    Form.LIMIT: Kind.INGRESS_LIMIT,
    Form.ESTABLISHED: Kind.INGRESS_ESTABLISHED,
}
"""Forms that are mappings, or lists of them."""


def _shape(
    title: str,
    meaning: str,
    keys: tuple[tuple[str, Form, str], ...],
    *,
    required: dict[str, str] | None = None,
    planned: frozenset[str] = frozenset(),
    exactly_one: tuple[str, ...] = (),
) -> tuple[Shape, dict[str, Form]]:
    """A shape, and the form of each of its keys. ``required``: keys with an example each."""
    examples = required or {}
    made = tuple(
        Key(
            name,
            _KINDS.get(form, Kind.INGRESS_VALUE),
            told,
            name in examples,
            examples.get(name, ""),
        )
        for name, form, told in keys
    )
    forms = {name: form for name, form, _ in keys}
    return Shape(title, meaning, made, planned, exactly_one), forms


_PROTOCOL_MEANING = "all, or protocols: " + ", ".join(PROTOCOLS) + ", or numbers."

INGRESS, INGRESS_FORMS = _shape(
    "ingress section",
    "Packets that come in through the host's interfaces, filtered by XDP before the kernel"
    " sees them. Deny beats allow, whatever the order.",
    (
        ("interfaces", Form.INTERFACES, "The interfaces that the filter is attached to."),
        (
            "default",
            Form.DEFAULT,
            "What a packet gets that no rule decides and that is no return traffic: allow or drop.",
        ),
        (
            "mode",
            Form.MODE,
            (
                "native (the default): the driver runs the filter, or guard refuses to start."
                " auto: an interface whose driver cannot may use the kernel's slower generic mode."
                " generic: that mode everywhere."
            ),
        ),
        ("sets", Form.SETS, "Named sets of addresses; rules name them '@NAME'."),
        ("rules", Form.RULES, "Rules; their order has no meaning."),
        (
            "established",
            Form.ESTABLISHED,
            (
                "Which return traffic comes in although no rule allows it: true (the default),"
                " false, or a mapping."
            ),
        ),
        (
            "fragments",
            Form.FRAGMENTS,
            (
                "Non-first fragments, which have no ports. track (the default): they go the way of"
                " their first fragment. drop: none comes in."
            ),
        ),
        (
            "unreadable",
            Form.UNREADABLE,
            (
                "Cut and malformed headers, too many tags or extension headers. drop (the default),"
                " or match: judged by what could be read."
            ),
        ),
        (
            "tunnels",
            Form.TUNNELS,
            (
                "Protocols that carry packets unseen. named (the default): a rule that lets them in"
                " must name the protocol. outer: judged by the outer header."
            ),
        ),
        (
            "ethertypes",
            Form.ETHERTYPES,
            "Frames that are let in besides IP: words or numbers. Default: arp.",
        ),
        (
            "syn-cookies",
            Form.FLAG,
            (
                "true: connection requests that are let in are answered by SYN cookies while the"
                " listener's queue is full."
            ),
        ),
    ),
    required={"interfaces": "[eth0]", "default": "drop"},
)

INGRESS_RULE, INGRESS_RULE_FORMS = _shape(
    "rule",
    "Matches a packet when every field that it gives matches.",
    (
        ("id", Form.RULE_ID, "What records call this rule; unique in the policy."),
        ("allow", Form.PROTOCOLS, "Lets in: " + _PROTOCOL_MEANING),
        ("deny", Form.PROTOCOLS, "Drops; beats every other rule: " + _PROTOCOL_MEANING),
        (
            "reject",
            Form.PROTOCOLS,
            "Drops, and answers with a TCP reset or ICMP unreachable: " + _PROTOCOL_MEANING,
        ),
        ("redirect", Form.PROTOCOLS, "Sends elsewhere instead of up: " + _PROTOCOL_MEANING),
        ("mirror", Form.PROTOCOLS, "Sends a copy elsewhere: " + _PROTOCOL_MEANING),
        ("audit", Form.PROTOCOLS, "Records, and decides nothing: " + _PROTOCOL_MEANING),
        (
            "limit",
            Form.LIMIT,
            "With allow: what stays within this rate is let in, the rest is dropped.",
        ),
        ("proto", Form.PROTOCOLS, "Protocols, where the action says all: " + _PROTOCOL_MEANING),
        ("family", Form.FAMILY, "ipv4 or ipv6; by default both."),
        ("from", Form.ADDRESSES, "Source addresses: prefixes, and sets as '@NAME'."),
        ("not-from", Form.PREFIXES, "Of those, the ones that the rule leaves alone."),
        ("to", Form.ADDRESSES, "Destination addresses: prefixes, and sets as '@NAME'."),
        ("not-to", Form.PREFIXES, "Of those, the ones that the rule leaves alone."),
        ("port", Form.PORTS, "Destination ports: numbers, and ranges such as 8000-8080."),
        ("sport", Form.PORTS, "Source ports: numbers and ranges."),
        (
            "flags",
            Form.TCP_FLAGS,
            (
                "TCP flags: 'syn !ack' is SYN set and ACK not set, none is no flag at all; of"
                " several entries any will do."
            ),
        ),
        ("icmp", Form.ICMP, "ICMP types over IPv4: words or numbers."),
        ("icmp6", Form.ICMP6, "ICMPv6 types: words or numbers."),
        ("fragment", Form.FLAG, "true: fragments only, first and later. false: whole packets."),
        ("vlan", Form.VLANS, "VLAN ids; 0 is untagged."),
        ("length", Form.LENGTHS, "Bytes of the IP packet: numbers and ranges."),
        ("interface", Form.INTERFACES, "Only packets that come in through these interfaces."),
        ("to-interface", Form.INTERFACE, "With redirect or mirror: the interface to send to."),
        ("to-cpu", Form.CPU, "With redirect: the CPU that takes the packet."),
        (
            "sample",
            Form.SAMPLE,
            "Record one packet in this many: of an audit rule's, or of a rule's drops. 0: none.",
        ),
        ("why", Form.TEXT, "The reason for the rule; it goes into the records."),
    ),
    planned=frozenset(["expires", "tags", "owner", "mac", "country", "asn", "time"]),
    exactly_one=tuple(ACTIONS),
)

INGRESS_LIMIT, INGRESS_LIMIT_FORMS = _shape(
    "limit",
    "A rate, and what may exceed it at once.",
    (
        ("rate", Form.RATE, "Packets (1000/s, 5k/s) or bytes (10MB/s) a second, minute or hour."),
        ("burst", Form.BURST, "What may come at once; by default one second's worth."),
        ("per", Form.PER, "rule (the default): one rate for all. source: each address its own."),
    ),
    required={"rate": "1000/s"},
)

INGRESS_SET, INGRESS_SET_FORMS = _shape(
    "set",
    "A set whose addresses, or some of them, stand in a file.",
    (
        ("file", Form.FILE, "A file with a prefix a line, relative to the policy's; # comments."),
        ("prefixes", Form.PREFIXES, "Addresses that the set has besides."),
    ),
    required={"file": "blocklist.txt"},
)

ESTABLISHED, ESTABLISHED_FORMS = _shape(
    "return traffic",
    "Which kinds of return traffic come in although no rule allows them.",
    (
        ("tcp", Form.FLAG, "Segments of connections that the host's sockets have."),
        ("udp", Form.FLAG, "Answers to datagrams that were sent."),
        ("icmp", Form.FLAG, "Echo replies that were asked for, and errors about sent traffic."),
        ("forwarded", Form.FLAG, "On a router: what was seen to leave for others, too."),
        ("neighbours", Form.FLAG, "IPv6 neighbour discovery and listener messages."),
    ),
)

SHAPES: tuple[tuple[Shape, dict[str, Form]], ...] = (
    (INGRESS, INGRESS_FORMS),
    (INGRESS_RULE, INGRESS_RULE_FORMS),
    (INGRESS_LIMIT, INGRESS_LIMIT_FORMS),
    (INGRESS_SET, INGRESS_SET_FORMS),
    (ESTABLISHED, ESTABLISHED_FORMS),
)
"""Every mapping of the section."""

KIND_SHAPES: dict[Kind, Shape] = {
    Kind.INGRESS: INGRESS,
    Kind.INGRESS_RULES: INGRESS_RULE,
    Kind.INGRESS_LIMIT: INGRESS_LIMIT,
    Kind.INGRESS_ESTABLISHED: ESTABLISHED,
}
"""As vocabulary.SHAPES, for whoever writes policies in order."""
