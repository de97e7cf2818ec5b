# SPDX-License-Identifier: Apache-2.0
"""Random net policies, and operations on sockets that meet them or nearly do.

Everything comes from a random.Random that the caller seeds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from guard.policy.model import (
    Effect,
    Mode,
    NetOperation,
    NetRule,
    NetSection,
    Policy,
    Ports,
    Prefix,
    Subject,
)
from guard.wire.layout import NetVerb
from tests.plan.make import patterns, span

# (family, type, protocol): what sockets there are, the common ones more often.
KINDS = (
    (2, 1, 6),
    (2, 2, 17),
    (10, 1, 6),
    (10, 2, 17),
    (2, 1, 262),
    (2, 3, 1),
    (2, 5, 132),
    (10, 2, 136),
    (1, 1, 0),
    (1, 2, 0),
    (16, 3, 0),
    (16, 3, 16),
    (17, 3, 0x0800),
    (40, 1, 0),
)
_NAMES = ("a", "guard/x", "guard/*", "?", "*", "**", "{a,b}c", "x[0-9]y", "guard/**/z")
_RAW_NAMES = (
    b"a",
    b"b",
    b"ac",
    b"guard/x",
    b"guard/y",
    b"guard/q/z",
    b"x7y",
    b"",
    b"a\0b",
    b"\xff",
)
_ADDRESSES = (
    bytes(4),
    bytes((127, 0, 0, 1)),
    bytes((127, 1, 0, 2)),
    bytes((10, 0, 0, 1)),
    bytes((10, 1, 2, 3)),
    bytes((192, 0, 2, 77)),
    bytes((255,) * 4),
    bytes(16),
    bytes(15) + b"\1",
    bytes.fromhex("20010db8000000000000000000000001"),
    bytes.fromhex("fe80" + "0" * 27 + "1"),
    bytes.fromhex("fd00" + "ab" * 14),
)
_PORTS = (0, 1, 22, 53, 80, 443, 8079, 8080, 8090, 8091, 32767, 32768, 40000, 60999, 61000, 65535)
_LOCAL = (NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT)


def net_policies(rng: random.Random, number: int) -> list[Policy]:
    """``number`` policies with a net section alone."""
    subject = Subject(patterns(("/nowhere",)), False, False, span())
    return [
        Policy(
            f"p{place}",
            Mode.ENFORCE,
            subject,
            None,
            "test.yaml",
            span(),
            net=NetSection(
                rng.choice(tuple(Effect)),
                tuple(net_rule(rng, line) for line in range(2, 2 + rng.randint(1, 9))),
                span(),
            ),
        )
        for place in range(number)
    ]


def net_rule(rng: random.Random, line: int) -> NetRule:
    """One rule as the parser could make it."""
    families: tuple[int, ...] = ()
    types: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()
    chosen = rng.sample(KINDS, rng.randint(1, 2))
    if rng.random() < 0.4:
        families = tuple({kind[0] for kind in chosen})
    if rng.random() < 0.3:
        types = tuple({kind[1] for kind in chosen})
    if rng.random() < 0.5:
        protocols = tuple({kind[2] for kind in chosen})
    to: tuple[Prefix, ...] = ()
    excepts: tuple[Prefix, ...] = ()
    ports: tuple[Ports, ...] = ()
    names: tuple[str, ...] = ()
    kind = rng.random()
    if kind < 0.45:
        to = tuple(_prefix(rng) for _ in range(rng.randint(1, 3)))
    if 0.3 < kind < 0.65:
        ports = tuple(_ports(rng) for _ in range(rng.randint(1, 2)))
    if kind < 0.65 and rng.random() < 0.3:
        excepts = (_prefix(rng),)
    if 0.65 < kind < 0.8:
        names = tuple(rng.sample(_NAMES, rng.randint(1, 2)))
    return NetRule(
        id=f"r{line}",
        effect=rng.choice(tuple(Effect)),
        span=span(line),
        audit=rng.random() < 0.1,
        kill=False,
        verbs=tuple(rng.sample(tuple(NetVerb), rng.randint(1, 4))),
        families=families,
        types=types,
        protocols=protocols,
        to=to,
        excepts=excepts,
        ports=ports,
        names=patterns(names, line),
    )


def _prefix(rng: random.Random) -> Prefix:
    address = rng.choice(_ADDRESSES)
    length = rng.choice((0, 1, 7, 8, 9, 12, 16, 24, 31, 8 * len(address), rng.randint(0, 32)))
    number = int.from_bytes(address, "big") >> (8 * len(address) - length)
    number <<= 8 * len(address) - length
    return Prefix(number.to_bytes(len(address), "big"), length, span())


def _ports(rng: random.Random) -> Ports:
    first, last = sorted((rng.choice(_PORTS), rng.choice(_PORTS)))
    return Ports(first, first if rng.random() < 0.5 else last, span())


def operations_near(
    rng: random.Random, policies: Sequence[Policy], number: int
) -> Iterator[NetOperation]:
    """Operations of all kinds; half of them with an address at the edge of one of the rules'."""
    rules = [rule for one in policies if one.net is not None for rule in one.net.rules]
    for _ in range(number):
        yield _operation(rng, rng.choice(rules) if rules and rng.random() < 0.85 else None)


