# SPDX-License-Identifier: Apache-2.0
"""Rules about sockets: nodes to the model, and what no socket can be like.

A rule that no operation could ever match is refused: it would look as if it
did something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from guard.policy import net_text
from guard.policy.codes import Code
from guard.policy.diagnostic import Related, quoted
from guard.policy.model import NetRule, Pattern, Ports, Prefix
from guard.policy.networds import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    FAMILIES,
    INTERNET,
    MOST_PROTOCOL,
    NETLINK_PROTOCOLS,
    PORT_PROTOCOLS,
    PORT_TYPES,
    PROTOCOLS,
    RAW,
    TYPES,
)
from guard.policy.nodes import Node, Scalar
from guard.policy.parse_rules import Fields, Reading, begin, repeated, verbs
from guard.policy.scope import ABSTRACT
from guard.policy.source import Span
from guard.policy.values import Values, is_null
from guard.policy.vocabulary import NET_RULE
from guard.policy.words import NET
from guard.wire.layout import NetVerb

_HINTS = {"local": "unix", "ipv4": "inet", "ip": "inet", "ipv6": "inet6", "datagram": "dgram"}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,4}")


def net_rule(item: Node, number: int, reading: Reading) -> NetRule | None:
    """A rule of the net section; None where it has no effect or cannot be read."""
    begun = begin(item, NET_RULE, f"net.{number}", reading)
    if begun is None:
        return None
    fields, values, scope = begun.fields, reading.values, reading.scope
    errors = reading.findings.errors
    words: tuple[NetVerb, ...] = verbs(begun.verbs, NET, values)
    families = _words(fields, "family", FAMILIES, "address family", values)
    types = _words(fields, "type", TYPES, "type of socket", values)
    protocols = _protocols(fields, families, values)
    to: tuple[Prefix, ...] = ()
    excepts: tuple[Prefix, ...] = ()
    paths: tuple[Pattern, ...] = ()
    names: tuple[Pattern, ...] = ()
    if "to" in fields:
        to = scope.prefixes(fields["to"].value, "to")
    if "except" in fields:
        excepts = scope.prefixes(fields["except"].value, "except")
    ports = _ports(fields["port"].value, values) if "port" in fields else ()
    if "unix" in fields:
        paths = scope.patterns(fields["unix"].value, "unix")
    if "abstract" in fields:
        names = scope.patterns(fields["abstract"].value, "abstract", ABSTRACT)
    if reading.findings.errors == errors:
        _Possible(fields, reading).check(words, families, types, protocols, to)
    if not begun.alive:
        return None
    if not families and ("proto" in fields or "except" in fields) and not (to or ports):
        families = INTERNET
    return NetRule(
        **begun.head,
        verbs=words,
        families=families,
        types=types,
        protocols=protocols,
        to=to,
        excepts=excepts,
        ports=ports,
        paths=paths,
        names=names,
    )


def _words(
    fields: Fields, key: str, table: Mapping[str, int], noun: str, values: Values
) -> tuple[int, ...]:
    if key not in fields:
        return ()
    found: dict[str, Scalar] = {}
    for scalar in values.one_or_more(fields[key].value, key):
        if scalar.text in table:
            repeated(scalar, found, noun, values)
        else:
            _unknown(scalar, table, noun, values)
    return tuple(table[word] for word in found)


def _unknown(scalar: Scalar, table: Mapping[str, int], noun: str, values: Values) -> None:
    findings = values.findings
    if is_null(scalar):
        findings.add(Code.EMPTY_VALUE, f"a word for the {noun} is wanted here", scalar.span)
        return
    close = _HINTS.get(scalar.text.lower())
    close = close if close is not None and close in table else findings.suggest(scalar.text, table)
    shown = [word for _, word in zip(range(8), table, strict=False)]
    findings.add(
        Code.BAD_VALUE,
        f"{quoted(scalar.text)} is no {noun}",
        scalar.span,
        help=f"did you mean '{close}'?" if close else f"for example {', '.join(shown)}",
        fix=findings.edit(scalar.span, scalar.text, close, table),
    )


def _protocols(fields: Fields, families: tuple[int, ...], values: Values) -> tuple[int, ...]:
    """Protocols by name, of the family that is given, or by number."""
    if "proto" not in fields:
        return ()
    netlink = families == (AF_NETLINK,)
    internet = all(family in INTERNET for family in families)
    table = NETLINK_PROTOCOLS if netlink else PROTOCOLS if internet else {}
    found: dict[str, Scalar] = {}
    numbers: list[int] = []
    for scalar in values.one_or_more(fields["proto"].value, "proto"):
        number = table.get(scalar.text)
        if number is None and scalar.plain and _NUMBER.fullmatch(scalar.text):
            number = int(scalar.text)
        if number is not None and number <= MOST_PROTOCOL:
            if not repeated(scalar, found, "protocol", values) and number not in numbers:
                numbers.append(number)
        elif scalar.text in PROTOCOLS or scalar.text in NETLINK_PROTOCOLS:
            kind = "netlink" if scalar.text in NETLINK_PROTOCOLS else "inet and inet6"
            values.findings.add(
                Code.NO_SUCH_OPERATION,
                f"'{scalar.text}' is a protocol of {kind} sockets alone",
                scalar.span,
                help=f"write family: {'netlink' if 'netlink' in kind else '[inet, inet6]'},"
                " or the protocol's number",
            )
        else:
            _unknown(scalar, table or PROTOCOLS, "protocol", values)
    return tuple(numbers)


def _ports(node: Node, values: Values) -> tuple[Ports, ...]:
    found: dict[str, Scalar] = {}
    ports = []
    for scalar in values.one_or_more(node, "port"):
        if is_null(scalar):
            values.findings.add(Code.EMPTY_VALUE, "port is empty", scalar.span)
        elif not repeated(scalar, found, "port", values):
            try:
                ports.append(Ports(*net_text.ports(scalar.text), scalar.span))
            except net_text.NetError as error:
                place = scalar.part(error.start, error.end)
                values.findings.add(Code.BAD_ADDRESS, error.message, place, help=error.help)
    return tuple(ports)


class _Possible:
    """Judges whether any operation can be like a rule. Tells the first reason why not."""

    def __init__(self, fields: Fields, reading: Reading) -> None:
        self._fields = fields
        self._findings = reading.findings

    def check(
        self,
        words: tuple[NetVerb, ...],
        families: tuple[int, ...],
        types: tuple[int, ...],
        protocols: tuple[int, ...],
        to: tuple[Prefix, ...],
    ) -> None:
        """Refuse what cannot be."""
        fields = self._fields
        addresses = [key for key in ("to", "except", "port", "unix", "abstract") if key in fields]
        internet = [key for key in ("to", "except", "port") if key in fields]
        unix = [key for key in ("unix", "abstract") if key in fields]
        verb_key = "allow" if "allow" in fields else "deny"
        if NetVerb.CREATE in words and addresses:
            self._tell(
                addresses[0],
                "a socket has no address yet when it is made",
                verb_key,
                "create is among the verbs",
                "write a rule of its own for create, without an address",
            )
        elif internet and unix:
            self._tell(
                unix[0],
                "one rule is about internet addresses or about UNIX sockets, not both",
                internet[0],
                "an internet address",
                "write two rules",
            )
        elif unix:
            self._unix(words, families, unix[0], verb_key)
        elif internet and any(family not in INTERNET for family in families):
            self._tell(
                internet[0],
                f"only inet and inet6 sockets have {_thing(internet[0])}",
                "family",
                "another family",
                "leave the other families to a rule of their own",
            )
        elif "port" in fields:
            self._port(protocols)
        elif AF_INET in families and AF_INET6 not in families and to:
            if all(len(prefix.address) == 16 for prefix in to):
                self._tell(
                    "to",
                    "an inet socket has no IPv6 address",
                    "family",
                    "inet is IPv4 alone",
                    "write family: inet6, or leave family out",
                )
        else:
            self._kinds(words, families, types, protocols)

    def _unix(
        self, words: tuple[NetVerb, ...], families: tuple[int, ...], key: str, verb_key: str
    ) -> None:
        fields = self._fields
        waiting = {NetVerb.LISTEN, NetVerb.ACCEPT} & set(words)
        if any(family != AF_UNIX for family in families):
            self._tell(key, "only unix sockets have such a name", "family", "another family")
        elif "proto" in fields:
            self._tell("proto", "UNIX sockets have no protocol", key, "the UNIX socket")
        elif "type" in fields:
            self._tell(
                "type",
                "a UNIX socket's name is judged whatever the type of the socket",
                key,
                "the UNIX socket",
                "leave type out; a rule for create may have it",
            )
        elif waiting:
            self._tell(
                key,
                "UNIX sockets are judged by name at bind, connect and send, not when they wait",
                verb_key,
                "listen or accept is among the verbs",
                "write a rule of its own for listen and accept, with family: unix and no name",
            )

    def _port(self, protocols: tuple[int, ...]) -> None:
        names = ", ".join(PORT_TYPES)
        if not protocols:
            self._tell(
                "port", "a port wants the protocol that it is of", help=f"add proto: {names}"
            )
        elif not PORT_PROTOCOLS.issuperset(protocols):
            self._tell(
                "port",
                f"only {names} have ports",
                "proto",
                "another protocol",
                "leave the other protocols to a rule of their own",
            )

    def _kinds(
        self,
        words: tuple[NetVerb, ...],
        families: tuple[int, ...],
        types: tuple[int, ...],
        protocols: tuple[int, ...],
    ) -> None:
        of_types = {PROTOCOLS[name]: (*kinds, RAW) for name, kinds in PORT_TYPES.items()}
        if types and families != (AF_NETLINK,):
            for protocol in protocols:
                known = of_types.get(protocol)
                if known and not set(known) & set(types):
                    name = next(word for word, each in PROTOCOLS.items() if each == protocol)
                    self._tell(
                        "type",
                        f"no socket of this type speaks {name}",
                        "proto",
                        help="leave type out: the protocol says enough",
                    )
                    return
        named = {NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND} & set(words)
        if types and named and (not families or AF_UNIX in families) and not protocols:
            self._tell(
                "type",
                "named UNIX sockets are judged whatever their type, so type wants another family",
                "family" if families else None,
                "unix is among the families",
                "add family, such as [inet, inet6], or leave type out",
            )

    def _tell(
        self,
        key: str,
        message: str,
        other: str | None = None,
        label: str = "",
        help: str | None = None,
    ) -> None:
        related: tuple[Related, ...] = ()
        if other is not None:
            related = (Related(self._place(other), label),)
        self._findings.add(
            Code.NO_SUCH_OPERATION, message, self._place(key), related=related, help=help
        )

    def _place(self, key: str) -> Span:
        return self._fields[key].key.span


def _thing(key: str) -> str:
    return "ports" if key == "port" else "such addresses"
