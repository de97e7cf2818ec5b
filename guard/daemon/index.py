# SPDX-License-Identifier: Apache-2.0
"""A generation's plan index in the form that the audit stream asks for it."""

from __future__ import annotations

from guard.audit.decode import Event
from guard.audit.record import Resolution
from guard.plan.index import CONTENTS, Asked, Cause, PlanIndex
from guard.wire.layout import Reason, Section


class GenerationIndex:
    """Implements guard.audit.record.Index for one generation."""

    def __init__(self, plan: PlanIndex) -> None:
        self._plan = plan

    def resolve(self, event: Event) -> Resolution:
        """The first policy with the event's verdict, and its rule. Raises LookupError."""
        if event.reason == Reason.CANARY:
            return Resolution(None, None, None, None, None, None, ())
        kernel = event.section == Section.KERNEL
        verbs = 1 << event.operation if kernel else event.verbs
        asked = Asked(event.section, verbs, event.class_id)
        if event.denied:
            # The one that the verdict is due to comes first.
            enforced = event.enforced if event.error else 0
            causes = [
                cause
                for denied in (enforced, event.denied & ~enforced)
                for cause in self._plan.explain(asked, denied, event.by_rule)
            ]
        else:
            causes = self._plan.explain_audited(asked, event.audited)
        return _resolution(causes, event.section, event.reason)

    def host_path(self, device: int, path: bytes) -> bytes | None:
        """Where the host mounts a path of the file system on ``device``; None: nowhere."""
        return self._plan.host_path(device, path)


def _resolution(causes: list[Cause], section: int, reason: int) -> Resolution:
    if not causes:
        raise LookupError("an event without a policy")
    policy, rule = causes[0].policy, causes[0].rule
    others = tuple(cause.policy.name for cause in causes[1:])
    if rule is None:
        line = policy.lines[CONTENTS if reason == Reason.CONTENTS else section]
        return Resolution(policy.name, policy.mode, None, policy.file, line, None, others)
    return Resolution(
        policy.name, policy.mode, rule.id, rule.file, rule.line, rule.why, others, rule.tags
    )
