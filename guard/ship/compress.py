# SPDX-License-Identifier: Apache-2.0
"""Zstandard, where its library is installed. gzip comes with Python."""

from __future__ import annotations

from guard.ship.extras import require_extra


def zstd_compress(data: bytes) -> bytes:
    """One frame. Level 3 is the library's default. Raises MissingExtra."""
    compressed: bytes = require_extra("zstandard", "zstd").compress(data, 3)
    return compressed
