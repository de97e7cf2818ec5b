# SPDX-License-Identifier: Apache-2.0
"""Task labels from user space: read and set by pidfd, in the task-storage map."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from guard.kernel.libbpf import Libbpf
from guard.wire.layout import TASK

_TASK = struct.Struct(TASK.format())


@dataclass(frozen=True, slots=True)
class Label:
    """struct guard_task: the policies in force on a task, and guard's own flags."""

    mask: int
    pending: int = 0
    flags: int = 0
    canary_class: int = 0
    exec_generation: int = 0
    check_generation: int = 0
    canary_hook: int = 0
    cgroup_id: int = 0
    cgroup_mask: int = 0
    cgroup_generation: int = 0
    overlay: int = 0

    def pack(self) -> bytes:
        return _TASK.pack(*(getattr(self, name) for name in TASK.fields))


class Labels:
    """The labels map of one instance."""

    def __init__(self, libbpf: Libbpf, fd: int) -> None:
        self._libbpf, self._fd = libbpf, fd

    def set(self, pid: int, label: Label) -> None:
        """Label the thread-group leader ``pid``. Raises LibbpfError, ProcessLookupError."""
        pidfd = os.pidfd_open(pid)
        try:
            key = struct.pack("=i", pidfd)
            self._libbpf.map_update(self._fd, key, label.pack(), f"label process {pid}")
        finally:
            os.close(pidfd)

    def get(self, pid: int) -> Label | None:
        """The label of the thread-group leader ``pid``; None when it has none."""
        pidfd = os.pidfd_open(pid)
        try:
            key = struct.pack("=i", pidfd)
            value = self._libbpf.map_lookup(self._fd, key, TASK.size, f"label of {pid}")
        finally:
            os.close(pidfd)
        if value is None:
            return None
        return Label(**dict(zip(TASK.fields, _TASK.unpack(value), strict=True)))
