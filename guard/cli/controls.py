# SPDX-License-Identifier: Apache-2.0
"""Commands that change a running guard: what they did goes into its records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guard.cli.exits import Exit
from guard.daemon import control
from guard.errors import GuardError
from guard.kernel.pins import HOST

_OUTCOMES = {Exit.CLEAN: "done", Exit.FINDINGS: "refused"}


def recorded(name: str, words: Sequence[str], call: Callable[[], int]) -> int:
    """Do what ``call`` does, and tell the guard that runs what came of it.

    Raises what ``call`` raises.
    """
    outcome, detail = "failed", None
    try:
        code = call()
        outcome = _OUTCOMES.get(Exit(code), "failed")
        return code
    except GuardError as error:
        detail = str(error)
        raise
    finally:
        control.tell(HOST, name, words, outcome, detail)
