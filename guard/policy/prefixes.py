# SPDX-License-Identifier: Apache-2.0
"""Address prefixes in words, such as 192.0.2.0/24: one exact reading for policies,
set files and command lines. Knows nothing of where the text stood.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from guard.policy.diagnostic import quoted
from guard.policy.ingress import Prefix

BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF << 32
_MAPPED_LENGTH = 96


class Unread(NamedTuple):
    """Why some text is no prefix: characters ``start`` to ``end`` of it, and what to do."""

    message: str
    start: int
    end: int
    help: str | None = None


def read(text: str) -> Prefix | Unread:
    """The prefix that ``text`` says; an address alone is a prefix of one.

    Exact: bits after the length, leading zeros, masks and IPv4 inside IPv6 are
    refused, each with what to write instead.
    """
    address, slash, size = text.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _no_address(text, address)
    if getattr(parsed, "scope_id", None):
        return Unread(
            f"{quoted(text)} names an interface, which a packet's address has not",
            address.index("%"),
            len(address),
            "leave out '%' and what follows",
        )
    bits = BITS[parsed.version]
    length = bits
    if slash:
        if not (size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")):
            return _no_length(text, address, size, parsed.version)
        length = int(size)
        if length > bits:
            return Unread(
                f"an IPv{parsed.version} prefix has a length of 0 to {bits}, not {quoted(size)}",
                len(address) + 1,
                len(text),
            )
    number = int(parsed)
    if parsed.version == 6 and length >= _MAPPED_LENGTH and number >> 32 << 32 == _MAPPED:
        four = ipaddress.IPv4Address(number & 0xFFFFFFFF)
        return Unread(
            f"{quoted(text)} is an IPv4 address, which no IPv6 packet comes from",
            0,
            len(text),
            f"write {four}{'/' + str(length - _MAPPED_LENGTH) if slash else ''}",
        )
    rest = number & ((1 << (bits - length)) - 1)
    if rest:
        network = type(parsed)(number - rest)
        return Unread(
            f"{quoted(text)} has bits beyond its length of {length}",
            0,
            len(text),
            f"write {network}/{length} for all of them, {parsed} for the one",
        )
    return Prefix(parsed.version, number, length)


def is_prefix(text: str) -> bool:
    """Whether ``read`` takes it."""
    return isinstance(read(text), Prefix)


def shown(prefix: Prefix) -> str:
    """The prefix as people write it; one address without its length."""
    kind = ipaddress.IPv4Address if prefix.family == 4 else ipaddress.IPv6Address
    text = str(kind(prefix.address))
    return text if prefix.length == BITS[prefix.family] else f"{text}/{prefix.length}"


def overlap(one: Prefix, other: Prefix) -> Prefix | None:
    """The addresses that two prefixes have in common: the longer of them, or None."""
    if one.family != other.family:
        return None
    longer, shorter = (one, other) if one.length >= other.length else (other, one)
    shift = BITS[one.family] - shorter.length
    return longer if longer.address >> shift == shorter.address >> shift else None


def _no_address(text: str, address: str) -> Unread:
    first, dash, last = text.partition("-")
    if dash:
        try:
            a, b = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
            nets = [str(net) for net in ipaddress.summarize_address_range(a, b)]
        except (ValueError, TypeError):
            nets = []
        if nets:
            told = ", ".join(nets[:4]) + (f" and {len(nets) - 4} more" if len(nets) > 4 else "")
            return Unread(f"{quoted(text)} is a range, not a prefix", 0, len(text), f"write {told}")
    parts = address.split(".")
    if len(parts) < 4 and all(part.isascii() and part.isdigit() for part in parts):
        whole = ".".join([*parts, *("0" for _ in range(4 - len(parts)))])
        meant = f"{whole}/{8 * len(parts)}"
        return Unread(
            f"{quoted(text)} is no IP address: it has {len(parts)} of 4 numbers",
            0,
            len(address),
            f"write {meant} for the network",
        )
    if len(parts) == 4 and any(len(part) > 1 and part[0] == "0" for part in parts):
        return Unread(
            f"{quoted(text)} has a number with a leading zero, which some programs read as octal",
            0,
            len(address),
            "write it without the zero",
        )
    return Unread(
        f"{quoted(text)} is no IP address or prefix",
        0,
        len(text),
        "for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32; names of hosts are not looked up",
    )


def _no_length(text: str, address: str, size: str, version: int) -> Unread:
    try:
        mask = int(ipaddress.ip_address(size))
    except ValueError:
        mask = 0
    length = mask.bit_count()
    if version == 4 and mask and mask == (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF:
        return Unread(
            f"{quoted(text)} has a mask where the length belongs",
            len(address) + 1,
            len(text),
            f"write {address}/{length}",
        )
    return Unread(
        f"{quoted(size)} is no prefix length",
        len(address) + 1 if size else 0,
        len(text),
        f"a whole number from 0 to {BITS[version]}, without a leading zero",
    )
