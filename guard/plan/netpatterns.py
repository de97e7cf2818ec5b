# SPDX-License-Identifier: Apache-2.0
"""Net rules to patterns: an operation on a socket as a string that automata can match.

The string is what lsm/net.h feeds the automaton, in lower-case hexadecimal:

    /  family (2 digits)  type (1)  protocol (4)  [port (4)  4|6  address (8 or 32)]

An abstract UNIX socket has ``@`` and the bytes of its name after the protocol.
Creation, and whatever has no address, ends after the protocol. Every field has
a fixed width, so a prefix is a prefix of the string and a range of ports is a
few patterns. Knows nothing of automata.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from guard.plan.errors import PlanError
from guard.policy.model import Effect, NetRule, Pattern, Ports, Prefix
from guard.policy.networds import INTERNET
from guard.wire.layout import NetVerb

IPPROTO_TCP, IPPROTO_MPTCP = 6, 262
"""include/uapi/linux/in.h"""

EPHEMERAL = (32768, 60999)
"""net.ipv4.ip_local_port_range's default: what port 0 may become."""

ALTERNATIVES = 65536
"""Patterns that one rule may come to; a rule that needs more is written as several."""

_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))


class NetPatterns(NamedTuple):
    """A rule's patterns over operation strings, and those it leaves alone."""

    paths: tuple[Pattern, ...]
    excepts: tuple[Pattern, ...]


def rule_patterns(rule: NetRule) -> NetPatterns:
    """The patterns of one rule; none if it is about named UNIX sockets alone.

    Raises PlanError when it comes to more than ALTERNATIVES.
    """
    heads = list(_heads(rule))
    if not (rule.to or rule.ports or rule.names or rule.paths):
        paths = [f"{head}**" for head in heads]
        return NetPatterns(_patterns(paths, rule), _excepts(rule, heads))
    paths = []
    if rule.to or rule.ports:
        paths += _internet(rule, heads)
    paths += [f"{head}@{each.text}" for head in heads for each in rule.names]
    return NetPatterns(_patterns(paths, rule), _excepts(rule, heads) if paths else ())


def operation_bytes(
    family: int,
    kind: int,
    protocol: int,
    address: bytes | None = None,
    port: int | None = None,
    name: bytes | None = None,
) -> bytes:
    """The string of one operation, as the kernel makes it. ``kind`` is the SOCK_* number;
    ``port`` None is any: 0.
    """
    head = f"/{family:02x}{kind:x}{protocol:04x}".encode()
    if name is not None:
        return head + b"@" + name
    if address is None:
        return head
    version = b"4" if len(address) == 4 else b"6"
    return head + f"{port or 0:04x}".encode() + version + address.hex().encode()


def _patterns(texts: Sequence[str], rule: NetRule) -> tuple[Pattern, ...]:
    if len(texts) > ALTERNATIVES:
        raise PlanError(
            f"the rule {rule.id!r} comes to {len(texts)} combinations of address, port and"
            f" protocol, and one rule may have {ALTERNATIVES}",
            rule.span,
            help="write it as several rules",
        )
    return tuple(Pattern(text, rule.span) for text in texts)


def _heads(rule: NetRule) -> Iterator[str]:
    families = [f"{family:02x}" for family in rule.families] or ["??"]
    types = "".join(f"{number:x}" for number in rule.types)
    kind = f"[{types}]" if len(types) > 1 else types or "?"
    protocols = list(rule.protocols)
    if rule.effect is Effect.DENY and IPPROTO_TCP in protocols:
        # Whoever denies TCP denies its peers to be reached; MPTCP is TCP to them.
        protocols.append(IPPROTO_MPTCP)
    numbers = [f"{protocol:04x}" for protocol in protocols] or ["????"]
    for family, number in itertools.product(families, numbers):
        yield f"/{family}{kind}{number}"


def _internet(rule: NetRule, heads: Sequence[str]) -> Iterator[str]:
    ports = [piece for each in _ports(rule) for piece in _port_patterns(each.first, each.last)]
    ports = ports or ["????"]
    addresses = [_prefix(each) for each in _to(rule)] or ["[46]**"]
    for head in heads:
        inet = _on_internet(head)
        if inet is not None:
            yield from (
                f"{inet}{port}{address}" for port, address in itertools.product(ports, addresses)
            )


def _on_internet(head: str) -> str | None:
    """The head for internet families alone, None if it is of another family."""
    family, rest = head[1:3], head[3:]
    if family == "??":
        return f"/0[2a]{rest}"
    return head if int(family, 16) in INTERNET else None


def _ports(rule: NetRule) -> list[Ports]:
    ports = list(rule.ports)
    if rule.effect is Effect.DENY and _LOCAL & set(rule.verbs):
        low, high = EPHEMERAL
        if any(each.first <= high and each.last >= low for each in ports):
            # Port 0 asks the kernel to choose one, and it may choose a denied one.
            ports.append(Ports(0, 0, rule.span))
    return ports


def _to(rule: NetRule) -> list[Prefix]:
    prefixes = list(rule.to)
    if prefixes and rule.effect is Effect.DENY and _LOCAL & set(rule.verbs):
        # The wildcard address stands for every local address, the denied one too.
        prefixes += [Prefix(bytes(4), 32, rule.span), Prefix(bytes(16), 128, rule.span)]
    return prefixes


def _excepts(rule: NetRule, heads: Sequence[str]) -> tuple[Pattern, ...]:
    return _patterns(
        [
            f"{inet}????{_prefix(each)}"
            for head in heads
            if (inet := _on_internet(head)) is not None
            for each in rule.excepts
        ],
        rule,
    )


def _prefix(prefix: Prefix) -> str:
    """The addresses of a prefix: its kind, its whole digits, one digit in part, the rest."""
    digits = prefix.address.hex()
    whole, bits = divmod(prefix.length, 4)
    text = ("4" if len(prefix.address) == 4 else "6") + digits[:whole]
    if bits:
        low = int(digits[whole], 16) & (0xF << (4 - bits))
        members = range(low, low + (1 << (4 - bits)))
        text += f"[{''.join(f'{digit:x}' for digit in members)}]"
    return text if prefix.length == 8 * len(prefix.address) else text + "**"


def _port_patterns(first: int, last: int) -> Iterable[str]:
    """Patterns over four hexadecimal digits for a range."""
    return _range_patterns(first, last, 4)


def _range_patterns(first: int, last: int, digits: int) -> Iterator[str]:
    if digits == 0:
        yield ""
        return
    unit = 16 ** (digits - 1)
    if first == 0 and last == 16 * unit - 1:
        yield "?" * digits
        return
    low, high = first // unit, last // unit
    if low == high:
        rest = _range_patterns(first - low * unit, last - low * unit, digits - 1)
        yield from (f"{low:x}{each}" for each in rest)
        return
    if first % unit:
        rest = _range_patterns(first % unit, unit - 1, digits - 1)
        yield from (f"{low:x}{each}" for each in rest)
        low += 1
    top = None
    if last % unit != unit - 1:
        top = high
        high -= 1
    if low <= high:
        yield f"[{''.join(f'{digit:x}' for digit in range(low, high + 1))}]" + "?" * (digits - 1)
    if top is not None:
        rest = _range_patterns(0, last % unit, digits - 1)
        yield from (f"{top:x}{each}" for each in rest)
