# SPDX-License-Identifier: Apache-2.0
"""Random sections and random frames that have something to do with each other.

Plain random.Random and not hypothesis: the differential test makes a million
frames, and a failure is told as the section and the frame that disagree.
"""

from __future__ import annotations

import random
import struct

from guard.policy.ingress import (
    Action,
    AddressSet,
    Default,
    FlowMatch,
    Fragments,
    IngressRule,
    IngressSection,
    Limit,
    Prefix,
    Range,
    Target,
    TcpFlags,
    Tunnels,
    Unreadable,
)
from guard.policy.source import Span

SPAN = Span("random.yaml", 1, 1, 1, 2)
PROTOCOLS = (1, 6, 6, 6, 17, 17, 58, 132, 33, 136, 47, 4, 50, 41, 89, 0, 43, 60)
PORTS = (22, 53, 80, 443, 1024, 8080, 0, 65535)
_BITS = {4: 32, 6: 128}


class World:
    """The few addresses, ports and interfaces that sections and frames draw from."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.addresses = {
            4: [rng.getrandbits(32) for _ in range(6)] + [0, 2**32 - 1],
            6: [0x20010DB8 << 96 | rng.getrandbits(80) for _ in range(6)]
            + [(0xFE80 << 112) | 1, 2**128 - 1, 1],
        }
        # Neighbours in the last bits, so that long prefixes divide a /64.
        self.addresses[6] += [a ^ rng.getrandbits(8) for a in self.addresses[6][:3]]
        self.interfaces = ("lo",)

    def address(self, family: int) -> int:
        if self.rng.random() < 0.1:
            return self.rng.getrandbits(_BITS[family])
        near = self.rng.choice(self.addresses[family])
        if self.rng.random() < 0.3:
            near ^= 1 << self.rng.randrange(_BITS[family])
        return near

    def prefix(self) -> Prefix:
        family = self.rng.choice((4, 6))
        bits = _BITS[family]
        length = self.rng.choice((0, 1, 8, 16, 20, 24, 31, 32, 48, 63, 64, 65, 96, 127, 128))
        length = min(length, bits)
        return Prefix(family, self.address(family) >> bits - length << bits - length, length)

    def prefixes(self, most: int) -> tuple[Prefix, ...]:
        return tuple(self.prefix() for _ in range(self.rng.randrange(most + 1)))

    def port(self) -> int:
        return self.rng.choice((*PORTS, self.rng.randrange(65536)))

    def ranges(self, most: int, top: int = 65535) -> tuple[Range, ...]:
        out = []
        for _ in range(self.rng.randrange(1, most + 1)):
            first = min(self.port(), top)
            out.append(Range(first, min(top, first + self.rng.choice((0, 0, 1, 100, 60000)))))
        return tuple(out)


def match(world: World) -> FlowMatch:
    """A rule's fields: most say nothing."""
    rng = world.rng

    def maybe(chance: float) -> bool:
        return rng.random() < chance

    return FlowMatch(
        family=rng.choice((4, 6)) if maybe(0.1) else None,
        sources=world.prefixes(3) if maybe(0.6) else (),
        source_sets=("one",) if maybe(0.15) else (),
        source_excepts=world.prefixes(2) if maybe(0.15) else (),
        destinations=world.prefixes(2) if maybe(0.3) else (),
        destination_sets=("two",) if maybe(0.1) else (),
        destination_excepts=world.prefixes(2) if maybe(0.1) else (),
        protocols=tuple(sorted({rng.choice(PROTOCOLS) for _ in range(rng.randrange(1, 4))}))
        if maybe(0.5)
        else (),
        source_ports=world.ranges(2) if maybe(0.15) else (),
        destination_ports=world.ranges(3) if maybe(0.4) else (),
        tcp_flags=(TcpFlags(mask := rng.getrandbits(8), rng.getrandbits(8) & mask),)
        if maybe(0.1)
        else (),
        icmp_types=(rng.choice((0, 3, 8)),) if maybe(0.1) else (),
        icmp6_types=(rng.choice((1, 128, 135)),) if maybe(0.1) else (),
        fragment=rng.choice((True, False)) if maybe(0.1) else None,
        vlans=(rng.choice((0, 5, 100)),) if maybe(0.1) else (),
        lengths=world.ranges(2, 1500) if maybe(0.1) else (),
        interfaces=("lo",) if maybe(0.05) else ("other0",) if maybe(0.03) else (),
    )


def section(rng: random.Random, rules: int) -> tuple[IngressSection, World]:
    """A section of ``rules`` rules, with sets one and two, and the world it is about."""
    world = World(rng)
    made = []
    for number in range(rules):
        action = rng.choice((Action.ALLOW, Action.ALLOW, Action.DENY, Action.DENY, *Action))
        made.append(
            IngressRule(
                id=f"r{number}",
                action=action,
                match=match(world),
                span=SPAN,
                limit=Limit(10**6, 10**6) if action is Action.LIMIT else None,
                target=Target(interface="lo")
                if action in {Action.MIRROR, Action.REDIRECT}
                else None,
                sample=0,
            )
        )
    sets = tuple(AddressSet(name, world.prefixes(8), None, SPAN) for name in ("one", "two"))
    return (
        IngressSection(
            interfaces=("lo",),
            default=rng.choice(tuple(Default)),
            rules=tuple(made),
            span=SPAN,
            sets=sets,
            established=None,
            fragments=rng.choice((*Fragments, Fragments.TRACK)),
            unreadable=rng.choice(tuple(Unreadable)),
            tunnels=rng.choice(tuple(Tunnels)),
            ethertypes=rng.choice(((0x0806,), (0x0806, 0x88CC), ())),
        ),
        world,
    )


