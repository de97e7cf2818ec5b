# SPDX-License-Identifier: Apache-2.0
"""Policies for this host as it is now: its mount table, its users and groups.

Reads the host and changes nothing; knows no kernel objects.
"""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Sequence
from pathlib import Path

from guard.daemon import canary
from guard.errors import GuardError
from guard.plan.encode import Tables, encode
from guard.plan.errors import PlanError
from guard.plan.host import HostPlan, build_host_plan
from guard.plan.ids import HostNames, wanted_names
from guard.plan.mounts import Mount, parse_mountinfo
from guard.plan.plan import state_class, walk
from guard.policy.model import Policy

MOUNTINFO = Path("/proc/self/mountinfo")


class PlanRefused(GuardError):
    """The policies cannot be compiled for this host; ``cause`` says which pattern and why."""

    def __init__(self, cause: PlanError) -> None:
        self.cause = cause
        super().__init__(str(cause), remedy=getattr(cause, "help", None))


def plan_for(policies: Sequence[Policy]) -> tuple[HostPlan, int]:
    """The plan for the mount table as it is, and the class of the canary's file in it.

    Raises PlanRefused.
    """
    mounts = parse_mountinfo(MOUNTINFO.read_bytes())
    try:
        plan = build_host_plan(policies, mounts, host_names(policies))
    except PlanError as error:
        raise PlanRefused(error) from error
    return plan, _canary_class(plan, mounts)


def tables_for(plan: HostPlan, generation: int) -> Tables:
    """The tables of a plan. Raises PlanRefused where they have no room for it."""
    try:
        return encode(plan, generation)
    except PlanError as error:
        raise PlanRefused(error) from error


def host_names(policies: Sequence[Policy]) -> HostNames:
    """The numbers of the users and groups that policies name and this host has."""
    users, groups = wanted_names(policies)
    found_users: dict[str, int] = {}
    found_groups: dict[str, int] = {}
    for name in users:
        with contextlib.suppress(KeyError):
            found_users[name] = pwd.getpwnam(name).pw_uid
    for name in groups:
        with contextlib.suppress(KeyError):
            found_groups[name] = grp.getgrnam(name).gr_gid
    return HostNames(found_users, found_groups)


def _canary_class(plan: HostPlan, mounts: Sequence[Mount]) -> int:
    """The class in the first automaton that the kernel must find for the canary's file."""
    path = canary.CANARY_PATH.encode()
    # The mount that the path is reached through: the innermost, and of several
    # on one place the last.
    mount = max(
        (m for m in mounts if path.startswith(m.mountpoint.rstrip(b"/") + b"/")),
        key=lambda m: len(m.mountpoint),
    )
    for later in mounts:
        if later.mountpoint == mount.mountpoint:
            mount = later
    inside = mount.root.rstrip(b"/") + path.removeprefix(mount.mountpoint.rstrip(b"/"))
    start = plan.start(mount.device).groups[0]
    return state_class(plan.plan, walk(plan.plan, start, inside))
