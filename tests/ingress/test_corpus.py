# SPDX-License-Identifier: Apache-2.0
"""Every crafted packet meets what the manual's table says, in the kernel and by the evaluator."""

from __future__ import annotations

import pytest

from guard.analysis.ingress import Verdict, World, decide
from guard.analysis.ingress_packet import read
from guard.plan.ingress.build import Host, build
from guard.policy.ingress import (
    Action,
    Default,
    FlowMatch,
    IngressRule,
    IngressSection,
    Prefix,
    Range,
)
from guard.policy.source import Span
from guard.wire.ingress import Reason
from tests.ingress.corpus import CASES, Case
from tests.ingress.native import DROP, PASS, Filter

SPAN = Span("corpus.yaml", 1, 1, 1, 2)
_WEB = FlowMatch(protocols=(6,), destination_ports=(Range(80, 80),))
_DENIED = FlowMatch(
    sources=(Prefix(4, 0x08080409, 32), Prefix(6, 0x2001 << 112 | 9, 128)),
)


def _section(action: Action, match: FlowMatch, default: Default) -> IngressSection:
    rule = IngressRule("one", action, match, SPAN)
    return IngressSection(interfaces=("lo",), default=default, rules=(rule,), span=SPAN)


SECTIONS = {
    "source": _section(Action.DENY, _DENIED, Default.ALLOW),
    "port": _section(Action.DENY, _WEB, Default.ALLOW),
    "closed": _section(Action.ALLOW, _WEB, Default.DROP),
}


def test_the_corpus_has_the_packets_that_it_should() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("policy", SECTIONS)
def test_every_packet_of_the_corpus_gets_its_verdict_from_the_kernel(
    loaded: Filter, policy: str
) -> None:
    loaded.swap(build(SECTIONS[policy], {}, Host({"lo": 1}, 250)))
    wrong = []
    for case, outcome in zip(CASES, loaded.run([c.frame for c in CASES]), strict=True):
        dropped, reason = _expected(case, policy)
        if (outcome.verdict, outcome.reason) != (DROP if dropped else PASS, reason):
            wrong.append(f"{case.name}: {outcome}, expected {dropped} {reason!r}")
    assert wrong == []


@pytest.mark.parametrize("policy", SECTIONS)
def test_every_packet_of_the_corpus_gets_its_verdict_from_the_evaluator(policy: str) -> None:
    wrong = []
    for case in CASES:
        decision = decide(SECTIONS[policy], read(case.frame), World({}))
        dropped, reason = _expected(case, policy)
        if (decision.verdict is Verdict.DROP, decision.reason.name) != (dropped, reason.name):
            wrong.append(f"{case.name}: {decision}, expected {dropped} {reason!r}")
    assert wrong == []


def _expected(case: Case, policy: str) -> tuple[bool, Reason]:
    expected: tuple[bool, Reason] = getattr(case, policy)
    return expected
