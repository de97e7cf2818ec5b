# SPDX-License-Identifier: Apache-2.0
"""Packets in words, such as ``tcp 198.51.100.7:4321 > :22``: for questions on a command line.

Knows nothing of what a policy decides.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from guard.errors import GuardError
from guard.policy.vocabulary_ingress import (
    FLAGS,
    ICMP,
    ICMP6,
    ICMP6_TYPES,
    ICMP_TYPES,
    PROTOCOLS,
    TCP,
    WITH_PORTS,
)

FORM = "PROTOCOL [SOURCE][:PORT] > [DESTINATION][:PORT] [flags F,F] [type T] [vlan N] [length N]"
EXAMPLE = 'for example "packet tcp 198.51.100.7:4321 > :22" or "packet icmp6 [fe80::1] > type 135"'

_END = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)|(?P<bare>[0-9a-fA-F:]*::[0-9a-fA-F:]*))?(?::(?P<port>[0-9]{1,5}))?"
)


class BadPacket(GuardError):
    """Words that are no packet."""


class Words(NamedTuple):
    """A packet as it was asked about; ports, flags and type are None where there are none."""

    family: int
    source: int
    destination: int
    protocol: int
    source_port: int | None
    destination_port: int | None
    flags: int | None
    type: int | None
    vlan: int
    length: int


def read(text: str) -> Words:
    """The packet that the words after ``packet`` describe. Raises BadPacket."""
    words = text.split()
    if len(words) < 3 or ">" not in words:
        raise BadPacket(f"a packet is written {FORM}", remedy=EXAMPLE)
    protocol = _protocol(words[0])
    arrow = words.index(">")
    if arrow > 2:
        raise BadPacket(f"{' '.join(words[1:arrow])!a} is no source", remedy=EXAMPLE)
    source, source_port = _end(words[1] if arrow == 2 else "")
    rest = words[arrow + 1 :]
    first = rest.pop(0) if rest and rest[0] not in _OPTIONS else ""
    destination, destination_port = _end(first)
    options = _options(rest)
    versions = {one.version for one in (source, destination) if one is not None}
    if len(versions) > 1:
        raise BadPacket("source and destination are of different families", remedy=EXAMPLE)
    family = versions.pop() if versions else (6 if protocol == ICMP6 else 4)
    if protocol not in WITH_PORTS and (source_port, destination_port) != (None, None):
        raise BadPacket(f"{words[0]} has no ports", remedy=EXAMPLE)
    if protocol in WITH_PORTS:
        source_port = 40000 if source_port is None else source_port
        destination_port = 0 if destination_port is None else destination_port
    flags = _flags(options.get("flags", "syn")) if protocol == TCP else None
    types = ICMP_TYPES if protocol == ICMP else ICMP6_TYPES
    kind = _number(options.get("type", "echo"), 255, types) if protocol in (ICMP, ICMP6) else None
    return Words(
        family,
        int(source) if source is not None else 0,
        int(destination) if destination is not None else 0,
        protocol,
        source_port,
        destination_port,
        flags,
        kind,
        _number(options.get("vlan", "0"), 4094, {}),
        _number(options.get("length", "60"), 65535, {}),
    )


_OPTIONS = ("flags", "type", "vlan", "length")


def _options(words: list[str]) -> dict[str, str]:
    if len(words) % 2 or any(name not in _OPTIONS for name in words[::2]):
        raise BadPacket(f"{' '.join(words)!a} is not understood", remedy=f"{FORM}; {EXAMPLE}")
    return dict(zip(words[::2], words[1::2], strict=True))


def _protocol(word: str) -> int:
    if word in PROTOCOLS:
        return PROTOCOLS[word]
    if word.isdigit() and int(word) < 256:
        return int(word)
    raise BadPacket(f"{word!a} is no protocol", remedy=f"they are {', '.join(PROTOCOLS)}")


def _end(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address | None, int | None]:
    match = _END.fullmatch(text)
    if match is None:
        raise BadPacket(f"{text!a} is no address and port", remedy=EXAMPLE)
    address = match["six"] or match["four"] or match["bare"]
    port = None if match["port"] is None else _number(match["port"], 65535, {})
    try:
        return (None if address is None else ipaddress.ip_address(address)), port
    except ValueError:
        raise BadPacket(f"{address!a} is no IP address", remedy=EXAMPLE) from None


def _number(text: str, most: int, words: dict[str, int]) -> int:
    if text in words:
        return words[text]
    if text.isascii() and text.isdigit() and int(text) <= most:
        return int(text)
    raise BadPacket(f"{text!a} is no number up to {most}", remedy=EXAMPLE)


def _flags(text: str) -> int:
    flags = 0
    for word in text.split(","):
        if word not in FLAGS:
            raise BadPacket(f"{word!a} is no TCP flag", remedy=f"they are {', '.join(FLAGS)}")
        flags |= FLAGS[word]
    return flags
