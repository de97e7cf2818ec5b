# SPDX-License-Identifier: Apache-2.0
"""Where guard's kernel objects are pinned, and how a set of pins appears and goes.

One instance of guard (a daemon, or one ``guard run``) is one directory under
/sys/fs/bpf/guard. It is filled under a name that starts with HIDDEN and renamed
into place, so that whoever sees an instance sees all of it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from guard.errors import HostError

BPFFS = Path("/sys/fs/bpf")
ROOT = BPFFS / "guard"

# Not a dot: bpffs refuses names with one (bpf_lookup, kernel/bpf/inode.c).
HIDDEN = "_"

# include/uapi/linux/magic.h
BPF_FS_MAGIC = 0xCAFE4A11

_SUBDIRECTORIES = ("maps", "links", "programs")


@dataclass(frozen=True, slots=True)
class Instance:
    """The pins of one instance: ``directory``/{maps,links,programs}/NAME."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name.removeprefix(HIDDEN)

    def map(self, name: str) -> str:
        return str(self.directory / "maps" / name)

    def link(self, name: str) -> str:
        return str(self.directory / "links" / name)

    def program(self, name: str) -> str:
        return str(self.directory / "programs" / name)

    def links(self) -> tuple[str, ...]:
        """Names of the pinned links, one a hook."""
        return tuple(sorted(p.name for p in (self.directory / "links").iterdir()))


def require_bpffs(mountinfo: str) -> None:
    """Raise HostError unless a bpf file system is mounted at /sys/fs/bpf."""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if fields[4] == str(BPFFS) and fields[fields.index("-") + 1] == "bpf":
            return
    raise HostError(
        f"no bpf file system is mounted at {BPFFS}",
        remedy=f"mount -t bpf bpf {BPFFS}",
    )


def begin(name: str, root: Path = ROOT) -> Instance:
    """An empty directory to pin into, not visible as an instance yet.

    Raises HostError when an instance of that name exists.
    """
    if (root / name).exists():
        raise HostError(
            f"guard instance {name!r} is already loaded",
            remedy="see it with `guard status`, remove it with `guard unload`",
        )
    root.mkdir(mode=0o700, exist_ok=True)
    hidden = Instance(root / f"{HIDDEN}{name}")
    remove(hidden)
    for part in _SUBDIRECTORIES:
        (hidden.directory / part).mkdir(parents=True, mode=0o700)
    return hidden


def publish(hidden: Instance) -> Instance:
    """Give a filled instance its visible name, in one rename."""
    shown = Instance(hidden.directory.with_name(hidden.name))
    os.rename(hidden.directory, shown.directory)
    return shown


HOST = "host"
"""The instance of `guard run` for the host, unless it is given another name."""


def instances(root: Path = ROOT) -> tuple[Instance, ...]:
    """The instances that are pinned now, by name."""
    if not root.is_dir():
        return ()
    return tuple(Instance(p) for p in sorted(root.iterdir()) if not p.name.startswith(HIDDEN))


def unfinished(root: Path = ROOT) -> tuple[Instance, ...]:
    """What is left of instances whose guard was killed before they were published."""
    if not root.is_dir():
        return ()
    return tuple(Instance(p) for p in sorted(root.iterdir()) if p.name.startswith(HIDDEN))


def remove(instance: Instance) -> bool:
    """Unlink all pins of an instance, its links first; what held by them ends.

    Returns whether there was anything.
    """
    if not instance.directory.exists():
        return False
    # Links first: with them gone no program can run on half-removed maps.
    for part in ("links", "programs", "maps"):
        directory = instance.directory / part
        if directory.is_dir():
            for pin in directory.iterdir():
                pin.unlink()
            directory.rmdir()
    instance.directory.rmdir()
    # With the last instance goes the directory of all; another's presence keeps it.
    with contextlib.suppress(OSError):
        instance.directory.parent.rmdir()
    return True
