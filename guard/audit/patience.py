# SPDX-License-Identifier: Apache-2.0
"""Waiting for a thread's answer, but only so long: once, and in a second altogether."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Patience:
    """``once`` and ``a_second`` are the longest waits, in seconds."""

    def __init__(
        self, once: float, a_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._once, self._a_second = once, a_second
        self._clock = clock
        self._begun, self._waited = float("-inf"), 0.0

    def wait(self, done: threading.Event) -> bool:
        """Whether it is done within the patience that is left."""
        now = self._clock()
        if now - self._begun >= 1.0:
            self._begun, self._waited = now, 0.0
        finished = done.wait(max(0.0, min(self._once, self._a_second - self._waited)))
        self._waited += self._clock() - now
        return finished
