# SPDX-License-Identifier: Apache-2.0
"""What this kernel has, asked by presence and never by version.

One probe that the loader, ``guard doctor`` and ``guard status`` share.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from guard.errors import HostError
from guard.kernel.gates import GATES
from guard.kernel.gates import functions as gate_functions
from guard.kernel.libbpf import Libbpf, LibbpfError

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
    btf = KERNEL_BTF.exists()
    functions: dict[str, int] = {}
    if btf:
        try:
            functions = libbpf.kernel_functions((RDONLY_CAST, *gate_functions(GATES)))
        except LibbpfError:
            btf = False
    try:
        lsm_list = tuple(LSM_LIST.read_text().strip().split(","))
    except OSError:
        lsm_list = None
    return Features(release, btf, lsm_list, functions, _has_symbol(b"rename_lock"))


def _has_symbol(name: bytes) -> bool:
    """Whether the kernel tells a variable's address; data symbols need CONFIG_KALLSYMS_ALL."""
    try:
        return b" " + name + b"\n" in KALLSYMS.read_bytes()
    except OSError:
        return False


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
    if features.bpf_in_lsm_list is False:
        return HostError(
            "bpf is not among this kernel's LSMs, so LSM programs would have no effect",
            remedy="add bpf to the lsm= list of the kernel command line and boot again",
        )
    return error
