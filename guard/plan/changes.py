# SPDX-License-Identifier: Apache-2.0
"""What can become of policies between two versions. Values only: nothing here compares."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass

from guard.analysis.evaluate import Decision
from guard.policy.model import Operation


class Direction(enum.Enum):
    """Whether a change lets through more than before, or less."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"


def direction(loosens: bool) -> Direction:
    """The direction of a change that loosens, or does not."""
    return Direction.LOOSENS if loosens else Direction.TIGHTENS


@dataclass(frozen=True, slots=True)
class OperationChange:
    """Operations that one reason decided before and another decides now.

    ``operation`` is one of them. A side is None where that version has no such
    policy, and so allows. ``nameless``: the operation is on a file of a device
    that the host's mount table does not list, which no pattern matches.
    ``since`` is the first day, by UTC, on which both versions differ so; None if
    they do today.
    """

    name: str
    direction: Direction
    operation: Operation
    old: Decision | None
    new: Decision | None
    nameless: bool = False
    since: dt.date | None = None


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """Tasks that a policy applies to no longer, or only now. ``kind`` is the subject's key
    that tells (exe, cgroup, user, group, host); ``witness`` is such an executable, control
    group, user or group, or b"" for any task; ``outside`` says how the task is not the
    other version's subject, '' where ``witness`` says it all.
    """

    name: str
    direction: Direction
    kind: str
    witness: bytes
    outside: str = ""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A change of a whole policy that has no operation: ``what`` says it."""

    name: str
    direction: Direction
    what: str
