# SPDX-License-Identifier: Apache-2.0
"""Control group ids → paths, on this host.

The id that the kernel gives is the inode of the group's directory, and is not
used again while the host is up. So a path is proved by its inode, and once
known it stays known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from guard.audit.memory import Generations

# Ids remembered (twice this many at most). Hosts have some hundreds of groups.
SIZE = 4096

# Directories that one search looks at: whoever has a group of their own can
# make as many as they like.
SEARCH_LIMIT = 8192
# After a search, none for so many times what it took: at most 1 % of a core.
SEARCH_REST = 100

_MAXIMUM_LINE = 8192


class Cgroups:
    """Finds paths. ``root`` is where the host's cgroup2 hierarchy is mounted."""

    def __init__(
        self,
        root: Path,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = os.fsencode(root)
        self._proc = os.fsencode(proc)
        self._clock = clock
        self._paths: Generations[int, bytes] = Generations(SIZE)
        self._missing: Generations[int, bool] = Generations(SIZE)
        self._search_at = float("-inf")

    def path(self, cgroup: int, pid: int) -> bytes | None:
        """The path from the hierarchy's root (``/`` itself), None if it cannot be found any more.

        ``pid``: a process that was in it, which is the quick way to it. Never raises.
        """
        known = self._paths.get(cgroup)
        if known is not None:
            return known
        if self._missing.get(cgroup):
            return None
        found = self._of_process(cgroup, pid)
        if found is not None:
            self._paths.put(cgroup, found)
            return found
        if self._clock() < self._search_at:
            return None
        self._search()
        found = self._paths.get(cgroup)
        if found is None:
            # The group is gone, or is one of more than are searched.
            self._missing.put(cgroup, True)
        return found

    def known(self, cgroup: int) -> bytes | None:
        """The path if it was found before. Asks nobody."""
        return self._paths.get(cgroup)

    def is_gone(self, cgroup: int) -> bool:
        """Whether a search did not find it; False also before there was one."""
        return bool(self._missing.get(cgroup))

    def _of_process(self, cgroup: int, pid: int) -> bytes | None:
        """The process's group, if that is still the one asked for."""
        try:
            with open(b"%b/%d/cgroup" % (self._proc, pid), "rb") as file:
                lines = file.read(_MAXIMUM_LINE).split(b"\n")
        except OSError:
            return None
        for line in lines:
            if line.startswith(b"0::/"):
                path = line[3:]
                try:
                    inode = os.stat(self._root + path).st_ino
                except (OSError, ValueError):
                    return None
                return path if inode == cgroup else None
        return None

    def _search(self) -> None:
        begun = self._clock()
        waiting, seen = [b""], 0
        try:
            self._paths.put(os.stat(self._root).st_ino, b"/")
        except OSError:
            waiting = []
        while waiting and seen < SEARCH_LIMIT:
            above = waiting.pop()
            try:
                with os.scandir(self._root + above) as entries:
                    for entry in entries:
                        if not entry.is_dir(follow_symlinks=False):
                            continue
                        seen += 1
                        path = above + b"/" + entry.name
                        self._paths.put(entry.inode(), path)
                        waiting.append(path)
            except OSError:
                continue  # removed meanwhile
        self._search_at = self._clock() + SEARCH_REST * max(self._clock() - begun, 0.001)


def cgroup2_root(mountinfo: str) -> Path | None:
    """Where /proc/self/mountinfo says that the cgroup2 hierarchy is mounted, with its root."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.startswith("cgroup2 ") and len(fields) > 4 and fields[3] == "/":
            return Path(fields[4])
    return None
