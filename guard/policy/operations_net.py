# SPDX-License-Identifier: Apache-2.0
"""Operations on sockets in words: ``connect tcp 10.1.2.3:443`` and the like.

    VERB PROTOCOL ADDRESS:PORT      tcp, udp and what else has ports; [IPv6]:PORT;
                                    :PORT is IPv4's wildcard, for bind, listen and accept
    VERB PROTOCOL ADDRESS           icmp and what else has none, on a raw socket
    VERB unix PATH                  a named UNIX socket
    VERB unix [TYPE] @NAME          an abstract one
    VERB FAMILY TYPE [PROTOCOL]     create, and whatever has no address

What is read is what the kernel sees: an IPv4-mapped address is the IPv4 one, on
an inet6 socket, and who connects to the wildcard reaches the loopback address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from guard.policy import limits, net_text
from guard.policy.codes import Code
from guard.policy.diagnostic import quoted
from guard.policy.forms import OBJECT_FORM
from guard.policy.model import NetOperation, Operation, PathOperation
from guard.policy.networds import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    DCCP,
    DGRAM,
    FAMILIES,
    INTERNET,
    MOST_PROTOCOL,
    NETLINK_PROTOCOLS,
    PORT_TYPES,
    PROTOCOLS,
    RAW,
    SEQPACKET,
    STREAM,
    TYPES,
)
from guard.policy.operations import Complaint, Suggest
from guard.policy.words import NET
from guard.wire.layout import NetVerb, PathVerb

_T = TypeVar("_T")

_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))
_LOOPBACK = {bytes(4): b"\x7f\0\0\1", bytes(16): bytes(15) + b"\1"}
_NAMED = {
    NetVerb.BIND: PathVerb.BIND,
    NetVerb.CONNECT: PathVerb.CONNECT,
    NetVerb.SEND: PathVerb.SEND,
}
_USUAL = {
    (AF_INET, STREAM): "tcp",
    (AF_INET, DGRAM): "udp",
    (AF_INET, SEQPACKET): "sctp",
    (AF_INET, DCCP): "dccp",
}
"""What protocol 0 becomes: net/ipv4/af_inet.c."""


class _Bad(Exception):
    """The operation cannot be read; ``complaint`` says why."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


def operation(text: str, suggest: Suggest) -> Operation | Complaint:
    """Read an operation whose first word is a verb of the net section."""
    try:
        return _Reader(text, suggest).read()
    except _Bad as bad:
        return bad.complaint


