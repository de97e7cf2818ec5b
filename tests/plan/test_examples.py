# SPDX-License-Identifier: Apache-2.0
"""A finding's example is an operation that the rule matches, and one that can be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.plan.examples import example, with_rules
from guard.policy.model import NetOperation, PathOperation
from guard.wire.layout import NetVerb, Section
from tests.plan.make import ALLOW, READ, policy, rule
from tests.plan.make_net import net_policies


@pytest.mark.parametrize(
    ("paths", "excepts", "shown"),
    [
        ("/etc/shadow", (), "/etc/shadow"),
        ("/srv/**", (), "/srv/a"),
        ("/srv/*", (), "/srv/a"),
        ("/srv/x*", (), "/srv/x"),
        ("/srv/.*", (), "/srv/.a"),
        ("/srv/*.pem", (), "/srv/.pem"),
        ("/srv/.*.", (), "/srv/.a."),
        ("/**/*/b", (), "/a/b"),
        ("/run/x.[ps]id", (), "/run/x.pid"),
        ("/{long,a}/?", (), "/a/a"),
        (("/long/**", "/b"), (), "/b"),
        ("/srv/**", "/srv/a", "/srv/b"),
        ("/srv/**", "/srv/*", "/srv/a/a"),
        ("anonymous", (), "anonymous"),
        ("/srv/**", "/srv/**", None),
    ],
)
def test_an_example_is_a_short_path_that_the_rule_matches(
    paths: str | tuple[str, ...], excepts: str | tuple[str, ...], shown: str | None
) -> None:
    one = rule(ALLOW, [READ], paths, excepts)
    found = example(policy(one), Section.FILE, one)
    assert (found.path if isinstance(found, PathOperation) else None) == shown


@given(st.integers(0, 2**32))
def test_an_example_of_a_rule_on_sockets_is_matched_and_has_what_its_verb_has(seed: int) -> None:
    (one,) = net_policies(random.Random(seed), 1)  # noqa: S311
    assert one.net is not None
    for each in one.net.rules[:2]:
        found = example(one, Section.NET, each)
        if found is None:
            continue
        assert decide(with_rules(one, Section.NET, [each]), found).rules == (each,)
        if isinstance(found, NetOperation) and found.verb is NetVerb.CREATE:
            assert found.address is None
