# SPDX-License-Identifier: Apache-2.0
"""What this kernel has, asked by presence and never by version.

One probe that the loader, ``guard doctor`` and ``guard status`` share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guard.kernel.libbpf import Libbpf, LibbpfError

LSM_LIST = Path("/sys/kernel/security/lsm")
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")

RDONLY_CAST = "bpf_rdonly_cast"


@dataclass(frozen=True, slots=True)
class Features:
    """Presence of what guard can use. ``lsm_list`` is None where it cannot be read."""

    release: str
    btf: bool
    lsm_list: tuple[str, ...] | None
    functions: frozenset[str]

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
    functions: frozenset[str] = frozenset()
    if btf:
        try:
            functions = libbpf.kernel_functions((RDONLY_CAST,))
        except LibbpfError:
            btf = False
    try:
        lsm_list = tuple(LSM_LIST.read_text().strip().split(","))
    except OSError:
        lsm_list = None
    return Features(release, btf, lsm_list, functions)
