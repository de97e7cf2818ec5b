# SPDX-License-Identifier: Apache-2.0
"""The causes by which a record that should exist is not delivered. Words only."""

from __future__ import annotations

from enum import StrEnum


class LossCause(StrEnum):
    """Why a record that should exist was not delivered."""

    RING_FULL = "ring-full"  # the kernel had no room; the counters say so
    UNEXPLAINED = "unexplained"  # a hole in the sequence that no counter explains
    UNDECODABLE = "undecodable"  # a record in the ring that was not an event
    PASSED_BY = "passed-by"  # a call that no program judged: see guard.kernel.attachment
    RATE_LIMITED = "rate-limited"  # the kernel held events back by a rate's limit
    SINK = "sink"  # a sink refused it; others may have it
    SPOOL = "spool"  # the spool could not take it
    EXPIRED = "expired"  # the spool let go of it before every sink had it
    CORRUPT = "corrupt"  # what the spool held could not be read again
