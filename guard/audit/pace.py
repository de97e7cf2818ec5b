# SPDX-License-Identifier: Apache-2.0
"""How long a collector may rest after it has emptied the rings. Knows numbers only.

A wakeup costs the collector some 100 µs of cold caches and the process that is
watched 2 to 17 µs (measured), so records are better moved many at a time: while
the collector rests, the kernel wakes nobody.
"""

from __future__ import annotations

# Nobody waits for a record; and a ring of 16 MB holds 16 000 short ones.
LONGEST = 0.05

# Records that may come while the collector rests: a quarter of such a ring.
ROOM = 4_000


def rest(moved: int, since: float) -> float:
    """Seconds to rest when ``moved`` records came in the ``since`` seconds since the last time.

    So that at the same rate no more than ROOM come meanwhile.
    """
    if moved <= 0:
        return LONGEST
    return min(LONGEST, ROOM * since / moved)
