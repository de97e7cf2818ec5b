# SPDX-License-Identifier: Apache-2.0
"""The machine that the kernel suite runs on has what the suite relies on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def test_the_suite_runs_as_root() -> None:
    assert os.geteuid() == 0


def test_bpf_is_among_the_kernels_lsms() -> None:
    assert "bpf" in Path("/sys/kernel/security/lsm").read_text().split(",")


def test_the_kernel_describes_its_types() -> None:
    assert Path("/sys/kernel/btf/vmlinux").stat().st_size > 0


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("/sys/fs/bpf", "bpf"),
        ("/sys/fs/cgroup", "cgroup2"),
        ("/sys/kernel/security", "securityfs"),
        ("/sys/kernel/tracing", "tracefs"),
        ("/tmp", "tmpfs"),
    ],
)
def test_a_file_system_is_mounted_where_it_belongs(where: str, kind: str) -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    assert [where, kind] in [[mount[1], mount[2]] for mount in mounts]
