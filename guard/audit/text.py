# SPDX-License-Identifier: Apache-2.0
"""Strings that others chose, as JSON: always valid, always one line, nothing lost.

Knows JSON's strings and UTF-8; nothing of records.

Names in file systems and processes are bytes that an attacker may pick. The
rule of every record: the readable member has U+FFFD for what is not UTF-8,
and if it had to, a second member with ``_hex`` behind its name holds all the
bytes in hexadecimal. No ``_hex`` means that the readable member is exact.
Output is ASCII: other characters are escaped, so that line separators
(U+2028, U+0085), terminal controls and bidirectional overrides in a name
reach nobody's terminal or line splitter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def quoted(text: str) -> str:
    """A JSON string, quotes included. Lone surrogates become U+FFFD.

    Strict parsers refuse a lone surrogate, escaped or not, and Python makes
    them of undecodable names (surrogateescape).
    """
    return encode_basestring_ascii(sound(text))


def sound(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates as U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def readable(raw: bytes) -> str:
    """The bytes as UTF-8, U+FFFD where they are not."""
    return raw.decode("utf-8", "replace")


def member(name: str, raw: bytes) -> str:
    """``"name":"readable"``, followed by ``,"name_hex":"…"`` if readable is not exact.

    ``name`` is the caller's own word and is not escaped.
    """
    try:
        return f'"{name}":{encode_basestring_ascii(raw.decode())}'
    except UnicodeDecodeError:
        return f'"{name}":{encode_basestring_ascii(readable(raw))},"{name}_hex":"{raw.hex()}"'


def named(name: str, raw: bytes | None) -> dict[str, object]:
    """The members that ``member`` writes, as values; None stays None."""
    if raw is None:
        return {name: None}
    text = readable(raw)
    if text.encode() == raw:
        return {name: text}
    return {name: text, name + "_hex": raw.hex()}


def original(group: Mapping[str, Any], name: str) -> bytes | None:
    """The bytes that ``member`` or ``named`` put into ``group``; None if it has none.

    Raises ValueError if the ``_hex`` member is not hexadecimal.
    """
    exact = group.get(name + "_hex")
    if exact is not None:
        return bytes.fromhex(exact)
    text = group.get(name)
    return None if text is None else str(text).encode()


def plain(value: object) -> Json:
    """Any value as what JSON can say; never raises for the values that logs meet.

    Bytes become readable text (lossy: records use ``member``), other types
    their ``str``; NaN and infinities their names, as JSON has no numbers for them.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, bytes):
        return readable(value)
    if isinstance(value, dict):
        return {sound(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return sound(str(value))


_SEPARATORS = (",", ":")
_encode = json.JSONEncoder(separators=_SEPARATORS, allow_nan=False).encode
# How every surrogate begins in ASCII JSON, lone ones and those of pairs.
_SURROGATE = "\\ud"


def line(members: dict[str, object]) -> bytes:
    """One JSON object on one line of ASCII, without the newline."""
    try:
        text = _encode(members)
    except (TypeError, ValueError):
        text = _SURROGATE
    # Making values plain costs more than the rest, and they nearly always are.
    if _SURROGATE in text:
        text = _encode(plain(members))
    return text.encode("ascii")
