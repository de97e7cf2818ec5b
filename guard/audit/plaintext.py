# SPDX-License-Identifier: Apache-2.0
"""Names in formats that are plain text: CEF and RFC 5424.

JSON can say every character; these cannot, or their relays change them. So a
control character (or a line separator) becomes U+FFFD, like a byte that is
not UTF-8, and then too the name gets a twin with all its bytes.
"""

from __future__ import annotations

import re
from typing import Any

from guard.audit.text import sound

# C0, DEL, C1, and what Unicode calls line and paragraph separators and the
# marks that turn the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def printable(text: str) -> str:
    """The text with U+FFFD for everything that is no character to be seen."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", sound(text))


def exact_bytes(group: dict[str, Any], name: str) -> str | None:
    """The hexadecimal of a name that ``printable`` does not show exactly, else None."""
    given = group.get(name + "_hex")
    if isinstance(given, str):
        return given
    text = group.get(name)
    if isinstance(text, str) and printable(text) != text:
        return sound(text).encode().hex()
    return None