def _transport(world: World, protocol: int) -> bytes:
    rng = world.rng
    ports = struct.pack(">HH", world.port(), world.port())
    if protocol == 6:
        offset = rng.choice((5, 5, 5, 6, 15, 4, 0))
        body = ports + rng.randbytes(8) + bytes((offset << 4, rng.getrandbits(8)))
        return body + rng.randbytes(6) + rng.randbytes(rng.choice((0, 4, 40)))
    if protocol in {1, 58}:
        return bytes((rng.choice((0, 3, 8, 1, 128, 133, 135, 136, 143)),)) + rng.randbytes(11)
    return ports + rng.randbytes(rng.choice((4, 8, 20)))


def _cut(world: World, body: bytes) -> bytes:
    """Mostly all of it, sometimes less."""
    if world.rng.random() < 0.07:
        return body[: world.rng.randrange(len(body) + 1)]
    return body


def _ip4(world: World) -> bytes:
    rng = world.rng
    protocol = rng.choice(PROTOCOLS) if rng.random() < 0.95 else rng.getrandbits(8)
    body = _cut(world, _transport(world, protocol))
    words = rng.choice((5, 5, 5, 5, 6, 15)) if rng.random() < 0.97 else rng.randrange(5)
    options = rng.randbytes(4 * max(0, words - 5))
    length = 20 + len(options) + len(body)
    if rng.random() < 0.05:
        length = max(0, length + rng.choice((-30, -5, 5, 1000)))
    fragment = rng.choice((0, 0, 0, 0, 0, 0x4000, 0x2000, 1, 0x2001, 5, 0x2100))
    version = 4 if rng.random() < 0.99 else rng.randrange(16)
    return (
        struct.pack(
            ">BBHHHBBHII",
            version << 4 | words,
            0,
            min(length, 65535),
            rng.getrandbits(16),
            fragment,
            rng.choice((1, 64, 255)),
            protocol,
            0,
            world.address(4),
            world.address(4),
        )
        + options
        + body
    )


def _ip6(world: World) -> bytes:
    rng = world.rng
    protocol = rng.choice(PROTOCOLS) if rng.random() < 0.95 else rng.getrandbits(8)
    following, body = protocol, _transport(world, protocol)
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2, 3, 5, 6, 7, 8))):
        kind = rng.choice((0, 43, 60, 44, 44, 135, 139))
        if kind == 44:
            offset = rng.choice((0, 1, 1, 8, 9, 800, 0xFFF9))
            header = struct.pack(">BBHI", following, 0, offset, rng.getrandbits(32))
        else:
            units = rng.choice((0, 0, 0, 1, 3, 255))
            header = bytes((following, units)) + rng.randbytes(6)
            header += rng.randbytes(8 * units) if units < 200 else b""
        following, body = kind, header + body
    body = _cut(world, body)
    length = len(body)
    if rng.random() < 0.05:
        length = max(0, length + rng.choice((-30, -5, 5, 1000)))
    version = 6 if rng.random() < 0.99 else rng.randrange(16)
    source = world.address(6) if rng.random() < 0.98 else 0xFFFF << 32 | rng.getrandbits(32)
    return (
        bytes((version << 4, 0, 0, 0))
        + struct.pack(">HBB", min(length, 65535), following, rng.choice((1, 64, 255)))
        + source.to_bytes(16, "big")
        + world.address(6).to_bytes(16, "big")
        + body
    )


def frame(world: World) -> bytes:
    """One frame: mostly IP, sometimes tagged, now and then broken anywhere."""
    rng = world.rng
    kind = rng.random()
    if kind < 0.48:
        ethertype, payload = 0x0800, _ip4(world)
    elif kind < 0.95:
        ethertype, payload = 0x86DD, _ip6(world)
    else:
        ethertype = rng.choice((0x0806, 0x88CC, 0x8864, 0x0600, 0x002A))
        payload = rng.randbytes(40)
    tags = b""
    for _ in range(rng.choices((0, 1, 2, 3, 5), (70, 18, 8, 2, 2))[0]):
        tags += struct.pack(
            ">HH", rng.choice((0x8100, 0x88A8, 0x9100)), rng.choice((0, 5, 100, 0x1FFF, 0x2064))
        )
    made = rng.randbytes(12) + tags + struct.pack(">H", ethertype) + payload
    if rng.random() < 0.03:
        made = made[: rng.randrange(14, len(made) + 1)]
    if rng.random() < 0.1:
        made += rng.randbytes(rng.randrange(40))
    return made
