# SPDX-License-Identifier: Apache-2.0
"""What one sink's worker counts. Numbers only: metrics.py makes text of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Since the shipper started, unless said otherwise.

    read = delivered + refused + in_hand: the worker's side of the law.
    ``refused`` are in the dead-letter file; ``dropped`` of those had to make
    room there. ``expired`` and ``damaged`` are the spool's losses for this
    sink, since its cursor was made. ``backlog_*`` are what was not read yet.
    Times are seconds since the epoch, 0 for never.
    """

    up: bool = False
    read: int = 0
    delivered: int = 0
    refused: int = 0
    dropped: int = 0
    in_hand: int = 0
    bytes: int = 0
    sends: int = 0
    failures: int = 0
    expired: int = 0
    damaged: int = 0
    backlog_records: int = 0
    backlog_bytes: int = 0
    last_success: float = 0.0
    failing_since: float = 0.0
    because: str = ""
