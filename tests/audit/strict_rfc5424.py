# SPDX-License-Identifier: Apache-2.0
"""A strict parser of RFC 5424, written from its ABNF (section 6) and from nothing of guard's."""

from __future__ import annotations

import re
from typing import NamedTuple

# SD-NAME: 1 to 32 PRINTUSASCII except '=', SP, ']' and '"'.
_SD_NAME = r"[!#-<>-\\^-~]{1,32}"
_HEADER = re.compile(
    rb"<(0|[1-9][0-9]{0,2})>([1-9][0-9]{0,2}) "
    rb"(-|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_BOM = b"\xef\xbb\xbf"


class NotRfc5424(Exception):
    """The message breaks a rule of the ABNF."""


class Message(NamedTuple):
    """A message's parts. ``data``: per SD-ID, the parameters in order."""

    priority: int
    time: str
    host: str
    app: str
    process: str
    msgid: str
    data: dict[str, list[tuple[str, str]]]
    text: bytes


def parse(raw: bytes) -> Message:
    """The parts of one message."""
    found = _HEADER.match(raw)
    if found is None or int(found[1]) > 191 or found[2] != b"1":
        raise NotRfc5424("the header")
    data, rest = _structured(raw[found.end() :].decode())
    if rest and not rest.startswith(" "):
        raise NotRfc5424("no space before MSG")
    text = rest[1:].encode()
    # What is not MSG-UTF8 may hold anything; ours is to be plain.
    if not text.startswith(_BOM) and re.search(rb"[^ -~]", text):
        raise NotRfc5424("MSG")
    words = [group.decode("ascii") for group in found.groups()[2:]]
    return Message(int(found[1]), *words, data, text)


def _structured(text: str) -> tuple[dict[str, list[tuple[str, str]]], str]:
    if text.startswith("-"):
        return {}, text[1:]
    elements: dict[str, list[tuple[str, str]]] = {}
    while text.startswith("["):
        name = re.match(_SD_NAME, text[1:])
        if name is None or name[0] in elements:
            raise NotRfc5424("SD-ID")
        if not re.fullmatch(r"origin|meta|timeQuality|[^@]+@[0-9]+", name[0]):
            raise NotRfc5424("an SD-ID that nobody has registered")
        elements[name[0]], text = _params(text[1 + name.end() :])
    if not elements:
        raise NotRfc5424("STRUCTURED-DATA")
    return elements, text


def _params(text: str) -> tuple[list[tuple[str, str]], str]:
    params = []
    while text.startswith(" "):
        name = re.match(rf' ({_SD_NAME})="', text)
        if name is None:
            raise NotRfc5424("PARAM-NAME")
        at, value = name.end(), ""
        while True:
            if at >= len(text):
                raise NotRfc5424("a value without its end")
            char = text[at]
            if char == '"':
                break
            if char == "]":
                raise NotRfc5424("an unescaped ']'")
            if char == "\\" and text[at + 1 : at + 2] in ('"', "\\", "]"):
                at += 1
                char = text[at]
            elif char == "\\":
                raise NotRfc5424("a backslash that escapes nothing")
            value += char
            at += 1
        params.append((name[1], value))
        text = text[at + 1 :]
    if not text.startswith("]"):
        raise NotRfc5424("an element without its end")
    return params, text[1:]
