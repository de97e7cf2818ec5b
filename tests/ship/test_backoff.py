# SPDX-License-Identifier: Apache-2.0
"""Waits between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.ship.backoff import Backoff


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 1.0)
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.succeeded()
    assert backoff.failed() == 1


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 2000))
def test_half_of_each_wait_is_random_and_it_ends(chance: float, failures: int) -> None:
    backoff = Backoff(1.0, 60.0, lambda: chance)
    waits = [backoff.failed() for _ in range(failures)]
    assert waits[0] == 0.5 + 0.5 * chance
    assert all(0.5 <= wait <= 60 for wait in waits)
