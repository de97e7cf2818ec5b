# SPDX-License-Identifier: Apache-2.0
"""Addresses and ports of sockets as policies write them. Knows nothing of YAML and of rules.

Unlike a packet's, a socket's address may be IPv4-mapped: an inet6 socket that
speaks IPv4. It is that IPv4 address.
"""

from __future__ import annotations

import ipaddress
import re

from guard.policy import prefixes
from guard.policy.diagnostic import quoted

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_MAPPED = bytes(10) + b"\xff\xff"
"""The first 12 bytes of an IPv4-mapped IPv6 address: RFC 4291, 2.5.5.2."""


class NetError(ValueError):
    """Characters ``start`` to ``end`` of a text are no address or port; ``help`` says more."""

    def __init__(self, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.help = help


def address(text: str) -> bytes:
    """An address's 4 or 16 bytes; an IPv4-mapped one's 4. Raises NetError."""
    packed, length = prefix(text)
    if "/" in text or length != 8 * len(packed):
        raise NetError(f"{quoted(text)} is a prefix, and one address is wanted", 0, len(text))
    return packed


def prefix(text: str) -> tuple[bytes, int]:
    """A prefix's address, 4 or 16 bytes, and its length in bits. Raises NetError.

    An address alone is a prefix of all its bits. An IPv4-mapped IPv6 prefix is
    its IPv4 prefix; a shorter one than that stays what it is.
    """
    meant = _unmapped(text)
    found = prefixes.read(meant)
    if isinstance(found, prefixes.Unread):
        if meant != text:
            raise NetError(found.message, 0, len(text), found.help)
        raise NetError(found.message, found.start, found.end, found.help)
    return found.address.to_bytes(prefixes.BITS[found.family] // 8, "big"), found.length


def _unmapped(text: str) -> str:
    """An IPv4-mapped address or prefix as the IPv4 one that it is; else the text itself."""
    head, slash, tail = text.partition("/")
    try:
        mapped = ipaddress.IPv6Address(head).ipv4_mapped if ":" in head else None
    except ValueError:
        return text
    if mapped is None or "%" in head:
        return text
    if not slash:
        return str(mapped)
    if re.fullmatch(r"9[6-9]|1[01][0-9]|12[0-8]", tail):
        return f"{mapped}/{int(tail) - 96}"
    return text


def ports(text: str) -> tuple[int, int]:
    """The first and last port of ``N`` or ``N-M``. Raises NetError."""
    first, dash, last = text.partition("-")
    low = port(first)
    high = port(last) if dash else low
    if high < low:
        raise NetError(
            f"the range of ports {quoted(text)} is backwards", 0, len(text), f"write {high}-{low}"
        )
    return low, high


def port(text: str) -> int:
    """A port's number. Raises NetError."""
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise NetError(
            f"{quoted(text)} is no port: ports are numbers from 0 to 65535",
            0,
            len(text),
            "several are a list: [80, 443]" if "," in text else "for example 443, or 8080-8090",
        )
    return int(text)
