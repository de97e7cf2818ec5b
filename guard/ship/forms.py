# SPDX-License-Identifier: Apache-2.0
"""The forms that values have in the shipper's configuration: their reading and their schema.

Knows forms, not which setting has which, and no host: whether a file is there
is found out later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from guard.policy.codes import Code
from guard.policy.diagnostic import quoted
from guard.policy.nodes import Node, Scalar
from guard.policy.values import Values, described

# Characters of any text in the configuration.
TEXT_LIMIT = 1024

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION = r"([0-9]{1,6})(ms|s|m|h|d)"
_SIZE = r"([0-9]{1,12})(KiB|MiB|GiB)?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]"
_ADDRESS = rf"({_HOST}):([0-9]{{1,5}})"
_WORD = r"[A-Za-z0-9_@][A-Za-z0-9_.:@/-]*"

Read = Callable[[Values, Node, str], Any]


class Form(NamedTuple):
    """``read`` gives the value, or None after a finding; ``schema`` is the JSON Schema of it."""

    read: Read
    schema: dict[str, Any]


class Address(NamedTuple):
    """A host (IPv6 without brackets) and a port."""

    host: str
    port: int


def _matched(
    form: str, words: str, convert: Callable[[re.Match[str]], Any], *, quote_numbers: bool = True
) -> Form:
    """Text of one form. ``words``: what it looks like, for the message."""

    def read(values: Values, node: Node, what: str) -> Any:
        scalar = values.text(node, what, TEXT_LIMIT) if quote_numbers else values.scalar(node, what)
        if scalar is None:
            return None
        found = re.fullmatch(form, scalar.text)
        value = None if found is None else convert(found)
        if value is None:
            _bad(values, scalar, f"{what} cannot be {quoted(scalar.text)}", words)
        return value

    return Form(read, {"type": "string", "pattern": f"^({form})$", "maxLength": TEXT_LIMIT})


def _bad(values: Values, scalar: Scalar, message: str, help: str) -> None:
    values.findings.add(Code.BAD_VALUE, message, scalar.span, help=help)


def _duration(found: re.Match[str]) -> float:
    return int(found[1]) * _UNITS[found[2]]


def _size(found: re.Match[str]) -> int:
    return int(found[1]) * _SIZES[found[2] or ""]


def _address(found: re.Match[str]) -> Address | None:
    port = int(found[found.re.groups])
    return Address(found[1].strip("[]"), port) if 0 < port < 65536 else None


DURATION = _matched(
    _DURATION, "a number and a unit, such as 500ms, 30s, 5m or 1d", _duration, quote_numbers=False
)
_SIZE_TEXT = _matched(_SIZE, "bytes, such as 65536, 512KiB or 100MiB", _size, quote_numbers=False)
SIZE = Form(
    _SIZE_TEXT.read,
    {"anyOf": [_SIZE_TEXT.schema, {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}]},
)
ADDRESS = _matched(_ADDRESS, "host:port, such as siem.example:6514 or [2001:db8::1]:6514", _address)
WORD = _matched(
    _WORD, "letters, digits and _ . : @ / -, not beginning with a sign", lambda found: found[0]
)
SINK_NAME = _matched(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "letters, digits, '_', '.' and '-', the first a letter or digit, 64 at most",
    lambda found: found[0],
)
PATH = _matched(r"/[^\x00]+", "an absolute path", lambda found: found[0])
TEXT = _matched(r"[^\x00-\x1f\x7f]+", "text on one line", lambda found: found[0])


def number(least: int, most: int) -> Form:
    """A whole number between two."""

    def read(values: Values, node: Node, what: str) -> int | None:
        scalar = values.scalar(node, what)
        if scalar is None:
            return None
        if scalar.plain and re.fullmatch(r"0|[1-9][0-9]{0,11}", scalar.text):
            value = int(scalar.text)
            if least <= value <= most:
                return value
        _bad(
            values,
            scalar,
            f"{what} cannot be {quoted(scalar.text)}",
            f"a whole number from {least} to {most}" if least < most else f"write {least}",
        )
        return None

    return Form(read, {"type": "integer", "minimum": least, "maximum": most})


def choice(*words: str) -> Form:
    """One of a few words."""

    def read(values: Values, node: Node, what: str) -> str | None:
        return values.word(node, what, {word: word for word in words})

    return Form(read, {"enum": list(words)})


def _flag(values: Values, node: Node, what: str) -> bool | None:
    return values.flag(node, what)


FLAG = Form(_flag, {"type": "boolean"})


def url(*schemes: str) -> Form:
    """A URL of one of the schemes, without user, password, query or fragment."""
    example = f"{schemes[-1]}://host.example:port/path"

    def convert(found: re.Match[str]) -> SplitResult | None:
        try:
            parts = urlsplit(found[0])
            port = parts.port  # raises for a number that is no port
        except ValueError:
            return None
        fit = parts.hostname and port != 0 and not (parts.query or parts.fragment)
        return parts if fit and parts.username is None and parts.password is None else None

    form = rf"({'|'.join(schemes)})://[^\s\x00-\x20@?#]+"
    plain = _matched(form, f"for example {example}", convert)

    def read(values: Values, node: Node, what: str) -> SplitResult | None:
        if isinstance(node, Scalar) and holds_secret(node):
            values.findings.add(
                Code.BAD_VALUE,
                f"{what} cannot hold a user and password, which others could read here",
                node.span,
                help="name the user by 'user' and where the password is by 'password'",
            )
            return None
        found: SplitResult | None = plain.read(values, node, what)
        return found

    return Form(read, plain.schema)


def holds_secret(scalar: Scalar) -> bool:
    """Whether this looks like a URL with a password in it."""
    return re.search(r"://[^/]*@", scalar.text) is not None


def many(form: Form) -> Form:
    """One value or a list of them."""

    def read(values: Values, node: Node, what: str) -> list[Any] | None:
        scalars = values.one_or_more(node, what)
        found = [form.read(values, scalar, f"an entry of {what}") for scalar in scalars]
        return None if None in found or not found else found

    items = {"type": "array", "minItems": 1, "items": form.schema}
    return Form(read, {"anyOf": [form.schema, items]})


def unreadable(values: Values, node: Node, wanted: str) -> None:
    """Record that a value is of another kind than wanted."""
    values.findings.add(Code.WRONG_KIND, wanted, node.span, f"this is {described(node)}")
