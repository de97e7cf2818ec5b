# SPDX-License-Identifier: Apache-2.0
"""A kernel that was booted without bpf among its LSMs: guard says so and leaves nothing.

Collected only in such a boot, and then alone (see the suite's conftest).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.command import GUARD, guard, policy_file
from tests.kernel.harness import policy, rule

pytestmark = pytest.mark.kernel

REMEDY = "remedy: add bpf to the lsm= list of the kernel command line and boot again"


def test_bpf_is_not_among_the_kernels_lsms() -> None:
    assert "bpf" not in Path("/sys/kernel/security/lsm").read_text().split(",")
    assert GUARD.exists()


@pytest.mark.parametrize("command", [[], ["--", "/bin/true"]])
def test_enforcing_is_refused_in_one_sentence_with_the_remedy(
    command: list[str], tmp_path: Path
) -> None:
    file = policy_file(tmp_path, policy(rule("deny", "read", "/none"), subject="{host: true}"))
    ended = guard("run", file, *command)
    assert ended.returncode == 3
    assert ended.stderr.splitlines() == [
        "guard: bpf is not among this kernel's LSMs, so LSM programs would have no effect",
        f"  {REMEDY}",
    ]
    assert ended.stdout == ""
    assert not Path("/sys/fs/bpf/guard").exists() or not any(Path("/sys/fs/bpf/guard").iterdir())


def test_the_doctor_names_it_too() -> None:
    ended = guard("doctor")
    assert ended.returncode == 3
    assert "MISSING  bpf among the LSMs" in ended.stdout
    assert REMEDY in ended.stdout


def test_the_status_is_that_nothing_is_loaded() -> None:
    ended = guard("status")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("nothing is loaded\n")
