# SPDX-License-Identifier: Apache-2.0
"""Which byte strings an automaton can ever be fed: canonical paths, and operations on sockets.

A product of automata steps one of these beside them, so that it visits only
what can be. Knows nothing of automata.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from guard.policy.networds import AF_INET, AF_INET6, AF_UNIX
from guard.policy.patterns import SLASH
from guard.wire.layout import NetVerb


class Language(NamedTuple):
    """Strings, as a small automaton over phases.

    ``following(phase, byte)`` is the phase after one more byte, None where no
    string goes on so; a string may end in one of ``ends``. ``special`` are bytes
    that phases tell apart; ``liked`` are all bytes there can be, those that a
    reader likes in an example first.
    """

    start: int
    ends: frozenset[int]
    following: Callable[[int, int], int | None]
    special: frozenset[int]
    liked: bytes


_NAME_BYTES = (
    b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
    + bytes(range(33, 127))
    + bytes(range(1, 256))
)

_ROOT, _AFTER_SLASH, _DOT, _DOTS, _NAME = range(5)
_PATH_ENDS = frozenset((_ROOT, _NAME))
_DOT_BYTE = ord(".")


def _path(phase: int, byte: int) -> int | None:
    if byte == SLASH:
        return _AFTER_SLASH if phase in _PATH_ENDS else None
    if phase == _ROOT:
        return None
    if byte == _DOT_BYTE and phase in (_AFTER_SLASH, _DOT):
        return _DOT if phase == _AFTER_SLASH else _DOTS
    return _NAME


PATHS = Language(_ROOT, _PATH_ENDS, _path, frozenset((SLASH, _DOT_BYTE)), _NAME_BYTES)
"""Canonical absolute paths: no empty component, no '.' and '..', no NUL."""


class End(NamedTuple):
    """What the strings that end in one phase are, and the verbs that such operations have."""

    phase: int
    verbs: frozenset[NetVerb]
    vague: bool


_HEX = b"0123456789abcdef"
_FAMILIES = 46
"""AF_MAX of the newest kernel that guard knows: include/linux/socket.h."""
_TYPES = 11
"""SOCK_MAX: include/linux/net.h."""
_PROTOCOL, _PORT = 4, 4
_MAPPED = 24
"""Digits of ::ffff:0:0/96: what begins so is held as IPv4, and never seen as IPv6."""

_Phase = tuple[object, ...]


def _net(phase: _Phase, byte: int) -> _Phase | None:
    """The phases by name: see guard.plan.netpatterns for the strings."""
    kind, *rest = phase
    if kind == "start":
        return ("family", -1) if byte == SLASH else None
    if kind == "name":
        return phase
    if kind == "head" and rest[1] == 0:
        return _after_head(str(rest[0]), byte)
    if byte not in _HEX:
        return None
    digit = _HEX.index(byte)
    if kind == "family":
        return _family(int(str(rest[0])), digit)
    if kind == "type":
        return ("head", rest[0], _PROTOCOL) if digit < _TYPES else None
    if kind == "head":
        return ("head", rest[0], int(str(rest[1])) - 1)
    if kind == "port":
        return ("port", rest[0], left - 1) if (left := int(str(rest[1]))) > 1 else ("of", rest[0])
    if kind == "of":
        if digit == 4 or (digit == 6 and rest[0] == AF_INET6):
            return (digit, 0, True)
        return None
    return _address(int(str(kind)), int(str(rest[0])), rest[1], digit)


def _family(high: int, digit: int) -> _Phase | None:
    if high < 0:
        return ("family", digit) if digit < 3 else None
    family = 16 * high + digit
    if family >= _FAMILIES:
        return None
    return ("type", family if family in (AF_UNIX, AF_INET, AF_INET6) else 0)


def _after_head(family: str, byte: int) -> _Phase | None:
    if family == str(AF_UNIX):
        return ("name",) if byte == ord("@") else None
    if family == "0" or byte not in _HEX:
        return None
    return ("port", int(family), _PORT - 1)


def _address(version: int, at: int, flag: object, digit: int) -> _Phase | None:
    """``flag``: True while all digits are 0; "f" in what could become ::ffff:0:0/96."""
    size = 8 if version == 4 else 32
    if at == size:
        return None
    mapped = version == 6 and _MAPPED - 4 <= at < _MAPPED and digit == 15
    if mapped and (flag == "f" or (flag is True and at == _MAPPED - 4)):
        return None if at == _MAPPED - 1 else (version, at + 1, "f")
    return (version, at + 1, flag is True and digit == 0)


@functools.cache
def net() -> tuple[Language, dict[int, End]]:
    """The strings of operations on sockets, and what each of its end phases means."""
    start: _Phase = ("start",)
    numbers: dict[_Phase, int] = {start: 0}
    table: list[dict[int, int]] = []
    order = [start]
    for phase in order:
        row: dict[int, int] = {}
        for byte in range(256):
            after = _net(phase, byte)
            if after is None:
                continue
            if after not in numbers:
                numbers[after] = len(order)
                order.append(after)
            row[byte] = numbers[after]
        table.append(row)
    ends = {
        number: End(number, *meaning)
        for phase, number in numbers.items()
        if (meaning := _end(phase)) is not None
    }

    def following(phase: int, byte: int) -> int | None:
        return table[phase].get(byte)

    special = frozenset(_HEX + b"/@")
    liked = _HEX + b"/@" + _NAME_BYTES + b"\0"
    return Language(0, frozenset(ends), following, special, liked), ends


_LOCAL = frozenset((NetVerb.BIND, NetVerb.LISTEN, NetVerb.ACCEPT))
_NAMED = frozenset((NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND))


def _end(phase: _Phase) -> tuple[frozenset[NetVerb], bool] | None:
    """The verbs of operations that end so; and whether an internet address is left out."""
    kind, *rest = phase
    if kind == "name":
        return _NAMED, False
    if kind == "head" and rest[1] == 0:
        return frozenset(NetVerb), rest[0] in (AF_INET, AF_INET6)
    if kind in (4, 6) and rest[0] == (8 if kind == 4 else 32):
        # Who connects or sends to the wildcard address is judged as for loopback's.
        return _LOCAL if rest[1] is True else frozenset(NetVerb) - {NetVerb.CREATE}, False
    return None
