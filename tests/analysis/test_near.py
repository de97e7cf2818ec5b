# SPDX-License-Identifier: Apache-2.0
"""The sieve before the evaluator leaves out no rule that matches, and few others are left in."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.analysis.near import Near
from guard.policy.model import PathOperation
from guard.wire.layout import PathVerb
from tests.plan.make import ALLOW, READ, policy, rule
from tests.plan.make_net import net_policies, operations_near

_TEXTS = st.sampled_from(
    (
        *("/a", "/a/**", "/ab", "/a/b", "/a/*", "/{a,ab}/b", "/{a,}b", "/**", "/**/b", "/[ab]"),
        *("/?b", "/a*", r"/\[a", "/a{,/**}", "anonymous", "/é", "/é/**"),
    )
)
_PATHS = st.sampled_from(
    ("/", "/a", "/b", "/ab", "/a/b", "/ab/b", "/b/a/b", "/[a", "/é", "/é/b", "anonymous", "")
)


@given(st.lists(st.tuples(_TEXTS, _TEXTS)), _PATHS)
def test_no_rule_on_paths_that_matches_is_left_out(texts: list[tuple[str, str]], path: str) -> None:
    rules = [rule(ALLOW, [READ], pair, line=at + 1) for at, pair in enumerate(texts)]
    operation = PathOperation(PathVerb.READ, path)
    matching = decide(policy(*rules), operation).rules
    assert tuple(one for one in Near(rules).rules(operation) if one in matching) == matching


@given(st.integers(0, 2**32))
def test_no_rule_on_sockets_that_matches_is_left_out(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    (one,) = net_policies(rng, 1)
    assert one.net is not None
    near = Near(one.net.rules)
    for operation in operations_near(rng, [one], 20):
        matching = decide(one, operation).rules
        assert tuple(each for each in near.rules(operation) if each in matching) == matching


def test_rules_that_begin_otherwise_are_left_out() -> None:
    rules = [rule(ALLOW, [READ], f"/srv/{name}/**", line=at) for at, name in enumerate("abc")]
    assert Near(rules).rules(PathOperation(PathVerb.READ, "/srv/b/x")) == [rules[1]]
