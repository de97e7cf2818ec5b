# SPDX-License-Identifier: Apache-2.0
"""A strict parser of CEF, written from the standard's text and from nothing of guard's.

Refuses what a tolerant receiver might guess at: unknown escapes, unescaped
separators, control characters, a key that comes twice.
"""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9]+")


class NotCef(Exception):
    """The text breaks a rule of the format."""


def parse(raw: bytes) -> tuple[list[str], dict[str, str]]:
    """The seven header fields after ``CEF:``, and the extension."""
    text = raw.decode()  # strict UTF-8
    if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise NotCef("a control character")
    if not text.startswith("CEF:"):
        raise NotCef("no CEF")
    fields, at = _header(text, 4)
    if fields[0] != "0" or not 0 <= int(fields[6]) <= 10:
        raise NotCef("version or severity")
    return fields, _extension(text[at:])


def _header(text: str, at: int) -> tuple[list[str], int]:
    fields, field = [], ""
    while len(fields) < 7:
        if at >= len(text):
            raise NotCef("the header ends early")
        char = text[at]
        if char == "\\":
            if text[at + 1 : at + 2] not in ("\\", "|"):
                raise NotCef("an escape that a header does not have")
            field += text[at + 1]
            at += 2
            continue
        if char == "|":
            fields.append(field)
            field = ""
        else:
            field += char
        at += 1
    return fields, at


def _extension(text: str) -> dict[str, str]:
    """Pairs: a value reaches to the last space before the next unescaped ``=``."""
    signs, at = [], 0
    plain = ""  # the text with escaped pairs blanked, of the same length
    while at < len(text):
        if text[at] == "\\":
            if text[at + 1 : at + 2] not in ("\\", "=", "n", "r"):
                raise NotCef("an escape that a value does not have")
            plain += "xx"
            at += 2
            continue
        if text[at] == "=":
            signs.append(at)
        plain += text[at]
        at += 1
    found: dict[str, str] = {}
    begin = 0
    for number, sign in enumerate(signs):
        key = text[begin:sign]
        if not _KEY.fullmatch(key) or key in found:
            raise NotCef(f"key {key!r}")
        if number + 1 < len(signs):
            end = plain.rfind(" ", sign, signs[number + 1])
            if end < 0:
                raise NotCef("no space before a key")
        else:
            end = len(text)
        value = text[sign + 1 : end]
        found[key] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), value)
        begin = end + 1
    if text and not signs:
        raise NotCef("text without a key")
    return found
