# SPDX-License-Identifier: Apache-2.0
"""Boot time to wall time, against datetime as the second opinion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from guard.audit.clock import Clock, read_clocks
from tests.audit.samples import SECOND


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_wall_time_is_boot_time_plus_offset(offset: int, boot_ns: int) -> None:
    clock = Clock(lambda: (offset, 0))
    expected = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=(offset + boot_ns) // 1000)
    assert datetime.fromisoformat(clock.wall(boot_ns)) == expected


def test_any_boot_time_a_record_can_hold_has_a_wall_time() -> None:
    clock = Clock(lambda: (0, 0))
    assert clock.wall(2**64 - 1) == "2554-07-21T23:34:33.709551Z"


def test_a_step_of_the_clock_is_returned_and_followed() -> None:
    now = [100 * SECOND, 10 * SECOND]
    clock = Clock(lambda: (now[0], now[1]))
    assert clock.wall(10 * SECOND) == "1970-01-01T00:01:40.000000Z"
    now[0] += 3600 * SECOND
    assert clock.wall(10 * SECOND) == "1970-01-01T00:01:40.000000Z"
    assert clock.refresh() == 3600 * SECOND
    assert clock.wall(10 * SECOND) == "1970-01-01T01:01:40.000000Z"
    assert clock.refresh() == 0


def test_this_hosts_clocks_agree_with_datetime() -> None:
    before = datetime.now(UTC)
    clock = Clock(read_clocks)
    wall = datetime.fromisoformat(clock.wall(clock.boot_ns()))
    assert before - timedelta(seconds=1) < wall < datetime.now(UTC) + timedelta(seconds=1)
