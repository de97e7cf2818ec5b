# SPDX-License-Identifier: Apache-2.0
"""The analyses of a policy set, in the order they run: the only list of them.

Each takes one policy, which parsed without an error, and gives its findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from guard.analysis import boundaries, useless
from guard.policy.diagnostic import Diagnostic
from guard.policy.load import Loaded
from guard.policy.model import Policy

PASSES: tuple[Callable[[Policy], Iterable[Diagnostic]], ...] = (
    useless.find,
    boundaries.find,
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
    found.sort(key=lambda each: (order[each.span.file], each.span.line))
    return loaded._replace(diagnostics=(*loaded.diagnostics, *found))
