# SPDX-License-Identifier: Apache-2.0
"""Where the chains stand, remembered for the time when no segment says it any more.

Knows the form of one small file; nothing of segments.

It is overwritten in place and always of the same length, because that is what a
full disk does not refuse; a checksum tells a half-written one.
"""

from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

from guard.audit.chain import Head
from guard.audit.spool_files import HEADS

_BYTES = 512


def encode_heads(heads: dict[str, Head]) -> bytes:
    """The file that remembers the heads of these series."""
    told = json.dumps({name: list(head) for name, head in heads.items()}).encode()
    return (b"%08x %b" % (crc32(told), told)).ljust(_BYTES - 1) + b"\n"


def read_heads(directory: Path) -> dict[str, Head]:
    """What a spool's file remembers: nothing if it cannot be read. Never raises."""
    try:
        crc, told = (directory / HEADS).read_bytes().rstrip().split(b" ", 1)
        if int(crc, 16) != crc32(told):
            return {}
        return {name: Head(*values) for name, values in json.loads(told).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
