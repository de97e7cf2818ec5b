# SPDX-License-Identifier: Apache-2.0
"""What this kernel has, asked by presence and never by version.

One probe that the loader, ``guard doctor`` and ``guard status`` share.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from guard.errors import HostError
from guard.kernel.attachment import (
    Attachment,
    read_preemptible,
    security_function,
    traceable,
)
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.plan.gates import GATES
from guard.plan.gates import functions as gate_functions

LSM_LIST = Path("/sys/kernel/security/lsm")
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")

KALLSYMS = Path("/proc/kallsyms")

RDONLY_CAST = "bpf_rdonly_cast"


@dataclass(frozen=True, slots=True)
class Features:
    """Presence of what guard can use. ``lsm_list`` is None where it cannot be read;
    ``functions`` are the kernel's among those that matter, with their parameters' number.
    """

    release: str
    btf: bool
    lsm_list: tuple[str, ...] | None
    functions: dict[str, int]
    rename_lock: bool
    preemptible: bool

    def parameters(self, attachment: Attachment) -> dict[str, int]:
        """Of the functions that gates name, those that programs can be attached to this way."""
        if attachment is Attachment.LSM:
            return self.functions
        return traceable(GATES, self.functions)

    @property
    def bpf_in_lsm_list(self) -> bool | None:
        """Whether the kernel says that it runs BPF programs on LSM hooks; None: unknown."""
        return None if self.lsm_list is None else "bpf" in self.lsm_list

    @property
    def rdonly_cast(self) -> bool:
        """The cast that reads rename_lock without a helper call (6.2 and later)."""
        return RDONLY_CAST in self.functions


def probe(libbpf: Libbpf, release: str) -> Features:
    """Ask the running kernel, whose ``release`` is uname -r. Changes nothing."""
    version = os.uname().version
    btf = KERNEL_BTF.exists()
    functions: dict[str, int] = {}
    if btf:
        try:
            wanted = {RDONLY_CAST, *gate_functions(GATES), *map(security_function, GATES)}
            functions = libbpf.kernel_functions(wanted)
        except LibbpfError:
            btf = False
    try:
        lsm_list = tuple(LSM_LIST.read_text().strip().split(","))
    except OSError:
        lsm_list = None
    return Features(
        release,
        btf,
        lsm_list,
        functions,
        _has_symbol(b"rename_lock"),
        read_preemptible(version),
    )


def _has_symbol(name: bytes) -> bool:
    """Whether the kernel tells a variable's address; data symbols need CONFIG_KALLSYMS_ALL."""
    try:
        return b" " + name + b"\n" in KALLSYMS.read_bytes()
    except OSError:
        return False


BPF_REMEDY = "add bpf to the lsm= list of the kernel command line and boot again"


def attachment(features: Features) -> Attachment:
    """How programs are to be attached on this kernel."""
    return Attachment.FMOD_RET if features.bpf_in_lsm_list is False else Attachment.LSM


def require_sound(way: Attachment, features: Features, allow_degraded: bool) -> None:
    """Raise HostError where programs would be attached in a way that can be passed by.

    ``allow_degraded``: the operator knows and wants it all the same.
    """
    if way is Attachment.FMOD_RET and features.preemptible and not allow_degraded:
        raise HostError(
            "bpf is not among this kernel's LSMs, and on a kernel that preempts itself"
            " (preempt=full or lazy) programs on its security functions can be passed by",
            remedy=f"{BPF_REMEDY}; or boot with preempt=voluntary; or accept it with"
            " --allow-degraded",
        )


def refusal(error: LibbpfError, features: Features) -> HostError:
    """Why this kernel did not take guard's programs, in one sentence with a remedy."""
    if not features.btf:
        return HostError(
            f"kernel {features.release} has no BTF at {KERNEL_BTF}",
            remedy="boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are",
        )
    if not features.rename_lock:
        return HostError(
            f"kernel {features.release} does not tell where rename_lock is",
            remedy="boot a kernel built with CONFIG_KALLSYMS_ALL=y, as Debian's are",
        )
    if error.errno == errno.EPERM:
        return HostError(
            f"kernel {features.release} refuses LSM programs: {error}",
            remedy="run as root with CAP_BPF and CAP_PERFMON, on a kernel with CONFIG_BPF_LSM=y "
            "that is not locked down",
        )
    return error
