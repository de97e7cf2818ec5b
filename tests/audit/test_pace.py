# SPDX-License-Identifier: Apache-2.0
"""A collector rests long when little comes, and never longer than its ring has room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.audit.pace import LONGEST, ROOM, rest


def test_a_quiet_host_lets_it_rest_longest() -> None:
    assert rest(0, 1.0) == LONGEST
    assert rest(10, 1.0) == LONGEST


@given(st.integers(1, 10_000_000), st.floats(1e-6, 60))
def test_what_comes_meanwhile_at_the_same_rate_fits(moved: int, since: float) -> None:
    seconds = rest(moved, since)
    assert 0 < seconds <= LONGEST
    assert moved / since * seconds <= ROOM * 1.001
