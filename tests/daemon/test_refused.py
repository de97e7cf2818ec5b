# SPDX-License-Identifier: Apache-2.0
"""On a machine that cannot enforce, guard says so in a sentence and leaves nothing behind.

Needs root, and a kernel that refuses; elsewhere these tests have nothing to test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import engine, features, pins
from guard.kernel.libbpf import Libbpf, LibbpfError

POLICY = """version: 1
name: example
mode: enforce
subject: {host: true}
file:
  default: allow
  rules:
    - {deny: read, path: /nowhere/secret}
"""


def _refuses() -> bool:
    """Whether this kernel takes none of guard's programs."""
    if os.geteuid() != 0:
        return False
    try:
        libbpf = Libbpf()
        engine.trial(libbpf, features.probe(libbpf, os.uname().release))
    except (HostError, LibbpfError):
        return True
    return False


@pytest.fixture(scope="module", autouse=True)
def _refusing_kernel() -> None:
    if not _refuses():
        pytest.skip("not root, or this kernel takes LSM programs: the kernel suite has the rest")


@pytest.fixture
def bpffs() -> None:
    if not os.path.ismount(pins.BPFFS):
        pytest.skip(f"no bpf file system at {pins.BPFFS}, so guard says that and no more")


def guard(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "guard.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pinned() -> list[Path]:
    return sorted(pins.ROOT.rglob("*")) if pins.ROOT.exists() else []


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("guard: ")
    assert lines[1].strip().startswith("remedy: ")


def test_run_refuses_with_a_sentence_and_a_remedy_and_pins_nothing(
    bpffs: None, policy_file: Path
) -> None:
    before = pinned()
    assert_refused(guard("run", policy_file))
    assert pinned() == before


def test_the_command_of_a_refused_run_is_not_started(
    bpffs: None, policy_file: Path, tmp_path: Path
) -> None:
    before = pinned()
    trace = tmp_path / "started"
    assert_refused(guard("run", policy_file, "--", "touch", trace))
    assert not trace.exists()
    assert pinned() == before


def test_doctor_says_what_is_missing_and_what_to_do() -> None:
    before = pinned()
    done = guard("doctor")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    missing = [at for at, line in enumerate(lines) if line.startswith("MISSING")]
    assert missing
    for at in missing:
        assert lines[at + 1].strip().startswith("remedy: ")
    assert all(line.startswith(("ok ", "MISSING", "         remedy")) for line in lines)
    assert pinned() == before
