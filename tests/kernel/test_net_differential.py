# SPDX-License-Identifier: Apache-2.0
"""The kernel decides about sockets what the tables and the model say: real calls on loopback."""

from __future__ import annotations

import errno
import itertools
import os
import random
import socket
from collections.abc import Sequence

import pytest

from guard.analysis.evaluate import decide
from guard.plan.agree import judge
from guard.plan.build import build_plan
from guard.policy.model import NetOperation
from guard.wire.layout import NetVerb
from tests.kernel.harness import Enforcer
from tests.kernel.sockets import (
    INET,
    INET6,
    bind,
    connect,
    inet,
    inet6,
    loopback_up,
    make,
    send,
)
from tests.plan.make_net import loopback_operations, net_policies

pytestmark = pytest.mark.kernel

SEED = int(os.environ.get("GUARD_TEST_SEED", "20"))
SETS, EACH = 12, 100
FEWEST = 1000
"""Operations that must have been compared, or this file tests less than it claims."""

_CALLS = {NetVerb.BIND: bind, NetVerb.CONNECT: connect, NetVerb.SEND: send}
Made = dict[tuple[int, int], list[socket.socket]]


def attempted(operations: Sequence[NetOperation], made: Made) -> list[int]:
    """Each operation's errno, 0 where it got past the gate.

    ``made``: sockets from before the label, because create is a verb of its own.
    """
    found = []
    for one in operations:
        try:
            _attempt(one, made)
            found.append(0)
        except OSError as error:
            found.append(errno.EACCES if error.errno == errno.EACCES else 0)
    return found


def _attempt(one: NetOperation, made: Made) -> None:
    if one.verb is NetVerb.CREATE:
        make(one.family, one.type, one.protocol).close()
        return
    assert one.address is not None and one.port is not None
    if one.family == INET:
        address = inet(socket.inet_ntop(INET, one.address), one.port)
    elif len(one.address) == 4:
        address = inet6("::ffff:" + socket.inet_ntop(INET, one.address), one.port)
    else:
        address = inet6(socket.inet_ntop(INET6, one.address), one.port)
    with made[one.family, one.type].pop() as sock:
        sock.setblocking(False)
        _CALLS[one.verb](sock, address)


def test_the_kernel_decides_as_the_model_does(enforcer: Enforcer) -> None:
    loopback_up()
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    compared = denied = 0
    for _ in range(SETS):
        policies = net_policies(rng, 1)
        plan = build_plan(policies)
        operations = loopback_operations(rng, policies, EACH)
        enforcer.session.policies = tuple(policies)
        enforcer.session.refresh()
        made: Made = {}
        for one in operations:
            made.setdefault((one.family, one.type), []).append(make(one.family, one.type))
        attempt = enforcer.attempt(attempted, operations, made)
        for sock in itertools.chain(*made.values()):
            sock.close()
        wanted = [judge(plan, 0, one) for one in operations]
        assert attempt.errno == 0
        for one, want, got in zip(operations, wanted, attempt.value, strict=True):
            assert want.allowed == decide(policies[0], one).allowed
            assert got == (0 if want.allowed else errno.EACCES), (one, policies[0])
        # Two rings, each in order: what was refused, and all else.
        for verdict, recorded in (
            ("denied", [want for want in wanted if not want.allowed]),
            ("allowed", [want for want in wanted if want.allowed and want.audit]),
        ):
            records = [one for one in attempt.records if one["verdict"] == verdict]
            assert len(records) == len(recorded)
            for want, record in zip(recorded, records, strict=True):
                if not want.default:
                    assert record["rule"]["id"] in [rule.id for rule in want.rules]
        compared += len(operations)
        denied += sum(not want.allowed for want in wanted)
    print(f"seed {SEED}: {compared} operations compared, {denied} denied")
    assert compared >= FEWEST
    assert compared * 0.15 < denied < compared * 0.9, "too one-sided to prove anything"
