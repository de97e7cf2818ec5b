# SPDX-License-Identifier: Apache-2.0
"""Operations to words: what guard.policy.operations reads is written here.

What has no words there (a raw socket's own protocol with a port, say) is told
in full. Knows nothing of what a policy decides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from guard.policy.model import KernelOperation, NetOperation, Operation, PathOperation
from guard.policy.networds import (
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    DGRAM,
    FAMILIES,
    INTERNET,
    NETLINK_PROTOCOLS,
    PORT_TYPES,
    PROTOCOLS,
    RAW,
    STREAM,
    TYPES,
)
from guard.wire.layout import NetVerb, PathVerb


def words(operation: Operation) -> str:
    """An operation as ``tests:`` and command lines have it, where they can have it."""
    if isinstance(operation, KernelOperation):
        return operation.op.name.lower()
    verb = operation.verb.name.lower()
    if isinstance(operation, PathOperation):
        path = operation.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return f"{verb} {'unix ' if operation.verb >= PathVerb.BIND else ''}{path}"
    if operation.name is not None:
        return f"{verb} unix {_abstract(operation)}"
    protocol = _protocol(operation)
    if operation.address is None:
        family = _word(FAMILIES, operation.family)
        return f"{verb} {family} {_word(TYPES, operation.type)} {protocol}".rstrip()
    return f"{verb} {_kind(operation, protocol)} {_end(operation, protocol)}"


def _abstract(operation: NetOperation) -> str:
    usual = DGRAM if operation.verb is NetVerb.SEND else STREAM
    kind = "" if operation.type == usual else f"{_word(TYPES, operation.type)} "
    name = (operation.name or b"").decode("utf-8", "backslashreplace")
    return f"{kind}@{name}"


def _protocol(operation: NetOperation) -> str:
    if operation.family in INTERNET:
        return _word(PROTOCOLS, operation.protocol)
    if operation.family == AF_NETLINK:
        return _word(NETLINK_PROTOCOLS, operation.protocol)
    return str(operation.protocol) if operation.protocol else ""


def _kind(operation: NetOperation, protocol: str) -> str:
    """The protocol alone, where that says what the socket is; else the socket in full."""
    usual = PORT_TYPES.get(protocol, (RAW,))[0]
    if protocol in PROTOCOLS and operation.type == usual and operation.family != AF_UNIX:
        return protocol
    return f"{_word(FAMILIES, operation.family)} {_word(TYPES, operation.type)} {protocol}"


def _end(operation: NetOperation, protocol: str) -> str:
    assert operation.address is not None
    address = str(ipaddress.ip_address(operation.address))
    if operation.family == AF_INET6:
        # IPv4 on an inet6 socket is told apart as its mapped form.
        address = f"[{'::ffff:' if len(operation.address) == 4 else ''}{address}]"
    ported = protocol in PORT_TYPES or operation.port
    return f"{address}:{operation.port or 0}" if ported else address


def _word(table: Mapping[str, int], number: int) -> str:
    return next((word for word, each in table.items() if each == number), str(number))
