# SPDX-License-Identifier: Apache-2.0
"""This machine's files and names, as `guard check --host` looks at them: by lstat alone.

Nothing is opened but directories, links are read and not followed by the kernel, and
nothing below /proc or a file system that could keep one waiting is looked at. Knows
nothing of policies.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_LINKS = 40
"""Links on the way to one path, as the kernel follows them (include/linux/namei.h, MAXSYMLINKS)."""

WAITING = ("autofs", "nfs", "nfs4", "cifs", "smb3", "fuse", "ceph", "afs", "9p")
"""File systems where a look may wait for somebody else, or mount something."""

# The kernel writes spaces and the like in mount points as three octal digits.
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass
class Machine:
    """Where to look, and whom to ask for names. ``passed``: directories not looked into."""

    root: str = "/"
    passed: tuple[str, ...] = ("/proc",)
    has_user: Callable[[str], bool] = lambda _: True
    has_group: Callable[[str], bool] = lambda _: True
    _seen: dict[str, os.stat_result | None] = field(default_factory=dict)

    def lstat(self, path: str) -> os.stat_result | None:
        """The status of a host path; None where there is nothing, or no way to see it."""
        if path not in self._seen:
            try:
                self._seen[path] = os.lstat(self._real(path))
            except (OSError, ValueError):
                self._seen[path] = None
        return self._seen[path]

    def link(self, path: str) -> str:
        """What a symbolic link holds."""
        return os.readlink(self._real(path))

    def names(self, path: str, most: int) -> list[str] | None:
        """The names in a directory; None for more than ``most``, or none that can be seen."""
        found: list[str] = []
        try:
            with os.scandir(self._real(path)) as entries:
                for entry in entries:
                    if len(found) == most:
                        return None
                    found.append(entry.name)
        except OSError:
            return None
        return sorted(found)

    def passes(self, path: str) -> bool:
        """Whether a path is below what is not looked into."""
        return any(path == one or path.startswith(one.rstrip("/") + "/") for one in self.passed)

    def _real(self, path: str) -> str:
        return path if self.root == "/" else self.root + path


def this_machine() -> Machine:
    """The machine that guard runs on."""
    import grp  # noqa: PLC0415 - only with --host
    import pwd  # noqa: PLC0415

    def known(ask: Callable[[str], object]) -> Callable[[str], bool]:
        def has(name: str) -> bool:
            try:
                ask(name)
            except KeyError:
                return False
            return True

        return has

    return Machine("/", ("/proc", *_waiting()), known(pwd.getpwnam), known(grp.getgrnam))


def _waiting() -> Iterator[str]:
    """Mount points where a look may wait (proc_pid_mountinfo(5): the type is after the dash)."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                before, _, after = line.partition(" - ")
                place = before.split(" ")[4]
                kind = after.split(" ")[0].partition(".")[0]
                if kind in WAITING and place != "/":
                    yield _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), place)
    except OSError:
        return


class Found(NamedTuple):
    """What was found of a path: where it really is, or None; and the first link on the way."""

    real: str | None
    link: str | None
    unseen: bool = False


def resolve(machine: Machine, path: str) -> Found:
    """Follow a host path as the kernel would, by reading links."""
    todo = path.split("/")[1:][::-1]
    at, first, links = "", None, 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = at.rpartition("/")[0]
            continue
        step = f"{at}/{name}"
        if machine.passes(step):
            return Found(None, first, unseen=True)
        status = machine.lstat(step)
        if status is None:
            return Found(None, first)
        if not stat.S_ISLNK(status.st_mode):
            at = step
            continue
        first = first or step
        links += 1
        target = machine.link(step)
        if links > MOST_LINKS:
            return Found(None, first)
        if target.startswith("/"):
            at = ""
        todo += target.split("/")[::-1]
    return Found(at or "/", first)
