# SPDX-License-Identifier: Apache-2.0
"""Root gives itself up for an unprivileged user, for good.

Knows users, groups and capabilities of the own process.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from guard.errors import GuardError

_STATUS = Path("/proc/self/status")
_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def drop_to(name: str) -> None:
    """Becomes the user, with the user's groups and no capability. Raises GuardError.

    Must be called while there is one thread. Does nothing for a process that
    is that user already.
    """
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise GuardError(
            f"there is no user {name}",
            remedy=f"systemd-sysusers, or useradd --system {name}, makes one",
        ) from None
    if user.pw_uid == 0:
        raise GuardError(f"{name} is root under another name; shipping runs unprivileged")
    if os.geteuid() != user.pw_uid:
        if os.geteuid() != 0:
            raise GuardError(
                f"only root can become {name}, and this process is user {os.geteuid()}",
                remedy="leave --user out",
            )
        os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    require_unprivileged()


def require_unprivileged() -> None:
    """Raises GuardError if this process is root or could become more than its user."""
    if 0 in os.getresuid():
        raise GuardError(
            "shipping talks to the network and needs no privilege, so it does not run as root",
            remedy="guard ship --user guard-ship, or the unit guard-ship.service",
        )
    held = capabilities()
    if any(held.values()):
        shown = ", ".join(f"{name} {value:x}" for name, value in held.items() if value)
        raise GuardError(
            f"this process has capabilities ({shown}), and shipping needs none",
            remedy="start it without AmbientCapabilities= and file capabilities",
        )


def capabilities() -> dict[str, int]:
    """The process's sets of capabilities as bits, but for the bounding set: proc(5)."""
    told = dict(line.split(":\t", 1) for line in _STATUS.read_text().splitlines() if ":\t" in line)
    return {name: int(told[name], 16) for name in _SETS}
