# SPDX-License-Identifier: Apache-2.0
"""Thirty thousand changes of a set while packets pass and are dropped: no leak, no false drop."""

from __future__ import annotations

import pytest

from guard.daemon import ingress_sets
from guard.daemon.ingress import Filter
from guard.kernel.timed import Timed
from guard.policy.ingress import Prefix
from guard.policy.prefixes import read
from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import PEER_IF
from tests.ingress_front.policies import state
from tests.ingress_front.streams import counted, listener, stream

pytestmark = pytest.mark.netns

BANNED = "10.77.0.66"
CHANGES = 30_000


def test_sets_change_all_the_time_and_every_packet_is_judged_right(host: Running) -> None:
    host.put(
        state(
            '{id: block, deny: all, from: "@bad"}',
            "{id: pass, allow: udp, port: 9000-9001}",
            more="sets: {bad: []}",
        )
    )
    host.lab.peer.run("ip", "addr", "replace", f"{BANNED}/24", "dev", PEER_IF)
    assert host.guard("set", "add", "bad", BANNED).returncode == 0
    passing, dropping = listener(host, 9000), listener(host, 9001)
    before = host.counts()

    def churn(found: Filter) -> int:
        timed = Timed(found.kernel)
        end = found.kernel.now() + 1_000_000
        changed = 0
        # Additions and removals around the one that must stay, many to a bucket in the end.
        for first in range(0, CHANGES // 2, 1000):
            some = [Prefix(4, 0x0B000000 + n, 32) for n in range(first, first + 1000)]
            changed += timed.put(0, some, end).added
            changed += len(timed.take(0, some))
        timed.close()
        return changed

    with stream(host, BANNED):
        assert host.with_filter(churn) == CHANGES
    counts = {name: count - before.get(name, 0) for name, count in host.counts().items()}
    assert counted(dropping) == 0
    assert counted(passing) == counts["pass"] > 100
    assert counts["block"] > 100
    banned = read(BANNED)
    entries = host.with_filter(lambda found: ingress_sets.entries(found, "bad")[1])
    assert entries == [(banned, None)]
    host.lab.peer.run("ip", "addr", "del", f"{BANNED}/24", "dev", PEER_IF)
