# SPDX-License-Identifier: Apache-2.0
"""What records know beyond their events, put together for this host.

The only module that knows which files of the host that takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from guard.audit.cgroups import Cgroups, cgroup2_root
from guard.audit.clock import Clock
from guard.audit.devices import LocalDevices
from guard.audit.hashes import Hashes
from guard.audit.identity import ProcessCache
from guard.audit.names import Names, nss_group, nss_user


class Enrichment(NamedTuple):
    """``identities`` for the renderer, ``hashes`` for the recorder."""

    identities: ProcessCache
    hashes: Hashes

    def settle(self) -> None:
        """Takes over what was learned meanwhile; to be called about once a second."""
        self.identities.settle()


def enrichment(clock: Clock, root: Path = Path("/")) -> Enrichment:
    """This host's. What it does not have (no cgroup2, no /etc/passwd) is null in records."""
    proc = root / "proc"
    try:
        mounts = (proc / "self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        mounts = ""
    hierarchy = cgroup2_root(mounts)
    identities = ProcessCache(
        Names(root / "etc/passwd", nss_user),
        Names(root / "etc/group", nss_group),
        Cgroups(hierarchy, proc) if hierarchy is not None else None,
        proc,
    )
    return Enrichment(identities, Hashes(clock.wall_ns, LocalDevices(proc / "self/mountinfo")))
