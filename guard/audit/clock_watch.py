# SPDX-License-Identifier: Apache-2.0
"""Notices that somebody set the wall clock. Knows clocks, and whom to ask for the record.

Records carry both times. When wall time alone jumps, a reader that sorts or
filters by it would miss what happened: so the jump is a record.
"""

from __future__ import annotations

from guard.audit.clock import Clock
from guard.audit.lifecycle import Lifecycle

# Wall time that moved so far against boot time since the last record (or the
# start) was moved. Added up, so that many small steps are told as well. NTP
# slews by 0.5 ms a second at most and steps from 128 ms on (ntpd(8)); a second
# is more than either leaves in a clock that is kept.
STEP_NS = 1_000_000_000


class ClockWatch:
    """To be asked about once a second; it also reads the clock's offset anew."""

    def __init__(self, clock: Clock, lifecycle: Lifecycle) -> None:
        self._clock = clock
        self._lifecycle = lifecycle
        self._told = clock.wall_ns(0)

    def settle(self) -> list[bytes]:
        """A record, if wall time has moved; it has the new time."""
        self._clock.refresh()
        moved = self._clock.wall_ns(0) - self._told
        if abs(moved) < STEP_NS:
            return []
        self._told += moved
        # Towards zero: -1.5 s are -1500 ms.
        return [self._lifecycle.clock_stepped(int(moved / 1_000_000))]
