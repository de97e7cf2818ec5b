# SPDX-License-Identifier: Apache-2.0
"""A short digest of everything that crosses the kernel border: structs and numbers.

Two guards whose digests are equal mean the same by the same bytes, whatever
the version number says that people have to remember to change.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

from guard.wire import layout

# Hexadecimal digits: chance does not make two layouts equal, and people can compare them.
_DIGITS = 12


def fingerprint() -> str:
    """Of guard.wire.layout, generated from lsm/wire.h."""
    enums = {
        name: [(one.name, int(one)) for one in value]
        for name, value in vars(layout).items()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    }
    text = repr((sorted(enums.items()), layout.STRUCTS))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
