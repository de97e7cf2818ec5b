# SPDX-License-Identifier: Apache-2.0
"""A denial with its twins, for operations that change what they are done to.

Knows no policy section beyond the text of the rule that it is given.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.kernel.harness import Attempt, Enforcer, expect, policy


def of_section(section: str, text: str) -> str:
    """A policy's text from harness.policy, for another section whose objects are files."""
    return text.replace("\nfile:\n", f"\n{section}:\n")


def prove_changes(
    enforcer: Enforcer,
    denying: str,
    fresh: Callable[[], object],
    act: Callable[[], object],
    beside: Callable[[], object],
    *,
    path: str | Path,
    verbs: Sequence[str],
    to: str | Path | None = None,
    flags: Sequence[str] = (),
    reason: str = "policy",
    rule: str | None = "it",
    section: str = "file",
) -> Attempt:
    """``act`` is denied by the rule ``denying``, and its twins are not.

    ``fresh`` makes what is acted on anew, before each attempt. Without a label it
    succeeds and leaves no record; in mode audit it succeeds and leaves one; under the
    policy it fails and leaves one, while ``beside``, the same done to a neighbour, does
    not. The record has ``path``, ``verbs`` and ``to``. ``section`` is the rule's. Returns
    the denied attempt.
    """
    about: dict[str, Any] = {
        "path": path,
        "verbs": verbs,
        "flags": flags,
        "reason": reason,
        "rule": rule,
    }
    if rule is None:
        about["line"] = 6
    texts = (policy(denying), policy(denying, name="q", mode="audit"))
    enforcer.enforce(*(of_section(section, text) for text in texts))
    fresh()
    free = enforcer.attempt(act, label=None)
    assert (free.errno, free.records) == (0, [])
    fresh()
    watched = enforcer.attempt(act, label=0b10)
    assert watched.errno == 0
    audit: dict[str, Any] = {
        "verdict": "would-deny",
        "policy": "q",
        "mode": "audit",
        "file": "1.yaml",
    }
    expect(watched.record, **about, **audit)
    fresh()
    neighbour = enforcer.attempt(beside, label=0b01)
    assert (neighbour.errno, neighbour.records) == (0, [])
    fresh()
    denied = enforcer.attempt(act, label=0b01)
    assert denied.errno == errno.EACCES
    expect(denied.record, **about)
    for record in (watched.record, denied.record):
        assert record["object"].get("to") == (None if to is None else str(to))
    return denied
