# SPDX-License-Identifier: Apache-2.0
"""What compiling refuses, as findings: told before anyone loads the policies.

Compiling takes longer than all else that `guard check` does; guard.analysis.size
tells when it can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.plan.build import build_plan
from guard.plan.contents import contents
from guard.plan.encode import require_room
from guard.plan.errors import PlanError
from guard.plan.ids import require_few
from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic
from guard.policy.model import Policy


def find(policies: Sequence[Policy]) -> Iterator[Diagnostic]:
    """Why these policies cannot be loaded together, whatever the host; nothing if they can."""
    if not policies:
        return
    try:
        require_few(policies)
        contents(policies)
        require_room(build_plan(policies))
    except PlanError as error:
        yield Diagnostic(
            Code.NOT_COMPILABLE,
            error.message,
            error.span or policies[0].span,
            help=error.help,
        )
