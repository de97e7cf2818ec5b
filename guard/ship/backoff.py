# SPDX-License-Identifier: Apache-2.0
"""How long to wait after failures: twice as long each time, never all hosts at once.

Pure but for the random number, which the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable

# A receiver may ask for a pause; one that asks for more than this is asking us to stop.
LONGEST_ASKED = 3600.0


class Backoff:
    """Waits between tries. ``first`` and ``most`` are seconds; ``random`` gives [0, 1).

    Half of each wait is random: a thousand hosts that lost one receiver at
    once do not return at once.
    """

    def __init__(self, first: float, most: float, random: Callable[[], float]) -> None:
        self._first = first
        self._most = most
        self._random = random
        self.failures = 0

    def failed(self, asked: float | None = None) -> float:
        """Seconds to wait after one more failure; not less than the receiver ``asked`` for."""
        # Beyond this exponent the limit holds anyway, and the power would not end.
        whole = min(self._most, self._first * 2.0 ** min(self.failures, 60))
        self.failures += 1
        wait = whole / 2 + whole / 2 * self._random()
        if asked is not None:
            wait = max(wait, min(asked, LONGEST_ASKED))
        return wait

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self.failures = 0