def _operation(rng: random.Random, rule: NetRule | None) -> NetOperation:
    verb = rng.choice(rule.verbs) if rule else rng.choice(tuple(NetVerb))
    family, kind, protocol = rng.choice(KINDS)
    if rule and rng.random() < 0.9:
        fitting = [
            one
            for one in KINDS
            if (not rule.families or one[0] in rule.families)
            and (not rule.types or one[1] in rule.types)
            and (not rule.protocols or one[2] in rule.protocols)
        ]
        family, kind, protocol = rng.choice(fitting or KINDS)
    if verb is NetVerb.CREATE or (family not in (1, 2, 10)) or rng.random() < 0.05:
        return NetOperation(verb, family, kind, protocol)
    if rule and rule.names and rng.random() < 0.8:
        family, protocol = 1, 0
    if family == 1:
        return NetOperation(verb, family, kind, protocol, name=rng.choice(_RAW_NAMES))
    address = rng.choice([one for one in _ADDRESSES if family == 10 or len(one) == 4])
    port = rng.choice(_PORTS)
    if rule:
        prefixes = [
            one for one in (*rule.to, *rule.excepts) if family == 10 or len(one.address) == 4
        ]
        if prefixes and rng.random() < 0.8:
            address = _edge(rng, rng.choice(prefixes))
        if rule.ports and rng.random() < 0.8:
            chosen = rng.choice(rule.ports)
            port = (
                rng.choice((chosen.first - 1, chosen.first, chosen.last, chosen.last + 1)) % 65536
            )
    return NetOperation(verb, family, kind, protocol, address, port)


def _edge(rng: random.Random, prefix: Prefix) -> bytes:
    """An address inside the prefix, at its ends, or just beyond them."""
    size = len(prefix.address)
    low = int.from_bytes(prefix.address, "big")
    count = 1 << (8 * size - prefix.length)
    number = rng.choice((low - 1, low, low + rng.randrange(count), low + count - 1, low + count))
    return (number % (1 << 8 * size)).to_bytes(size, "big")


def loopback_operations(
    rng: random.Random, policies: Sequence[Policy], number: int
) -> list[NetOperation]:
    """Operations that a test may really try: TCP and UDP, on loopback addresses alone,
    in canonical form (what asks for no address in particular is sent to loopback).
    """
    rules = [rule for one in policies if one.net is not None for rule in one.net.rules]
    found: list[NetOperation] = []
    while len(found) < number:
        verb = rng.choice((NetVerb.CREATE, NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND))
        family, kind, protocol = rng.choice(KINDS[:4])
        if verb is NetVerb.CREATE:
            found.append(NetOperation(verb, family, kind, protocol))
            continue
        if verb is NetVerb.SEND:
            kind, protocol = 2, 17
        ports = [port for rule in rules for each in rule.ports for port in (each.first, each.last)]
        port = rng.choice(ports) if ports and rng.random() < 0.6 else rng.choice(_PORTS)
        address = bytes((127, rng.choice((0, 0, 1, 255)), 0, rng.choice((1, 2, 254))))
        if family == 10 and rng.random() < 0.5:
            address = bytes(15) + b"\1"
        found.append(NetOperation(verb, family, kind, protocol, address, port))
    return found
