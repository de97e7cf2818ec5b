# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator and the loaded program agree on random sections and frames.

A few thousand frames here; `make test-ingress-differential` compares a million.
"""

from __future__ import annotations

from tests.ingress import agree
from tests.ingress.native import Filter

FRAMES = 6000


def test_the_evaluator_and_the_kernel_agree_on_random_packets() -> None:
    filter_ = Filter(agree.BITS)
    try:
        told, seen = agree.run(FRAMES, 20261123, filter_)
    finally:
        filter_.close()
    assert told == []
    # What was not met was not compared.
    met = {what.split("/")[1] for what in seen}
    assert met >= {
        "RULE",
        "DEFAULT",
        "TRUNCATED",
        "MALFORMED",
        "TAGS",
        "EXTENSIONS",
        "TINY_FRAGMENT",
        "FRAGMENT",
        "TUNNEL",
        "NOT_IP",
        "ETHERTYPE",
        "EMPTY",
    }
    assert {"DROP/RULE", "ALLOW/RULE", "REJECT/RULE", "REDIRECT/RULE"} <= set(seen)