class _Reader:
    """Reads one operation's words from left to right."""

    def __init__(self, text: str, suggest: Suggest) -> None:
        self._text = text
        self._suggest = suggest
        word, _, self._rest = text.partition(" ")
        self._at = len(word) + 1
        self._verb = NET.words[word]
        self._word = word

    def read(self) -> Operation:
        """The whole operation."""
        kind = self._next()
        if kind == "unix" and self._rest.startswith("/"):
            return self._named()
        if kind in FAMILIES:
            return self._in_family(FAMILIES[kind])
        if kind in PROTOCOLS:
            return self._with_protocol(kind)
        close = self._suggest(kind, PROTOCOLS) or self._suggest(kind, FAMILIES)
        help = f"for example {self._example()}"
        if close:
            help = f"did you mean '{close}'?"
        raise self._fail(
            f"{self._word} wants a protocol or an address family, such as tcp or unix", help=help
        )

    def _example(self) -> str:
        if self._verb is NetVerb.CREATE:
            return "'create inet stream tcp'"
        if self._verb in _LOCAL:
            return f"'{self._word} tcp :80'"
        return f"'{self._word} tcp 10.1.2.3:443'"

    def _next(self) -> str:
        """The next word, '' at the end."""
        self._begin = min(self._at, len(self._text))
        word, _, self._rest = self._rest.partition(" ")
        self._at += len(word) + 1
        self._end = self._begin + len(word)
        return word

    def _fail(
        self, message: str, *, code: Code = Code.BAD_OPERATION, help: str | None = None
    ) -> _Bad:
        begin, end = self._begin, self._end
        if begin == end:
            begin, end = 0, len(self._text)
        return _Bad(Complaint(code, message, begin, end, help=help))

    def _done(self) -> None:
        if self._at <= len(self._text):
            self._begin, self._end = self._at - 1, len(self._text)
            raise self._fail("nothing more belongs to this operation")

    def _named(self) -> PathOperation:
        path = self._rest
        self._begin, self._end = self._at, len(self._text)
        verb = _NAMED.get(self._verb)
        if verb is None:
            raise self._fail(
                f"{self._word} on a UNIX socket is not judged by its path",
                help=f"write '{self._word} unix stream', and rules with family: unix",
            )
        if not re.fullmatch(OBJECT_FORM, path) or len(path) > limits.PATTERN_LENGTH:
            raise self._fail(f"no socket has the path {quoted(path)}")
        return PathOperation(verb, path)

    def _in_family(self, family: int) -> NetOperation:
        word = self._next()
        if family == AF_UNIX and word.startswith("@"):
            return self._abstract(DGRAM if self._verb is NetVerb.SEND else STREAM)
        socket_type = TYPES.get(word)
        if socket_type is None:
            close = self._suggest(word, TYPES)
            raise self._fail(
                "after the address family comes the socket's type",
                help=f"did you mean '{close}'?" if close else f"one of {', '.join(TYPES)}",
            )
        if family == AF_UNIX and self._rest.startswith("@"):
            self._next()
            return self._abstract(socket_type)
        protocol = self._protocol(family, socket_type)
        self._done()
        return NetOperation(self._verb, family, socket_type, protocol)

    def _protocol(self, family: int, socket_type: int) -> int:
        if self._at > len(self._text):
            return self._usual(family, socket_type)
        word = self._next()
        names = (
            PROTOCOLS if family in INTERNET else NETLINK_PROTOCOLS if family == AF_NETLINK else {}
        )
        if word in names:
            protocol = names[word]
            if (
                family in INTERNET
                and word in PORT_TYPES
                and socket_type not in (*PORT_TYPES[word], RAW)
            ):
                raise self._fail(
                    f"no socket of this type speaks {word}", code=Code.NO_SUCH_OPERATION
                )
            return protocol
        if re.fullmatch("0|[1-9][0-9]{0,4}", word) and int(word) <= MOST_PROTOCOL:
            return int(word)
        close = self._suggest(word, names)
        raise self._fail(
            f"{quoted(word)} is no protocol of this address family",
            code=Code.NO_SUCH_OPERATION
            if word in (*PROTOCOLS, *NETLINK_PROTOCOLS)
            else Code.BAD_OPERATION,
            help=f"did you mean '{close}'?" if close else "a number from 0 to 65535 will do",
        )

    def _usual(self, family: int, socket_type: int) -> int:
        if family in INTERNET:
            name = _USUAL.get((AF_INET, socket_type))
            if name is None:
                raise self._fail("the protocol of such a socket is wanted, for example icmp")
            return PROTOCOLS[name]
        if family == AF_NETLINK:
            raise self._fail("the netlink protocol is wanted, for example route")
        return 0

    def _abstract(self, socket_type: int) -> NetOperation:
        # A name may hold spaces: it is all the rest.
        name = self._text[self._begin + 1 :]
        self._end = len(self._text)
        data = name.encode("utf-8", "surrogateescape")
        if self._verb is NetVerb.CREATE:
            raise self._fail("a socket that is made has no name yet", code=Code.NO_SUCH_OPERATION)
        if not data or len(data) > limits.ABSTRACT_LENGTH or b"\0" in data:
            raise self._fail(
                "an abstract socket's name has 1 to"
                f" {limits.ABSTRACT_LENGTH} bytes after the '@', none of them NUL",
                code=Code.BAD_ADDRESS,
            )
        return NetOperation(self._verb, AF_UNIX, socket_type, 0, name=data)

    def _with_protocol(self, name: str) -> NetOperation:
        protocol = PROTOCOLS[name]
        if self._verb is NetVerb.CREATE:
            raise self._fail(
                "create wants family and type before the protocol",
                help="for example 'create inet stream tcp'",
            )
        word = self._next()
        socket_type = PORT_TYPES[name][0] if name in PORT_TYPES else RAW
        port = None
        if name in PORT_TYPES:
            word, colon, number = word.rpartition(":")
            if not colon or not number:
                raise self._fail(f"{name} has ports: the address is followed by ':' and a port")
            port = self._parsed(net_text.port, number)
        if not word and port is not None:
            if self._verb not in _LOCAL:
                raise self._fail(f"{self._word} wants an address before the port")
            word = "0.0.0.0"  # noqa: S104 - the wildcard address is what is meant
        family = AF_INET
        if word.startswith("[") and word.endswith("]"):
            word, family = word[1:-1], AF_INET6
        elif ":" in word:
            raise self._fail("an IPv6 address stands in brackets, such as [::1]")
        elif not word:
            raise self._fail(f"{self._word} {name} wants an address")
        packed = self._parsed(net_text.address, word)
        if family == AF_INET6 and ":" not in word:
            raise self._fail("IPv4 addresses stand without brackets")
        self._done()
        if self._verb not in _LOCAL:
            packed = _LOOPBACK.get(packed, packed)
        return NetOperation(self._verb, family, socket_type, protocol, packed, port)

    def _parsed(self, read: Callable[[str], _T], word: str) -> _T:
        try:
            return read(word)
        except net_text.NetError as error:
            raise self._fail(error.message, code=Code.BAD_ADDRESS, help=error.help) from None
