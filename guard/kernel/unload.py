# SPDX-License-Identifier: Apache-2.0
"""Taking an instance off, and knowing that it is off."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from guard.kernel.fdinfo import fdinfo
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.kernel.pins import Instance, remove
from guard.kernel.repeats import FLUSH

# How long to wait for the kernel to let go of programs, and how often to look.
DETACH_SECONDS = 30.0
_LOOK_SECONDS = 0.01


def unload(libbpf: Libbpf, instance: Instance) -> None:
    """Remove an instance's pins and wait until its programs are off their hooks.

    The kernel detaches in the background, after an RCU grace period
    (bpf_link_put, kernel/bpf/syscall.c); a program's number is free once it is done.
    Gives up waiting after DETACH_SECONDS: somebody else may hold a program. That which
    sends repetitions is on no hook, and whoever attends the instance holds it.
    """
    numbers = []
    for path in (instance.directory / "programs").iterdir():
        if path.name == FLUSH:
            continue
        with suppress(LibbpfError):
            fd = libbpf.open_pin(str(path))
            numbers.append(fdinfo(fd)["prog_id"])
            os.close(fd)
    remove(instance)
    deadline = time.monotonic() + DETACH_SECONDS
    for number in numbers:
        while time.monotonic() < deadline:
            try:
                os.close(libbpf.program_by_id(number))
            except LibbpfError:
                break
            time.sleep(_LOOK_SECONDS)
