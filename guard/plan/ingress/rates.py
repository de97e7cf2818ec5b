# SPDX-License-Identifier: Apache-2.0
"""A limit as the filter counts it: times of 2^-16 jiffies."""

from __future__ import annotations

from guard.plan.ingress.errors import IngressError
from guard.policy.ingress import Limit, Per, Unit

_SHIFT = 16

# A source's bucket keeps 48 bits of time, half of which is the future.
_FARTHEST = 1 << 46


def rate(limit: Limit, ticks: int) -> dict[str, int]:
    """Members of struct ingress_rate. ``ticks`` are jiffies a second.

    Time goes in jiffies, so what arrives within one is a burst: the tolerance is
    never below it, or a rate above one a jiffy could not be reached.
    """
    multiplier = (ticks << 2 * _SHIFT) // limit.rate
    tolerance = max(limit.burst * (ticks << _SHIFT) // limit.rate, 1 << _SHIFT)
    if tolerance > _FARTHEST:
        raise IngressError(
            f"a burst of {limit.burst} at {limit.rate} a second would take "
            f"{limit.burst // limit.rate} seconds to refill, too long to be kept",
            remedy="ask for a smaller burst or a higher rate",
        )
    return {
        "multiplier": multiplier,
        "tolerance": tolerance,
        "by_source": int(limit.per is Per.SOURCE),
        "bytes": int(limit.unit is Unit.BYTES),
    }
