# SPDX-License-Identifier: Apache-2.0
"""Net rules: the compiled tables decide, about every operation, what the evaluator decides.

Quick by default; GUARD_NET_CASES asks for more (make test-net-differential: 100 000).
"""

from __future__ import annotations

import os
import random

from guard.plan.agree import judge
from guard.plan.build import build_plan
from guard.plan.plan import net_verdict
from tests.plan.make_net import net_policies, operations_near

SEED = int(os.environ.get("GUARD_TEST_SEED", "20"))
CASES = int(os.environ.get("GUARD_NET_CASES", "4000"))
PER_PLAN = 250


def test_tables_decide_as_the_model_does() -> None:
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    compared = denied = by_rule = 0
    while compared < CASES:
        policies = net_policies(rng, rng.choice((1, 1, 2, 4)))
        plan = build_plan(policies)
        for bit, policy in enumerate(policies):
            for operation in operations_near(rng, [policy], PER_PLAN):
                decision = judge(plan, bit, operation)  # raises where the two differ
                compared += 1
                denied += not decision.allowed
                by_rule += not decision.default
    print(f"seed {SEED}: {compared} compared, {denied} denied, {by_rule} by a rule")
    assert compared * 0.15 < denied < compared * 0.85, "too one-sided to prove anything"
    assert by_rule > compared * 0.3, "rules hardly ever decided"


def test_a_difference_is_found() -> None:
    """The comparison can fail: another operation's tables are no match."""
    rng = random.Random(SEED)  # noqa: S311 - tests want the same again
    wrong = 0
    for policy in net_policies(rng, 20):
        plan = build_plan([policy])
        for operation in operations_near(rng, [policy], 50):
            other = net_verdict(plan, 1, operation.verb, b"/011")
            wrong += bool(other.denied) != (not judge(plan, 0, operation).allowed)
    assert wrong
