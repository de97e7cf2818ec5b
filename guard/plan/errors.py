# SPDX-License-Identifier: Apache-2.0
"""What compiling can refuse. Knows nothing of how diagnostics are shown."""

from __future__ import annotations

from guard.policy.source import Span


class PlanError(ValueError):
    """A policy set that cannot become tables.

    ``span`` is the place in the policy to blame, None where the host or the
    set as a whole is to blame; ``help`` says what to do.
    """

    def __init__(self, message: str, span: Span | None = None, help: str | None = None) -> None:
        super().__init__(message if span is None else f"{span}: {message}")
        self.message = message
        self.span = span
        self.help = help


class Exploded(Exception):
    """A subset construction was stopped: it passed its budget of states."""

    def __init__(self, states: int) -> None:
        super().__init__(f"more than {states} states")
        self.states = states
