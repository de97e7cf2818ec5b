# SPDX-License-Identifier: Apache-2.0
"""What a filter's policy is to records of packets: rules by their counter slots."""

from __future__ import annotations

from guard.audit.record import Resolution
from guard.daemon.ingress_state import State
from guard.wire.ingress import Reason


class PacketStateIndex:
    """Implements guard.audit.packets.PacketIndex for one generation of a filter."""

    def __init__(self, state: State) -> None:
        self._state = state
        by_id = {f"{state.policy}/{rule.id}": rule for rule in state.section.rules}
        self._rules = {slot: by_id[name] for name, slot in state.slots.items() if name in by_id}

    def resolve(self, slot: int, reason: int) -> Resolution:
        """The rule that counts in the slot; for a reason that is no rule's, the section."""
        state = self._state
        rule = self._rules.get(slot)
        if rule is not None:
            file, line = rule.span.file, rule.span.line
            return Resolution(state.policy, state.mode, rule.id, file, line, rule.why, ())
        if reason in (Reason.RULE, Reason.RATE):
            raise LookupError(f"no rule of {state.policy} counts in slot {slot}")
        span = state.section.span
        return Resolution(state.policy, state.mode, None, span.file, span.line, None, ())
