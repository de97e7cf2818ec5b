# SPDX-License-Identifier: Apache-2.0
"""The analyses of a policy set, in the order they run: the only list of them.

Each takes one policy, which parsed without an error, and gives its findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from guard.analysis import boundaries, useless
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic
from guard.policy.load import Loaded
from guard.policy.model import Mode, Policy
from guard.policy.source import Span


def _of_ingress(policy: Policy) -> Iterable[Diagnostic]:
    if policy.ingress is None:
        return ()
    from guard.analysis import ingress_findings  # noqa: PLC0415 - few policies have the section

    return ingress_findings.find(policy)


def _of_enforcing(policy: Policy) -> Iterable[Diagnostic]:
    if policy.mode is not Mode.ENFORCE or (policy.file is None and policy.exec is None):
        return ()
    from guard.analysis import own_programs  # noqa: PLC0415 - it needs the evaluator

    return own_programs.find(policy)


PASSES: tuple[Callable[[Policy], Iterable[Diagnostic]], ...] = (
    useless.find,
    boundaries.find,
    _of_ingress,
    _of_enforcing,
)


def analyse(loaded: Loaded) -> Loaded:
    """The set with the findings of every pass added; a refused set comes back as it is."""
    if not loaded.usable:
        return loaded
    order = {name: at for at, name in enumerate(loaded.texts)}
    found = [
        diagnostic
        for policy in loaded.policies
        for analysis in PASSES
        for diagnostic in analysis(policy)
    ]
    expired = [each.span for each in loaded.diagnostics if each.code is Code.EXPIRED]
    # A section whose rules have all expired did something once: that they expired is told.
    found = [
        each
        for each in found
        if each.code is not Code.USELESS_SECTION
        or not any(_within(span, each.span) for span in expired)
    ]
    found.sort(key=lambda each: (order[each.span.file], each.span.line))
    return loaded._replace(diagnostics=(*loaded.diagnostics, *found))


def _within(inner: Span, outer: Span) -> bool:
    return inner.file == outer.file and outer.line <= inner.line <= outer.end_line
