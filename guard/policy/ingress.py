# SPDX-License-Identifier: Apache-2.0
"""What an ``ingress:`` section says, after parsing: frozen values with their places.

Numbers are host order and plain integers: addresses, ports, protocol numbers
(IANA), TCP flag bits, ICMP types. Sets are known by name only; who reads their
prefixes, and from where, is not said here. Nothing here knows YAML, numpy, the
kernel or this host.

Meaning, in one place:

- A rule matches a packet when every field that it gives matches; within a
  field any of the listed values will do. A field that is empty (or None) says
  nothing. Order has no meaning.
- Deny beats reject, reject beats limit, limit beats redirect, redirect beats
  allow; what no rule decides is return traffic or gets the section's default.
  Audit and mirror rules decide nothing: they record or copy what they match.
- A limit rule allows what stays within its rate and denies the rest. A packet
  that several limit rules match must stay within all of them.
- A field that cannot be read from a packet (a fragment's ports, say) matches in
  a deny or reject rule and does not match in any other: a packet that a denial
  could have matched is never let in because it could not be read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from guard.policy.source import Span

ETHERTYPE_ARP = 0x0806


class Prefix(NamedTuple):
    """An address prefix: ``family`` 4 or 6, ``address`` with the host bits zero."""

    family: int
    address: int
    length: int


class Range(NamedTuple):
    """Whole numbers from ``first`` to ``last``, both included."""

    first: int
    last: int


class TcpFlags(NamedTuple):
    """Matches when ``flags & mask == value``; bits as in byte 13 of the TCP header."""

    mask: int
    value: int


class Action(enum.Enum):
    """What a rule does; the order of precedence is in the module's docstring."""

    DENY = "deny"
    REJECT = "reject"
    LIMIT = "limit"
    REDIRECT = "redirect"
    ALLOW = "allow"
    AUDIT = "audit"
    MIRROR = "mirror"


class Default(enum.Enum):
    """What a packet gets that no rule decides and that is no return traffic."""

    ALLOW = "allow"
    DROP = "drop"


class Per(enum.Enum):
    """Whether a limit is the rule's as a whole or each source address's own."""

    RULE = "rule"
    SOURCE = "source"


class Unit(enum.Enum):
    """What a limit counts. Bytes are of the IP packet."""

    PACKETS = "packets"
    BYTES = "bytes"


class Fragments(enum.Enum):
    """What becomes of non-first fragments, whose ports cannot be read.

    TRACK: one goes the way of its first fragment, if that was let in before it;
    otherwise its ports are unreadable, with the meaning in the module's
    docstring. DROP: all of them are dropped.
    """

    TRACK = "track"
    DROP = "drop"


class Unreadable(enum.Enum):
    """What becomes of cut or malformed headers, too many tags and too long chains.

    DROP: they are dropped, each kind with its own reason. MATCH: judged by what
    could be read; the rest is unreadable, as in the module's docstring.
    """

    DROP = "drop"
    MATCH = "match"


class Tunnels(enum.Enum):
    """What becomes of packets whose protocol carries other packets unseen.

    NAMED: they are let in only by an allow, limit or redirect rule that names
    their protocol. OUTER: judged as any protocol, by the outer header alone.
    """

    NAMED = "named"
    OUTER = "outer"


@dataclass(frozen=True, slots=True)
class FlowMatch:
    """The fields of a rule; empty tuples and None say nothing.

    ``source_sets``/``destination_sets`` are names of sets; an address matches
    when a prefix or a set has it and no except prefix does (excepts without
    prefixes or sets take out of all addresses). ``protocols`` are IANA numbers;
    ports match TCP, UDP, UDP-Lite, SCTP and DCCP only, ``tcp_flags`` TCP only,
    ``icmp_types`` ICMP over IPv4 only, ``icmp6_types`` ICMPv6 only (both given:
    either). ``fragment`` True matches first and later fragments, False whole
    packets. ``vlans`` are VLAN ids, 0 is untagged; a packet's id is its first
    tag's that is not 0. ``lengths`` are of the IP packet, headers included.
    """

    family: int | None = None
    sources: tuple[Prefix, ...] = ()
    source_sets: tuple[str, ...] = ()
    source_excepts: tuple[Prefix, ...] = ()
    destinations: tuple[Prefix, ...] = ()
    destination_sets: tuple[str, ...] = ()
    destination_excepts: tuple[Prefix, ...] = ()
    protocols: tuple[int, ...] = ()
    source_ports: tuple[Range, ...] = ()
    destination_ports: tuple[Range, ...] = ()
    tcp_flags: tuple[TcpFlags, ...] = ()
    icmp_types: tuple[int, ...] = ()
    icmp6_types: tuple[int, ...] = ()
    fragment: bool | None = None
    vlans: tuple[int, ...] = ()
    lengths: tuple[Range, ...] = ()
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """``rate`` units a second on average, ``burst`` units at once (both positive)."""

    rate: int
    burst: int
    per: Per = Per.RULE
    unit: Unit = Unit.PACKETS


@dataclass(frozen=True, slots=True)
class Target:
    """Where a redirect or mirror rule sends a packet: one of the two is given."""

    interface: str | None = None
    cpu: int | None = None


@dataclass(frozen=True, slots=True)
class IngressRule:
    """One rule. ``id`` is the author's, or ``ingress.N`` with N from 1.

    ``limit`` is given exactly for LIMIT, ``target`` exactly for REDIRECT and
    MIRROR. ``sample`` is N of "record one packet in N": of an audit rule's
    matches, of any other rule's drops; 0 records none.
    """

    id: str
    action: Action
    match: FlowMatch
    span: Span
    limit: Limit | None = None
    target: Target | None = None
    sample: int = 1
    why: str | None = None


@dataclass(frozen=True, slots=True)
class AddressSet:
    """A named set: prefixes written in the policy, and the file that has more, if any."""

    name: str
    prefixes: tuple[Prefix, ...]
    file: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Established:
    """Which return traffic comes in although no rule allows it.

    ``tcp``: segments of connections that the host's own sockets have. ``udp``:
    answers to datagrams sent in the last two minutes. ``icmp``: echo replies to
    echo requests sent, and errors about any traffic of these kinds.
    ``forwarded``: also TCP of others that leaves through these interfaces (a
    router), known from what was seen to leave. ``neighbours``: IPv6 neighbour
    discovery and multicast listener messages that cannot come from afar.
    """

    tcp: bool = True
    udp: bool = True
    icmp: bool = True
    forwarded: bool = False
    neighbours: bool = True


@dataclass(frozen=True, slots=True)
class IngressSection:
    """An ingress section.

    ``established`` is None where no return traffic is recognised. ``ethertypes``
    are let in besides IP; other non-IP frames get the default. ``syn_cookies``:
    SYNs that are let in are answered by cookies while the listener's queue is
    full. ``allow_generic``: an interface whose driver has no XDP may use the
    kernel's slower generic mode. ``generic``: every interface uses that.
    """

    interfaces: tuple[str, ...]
    default: Default
    rules: tuple[IngressRule, ...]
    span: Span
    sets: tuple[AddressSet, ...] = ()
    established: Established | None = field(default_factory=Established)
    fragments: Fragments = Fragments.TRACK
    unreadable: Unreadable = Unreadable.DROP
    tunnels: Tunnels = Tunnels.NAMED
    ethertypes: tuple[int, ...] = (ETHERTYPE_ARP,)
    syn_cookies: bool = False
    allow_generic: bool = False
    generic: bool = False
