# SPDX-License-Identifier: Apache-2.0
"""Which bit each policy has when one set follows another.

Tasks carry bits, and keep them over a change of policies. So a policy keeps
the bit it had, and the bit of one that is gone is not given to another: a task
that carries it would be under a policy that was never meant for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.plan.errors import PlanError
from guard.policy.model import Mode, Policy, Subject
from guard.policy.source import Span
from guard.wire.layout import Limit


def arrange(before: Sequence[Policy], after: Sequence[Policy]) -> tuple[Policy, ...]:
    """The policies ``after`` at their bits, given the set that was in force.

    Policies are the same when they have the same name. What is gone leaves a
    policy that says nothing (see ``is_retired``). Raises PlanError where the
    bits do not suffice.
    """
    new = {policy.name: policy for policy in after}
    arranged = [
        new.pop(policy.name) if policy.name in new else _retired(policy.span) for policy in before
    ]
    arranged += new.values()
    if len(arranged) > Limit.POLICIES:
        raise PlanError(
            f"with the policies that running tasks still carry there would be {len(arranged)},"
            f" and at most {Limit.POLICIES} can be in force at once",
            help="unload, and run guard again with the new policies",
        )
    return tuple(arranged)


def is_retired(policy: Policy) -> bool:
    """Whether this only keeps a bit from being used again."""
    return not policy.name


def _retired(span: Span) -> Policy:
    return Policy("", Mode.AUDIT, Subject((), False, False, span), None, "", span)
