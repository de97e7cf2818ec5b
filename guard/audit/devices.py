# SPDX-License-Identifier: Apache-2.0
"""Which mounted devices can be read from without waiting for somebody's pleasure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# File systems whose reads end with a local disk or memory. Everything else
# (FUSE, NFS, CIFS, 9p, Ceph, …) waits for a process or a peer.
_DISKS = ("bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs")
_OTHERS = ("overlay", "ramfs", "rootfs", "squashfs", "tmpfs", "udf", "vfat", "xfs", "zfs")
LOCAL_TYPES = frozenset((*_DISKS, *_OTHERS))

# The mount table is read again at most this often, for a device that is not in it.
LOOK_SECONDS = 1.0


class LocalDevices:
    """Answers by the mount table of this process. The kernel's dev_t, as in events."""

    def __init__(
        self,
        mountinfo: Path = Path("/proc/self/mountinfo"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mountinfo = mountinfo
        self._clock = clock
        self._look_at = float("-inf")
        self._local: dict[int, bool] = {}

    def __call__(self, device: int) -> bool:
        """Whether it is mounted here and local. Never raises."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            try:
                self._local = parse(self._mountinfo.read_text(errors="surrogateescape"))
            except OSError:
                self._local = {}
        return self._local.get(device, False)


def parse(mountinfo: str) -> dict[int, bool]:
    """Per device of /proc/PID/mountinfo (proc(5)), whether its file system is local."""
    found: dict[int, bool] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        major, _, minor = fields[2].partition(":") if len(fields) > 2 else ("", "", "")
        if major.isdecimal() and minor.isdecimal():
            device = int(major) << 20 | int(minor)
            found[device] = after.split(" ")[0] in LOCAL_TYPES
    return found
