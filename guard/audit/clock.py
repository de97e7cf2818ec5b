# SPDX-License-Identifier: Apache-2.0
"""Wall time for moments that the kernel gives in nanoseconds since boot.

Knows clocks only. The kernel stamps events with CLOCK_BOOTTIME, which never
steps; wall time is that plus an offset, which steps when somebody sets the
clock, so records carry both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_SECOND = 1_000_000_000


def read_clocks() -> tuple[int, int]:
    """CLOCK_REALTIME and CLOCK_BOOTTIME of one moment, nanoseconds."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    real = time.clock_gettime_ns(time.CLOCK_REALTIME)
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return real, (before + after) // 2


class Clock:
    """Boot time to wall time. ``read`` gives both clocks at one moment, in nanoseconds."""

    def __init__(self, read: Callable[[], tuple[int, int]] = read_clocks) -> None:
        self._read = read
        real, boot = read()
        self._offset = real - boot
        # The second of the time last asked for, since the epoch; most stay within it.
        self._second_ns = 0
        self._prefix = _to_the_second(0)

    def refresh(self) -> int:
        """Reads the offset again; returns by how many nanoseconds wall time moved against boot."""
        real, boot = self._read()
        step = real - boot - self._offset
        self._offset += step
        return step

    def boot_ns(self) -> int:
        """Now, in nanoseconds since boot."""
        return self._read()[1]

    def wall_ns(self, boot_ns: int) -> int:
        """Wall time of a moment since boot, nanoseconds since 1970, by the offset last read."""
        return boot_ns + self._offset

    def wall(self, boot_ns: int) -> str:
        """RFC 3339 in UTC with microseconds: ``2026-03-16T09:05:07.000042Z``.

        By the offset last read: an event from before a clock step that was
        noticed since gets the time that the clock would say now.
        """
        rest = boot_ns + self._offset - self._second_ns
        if not 0 <= rest < _SECOND:
            second, rest = divmod(rest + self._second_ns, _SECOND)
            self._second_ns = second * _SECOND
            self._prefix = _to_the_second(second)
        # 1_000_000 more gives the leading zeros, at half the cost of a format.
        return f"{self._prefix}{str(rest // 1000 + 1_000_000)[1:]}Z"

    def second(self, boot_ns: int) -> tuple[int, str]:
        """The second of wall time that a moment is in: when it began, and its text.

        The moment's text is that text, six digits of microseconds since then, and ``Z``.
        """
        second = (boot_ns + self._offset) // _SECOND
        return second * _SECOND - self._offset, _to_the_second(second)


def _to_the_second(second: int) -> str:
    # Up to 2^64 ns of uptime is the year 2554: gmtime and four digits hold it.
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
