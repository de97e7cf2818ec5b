# SPDX-License-Identifier: Apache-2.0
"""Who attends an instance: at most one process reads its rings and switches its tables.

A lock on the instance's directory of pins. The kernel lets go of it when the
process ends, however it ends, so nobody waits for a guard that was killed.
"""

from __future__ import annotations

import fcntl
import os

from guard.errors import HostError
from guard.kernel.pins import Instance


def attend(instance: Instance, wait: bool = False) -> int:
    """Become the one that attends an instance; returns a descriptor, closed at the end.

    ``wait``: until whoever just looks at it has gone. Raises HostError where
    somebody attends it.
    """
    fd = os.open(instance.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        raise HostError(
            f"guard instance {instance.name!r} is already loaded, and a guard attends it",
            remedy="see it with `guard status`; `guard reload` has it read its policies again,"
            " `guard unload` takes it off",
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd
