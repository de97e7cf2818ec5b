# SPDX-License-Identifier: Apache-2.0
"""The demo's policies, and that what it shows is what happened. tests/kernel runs it."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from guard.analysis.passes import analyse
from guard.cli.inputs import read_inputs
from guard.policy.load import Loaded, load
from guard.policy.model import Mode

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "packaging/demo"


@pytest.fixture
def demo() -> ModuleType:
    specification = importlib.util.spec_from_file_location("demo", DEMO / "demo.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["demo"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def policies() -> Loaded:
    return analyse(load(read_inputs([str(DEMO)]).files))


def test_the_policies_are_clean(policies: Loaded) -> None:
    assert policies.diagnostics == ()
    assert {policy.mode for policy in policies.policies} == set(Mode)


def test_the_policies_touch_the_demos_own_files_only(demo: ModuleType, policies: Loaded) -> None:
    for policy in policies.policies:
        assert not policy.subject.host
        assert policy.file
        for rule in policy.file.rules:
            assert all(path.text.startswith(f"{demo.FILES}/") for path in rule.paths)


def test_the_demo_runs_the_policies_that_are_checked_here(
    demo: ModuleType, policies: Loaded
) -> None:
    assert {ROOT / path for path in demo.POLICIES} == {
        Path(policy.source) for policy in policies.policies
    }


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO])
def test_an_errno_is_told_from_what_the_program_said(demo: ModuleType, number: int) -> None:
    said = f"cat: /a: b: {os.strerror(number)}\n"
    assert demo.errno_of(said, 1) == errno.errorcode[number]


def test_an_errno_is_not_made_up(demo: ModuleType) -> None:
    assert demo.errno_of("cat: something else", 1) == "unknown"
    assert demo.errno_of("Permission denied", 0) == "none"


def test_an_expectation_that_does_not_hold_ends_the_demo(demo: ModuleType) -> None:
    with pytest.raises(demo.Unexpected, match="the file is readable again"):
        demo.expect("the file is readable again", False)


def test_the_first_line_says_that_it_is_safe(tmp_path: Path) -> None:
    """Of the script itself, with neither guard nor an emulator behind it."""
    script = tmp_path / "packaging/demo/run"
    script.parent.mkdir(parents=True)
    script.write_bytes((DEMO / "run").read_bytes())
    script.chmod(0o755)
    run = subprocess.run([script], capture_output=True, text=True, check=False)
    first, second = run.stdout.splitlines()[:2]
    assert "its own process tree and its own files" in first and "safe on a laptop" in first
    assert second.startswith("It runs in a QEMU guest")
    assert run.returncode != 0
