# SPDX-License-Identifier: Apache-2.0
"""The demo in a real kernel: it holds what it promises, and fails where nothing is enforced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
SCRIPT = "packaging/demo/demo.py"

# Takes a policy and enforces nothing.
TOOTHLESS = """#!/bin/sh
while [ "$1" != -- ]; do
	[ $# -gt 0 ] || exit 0
	shift
done
shift
exec "$@"
"""


def _left_behind() -> list[str]:
    places = (Path("/sys/fs/bpf/guard/demo"), Path("/run/guard-demo"))
    return [str(place) for place in places if place.exists()]


def test_the_demo_does_what_it_says_and_leaves_nothing_behind() -> None:
    run = subprocess.run(
        [sys.executable, SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "All as expected" in run.stdout
    assert _left_behind() == []


def test_the_demo_fails_when_nothing_is_enforced(tmp_path: Path) -> None:
    toothless = tmp_path / "guard"
    toothless.write_text(TOOTHLESS)
    toothless.chmod(0o755)
    program = (
        "import runpy, sys; sys.argv = ['demo'];"
        f"demo = runpy.run_path({SCRIPT!r});"
        "scope = demo['main'].__globals__;"
        f"scope.update(GUARD={str(toothless)!r}, RECORD_SECONDS=0.0);"
        "sys.exit(demo['main']())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert run.returncode == 1
    assert "NOT AS EXPECTED: 3 audit records came, not 0" in run.stdout, run.stdout + run.stderr
    assert _left_behind() == []
