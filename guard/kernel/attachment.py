# SPDX-License-Identifier: Apache-2.0
"""How programs are attached: to LSM hooks, or, where bpf is not among the LSMs, to the
kernel's security functions (fmod_ret), and what that is worth on a kernel.

A tracing program is skipped where another task was preempted inside it on the
same CPU, and what is skipped is allowed (kernel/bpf/trampoline.c,
__bpf_prog_enter_recur). So on a kernel that preempts itself fmod_ret can be
passed by; where it never does, nobody can be inside.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path

from guard.plan.gates import Gate
from guard.wire.layout import Hook

# Shown as "none (voluntary) full": kernel/sched/debug.c, sched_dynamic_show.
PREEMPT = Path("/sys/kernel/debug/sched/preempt")


class Attachment(enum.Enum):
    """What holds the programs."""

    LSM = "lsm"
    FMOD_RET = "fmod_ret"


# Where security_* is not simply the hook's name: security/security.c.
_NAMES = {
    Hook.BPRM_CHECK_SECURITY: "security_bprm_check",
    Hook.USERNS_CREATE: "security_create_user_ns",
    Hook.SETTIME: "security_settime64",
}

# Returns nothing, so there is no return value to change: the program only watches.
WATCHED = frozenset({Hook.BPRM_COMMITTED_CREDS})


def security_function(gate: Gate) -> str:
    """The kernel's function that calls all LSMs for a gate's hook."""
    return _NAMES.get(gate.hook, f"security_{gate.hook.name.lower()}")


def traceable(gates: Iterable[Gate], parameters: dict[str, int]) -> dict[str, int]:
    """Of each hook's security function the parameters, in place of the hook's own.

    Without the hooks whose function takes others than the hook does, if no program says
    that it is written for them. What is left out is then missing on this kernel, and
    policies that need it are refused.
    """
    found = {}
    for gate in gates:
        count = parameters.get(gate.function)
        traced = parameters.get(security_function(gate))
        if count is None or traced is None:
            continue
        if traced in (count, gate.parameters):
            found[gate.function] = traced
    return found


def preemptible(preempt: str | None, version: str, command_line: str) -> bool:
    """Whether the kernel may preempt a task inside the kernel; True where it cannot be told.

    ``preempt`` is what PREEMPT says, None where it cannot be read; ``version``
    is uname -v; ``command_line`` the kernel's.
    """
    if preempt is not None and "(" in preempt:
        return preempt.split("(", 1)[1].split(")", 1)[0] not in ("none", "voluntary")
    for word in reversed(command_line.split()):
        if word.startswith("preempt="):
            return word.removeprefix("preempt=") not in ("none", "voluntary")
    return "PREEMPT" in version


def read_preemptible(version: str) -> bool:
    """The same for the running kernel, whose ``version`` is uname -v."""
    try:
        preempt = PREEMPT.read_text()
    except OSError:
        preempt = None
    return preemptible(preempt, version, Path("/proc/cmdline").read_text(errors="replace"))
