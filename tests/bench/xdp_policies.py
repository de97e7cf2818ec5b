# SPDX-License-Identifier: Apache-2.0
"""What the ingress benchmark filters: sets of prefixes, multi-field rules, and traffic for them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import numpy as np

from guard.plan.set_file import Prefixes
from guard.policy.ingress import (
    Action,
    Default,
    FlowMatch,
    IngressRule,
    IngressSection,
    Prefix,
    Range,
)
from guard.policy.source import Span

SPAN = Span("bench.yaml", 1, 1, 1, 2)
HERE = 0xC0000201  # 192.0.2.1
HEADERS = 32768


def header(source: int, destination: int, sport: int, dport: int) -> bytes:
    """64 bytes: Ethernet, IPv4 with a right checksum, TCP with ACK."""
    ip = struct.pack(
        ">BBHHHBBHII", 0x45, 0, 50, 0, 0, 64, 6, 0, source & 0xFFFFFFFF, destination & 0xFFFFFFFF
    )
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ip = ip[:10] + struct.pack(">H", total) + ip[12:]
    mac = b"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0"
    return mac + ip + struct.pack(">HHIIBBHHH", sport, dport, 0, 0, 0x50, 0x10, 0, 0, 0) + bytes(10)


def cidrs(count: int, seed: int) -> Prefixes:
    """Random IPv4 prefixes: seven of ten single addresses, the rest /24."""
    rng = np.random.default_rng(seed)
    address = rng.integers(1 << 24, 224 << 24, count, dtype=np.uint32)
    lengths = np.where(rng.random(count) < 0.7, 32, 24).astype(np.uint8)
    address = np.where(lengths == 24, address & np.uint32(0xFFFFFF00), address).astype(np.uint32)
    none = np.empty(0, np.uint64)
    return Prefixes(address, lengths, none, none, np.empty(0, np.uint8))


def _section(rules: list[IngressRule]) -> IngressSection:
    return IngressSection(
        interfaces=("lo",), default=Default.ALLOW, rules=tuple(rules), span=SPAN, established=None
    )


def set_section() -> IngressSection:
    """A denial of the sources of set s."""
    match = FlowMatch(source_sets=("s",))
    return _section([IngressRule("set", Action.DENY, match, SPAN, sample=0)])


def set_hits(some: Prefixes, seed: int) -> list[bytes]:
    """Frames from the set."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
    count = len(some.v4)
    return [header(int(some.v4[rng.randrange(count)]), HERE, 1, 2) for _ in range(HEADERS)]


def misses(seed: int) -> list[bytes]:
    """Frames from everywhere."""
    rng = random.Random(seed)  # noqa: S311
    return [header(rng.randrange(1 << 24, 224 << 24), HERE, 1, 2) for _ in range(HEADERS)]


@dataclass(frozen=True)
class Fields:
    """One multi-field rule: /24 to /30, TCP, a range of ports."""

    source: int
    destination: int
    first: int
    last: int


def fields(count: int) -> list[Fields]:
    """``count`` rules that do not overlap, so that nftables takes them, too."""
    return [
        Fields(
            0x0A000000 + i * 256,
            0xC0A80000 + i % 64 * 4,
            1000 + i % 500,
            1000 + i % 500 + i % 3,
        )
        for i in range(count)
    ]


def rules_section(some: list[Fields]) -> IngressSection:
    """They are all denials."""
    return _section(
        [
            IngressRule(
                f"r{i}",
                Action.DENY,
                FlowMatch(
                    sources=(Prefix(4, one.source, 24),),
                    destinations=(Prefix(4, one.destination, 30),),
                    protocols=(6,),
                    destination_ports=(Range(one.first, one.last),),
                ),
                SPAN,
                sample=0,
            )
            for i, one in enumerate(some)
        ]
    )


def rule_hits(some: list[Fields], seed: int) -> list[bytes]:
    """Frames that match a rule each, all rules alike often."""
    rng = random.Random(seed)  # noqa: S311
    out = []
    for _ in range(HEADERS):
        one = some[rng.randrange(len(some))]
        out.append(
            header(
                one.source + rng.randrange(256),
                one.destination + rng.randrange(4),
                rng.randrange(65536),
                one.first,
            )
        )
    return out
