# SPDX-License-Identifier: Apache-2.0
"""The GitHub Action and the pre-commit hooks: what they run is run here, as they run it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.cli.exits import Exit
from tests.policy.corpus import with_rules

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
INSTALL, CHECK = ACTION["runs"]["steps"]

GOOD = with_rules("- deny: read\n  path: /etc/shadow")
BAD = GOOD.replace("read", "raed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of someone's repository, with one good policy."""
    (tmp_path / "checkout" / "policies").mkdir(parents=True)
    (tmp_path / "checkout" / "policies" / "good.yaml").write_text(GOOD)
    return tmp_path / "checkout"


def step(step: Any, checkout: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run one step of the action as the runner does: bash -e, and inputs put in."""
    given = {name: each["default"] for name, each in ACTION["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}

    def put_in(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], text)

    assert step["shell"] == "bash"
    environment = {name: put_in(value) for name, value in step.get("env", {}).items()}
    environment |= {
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_WORKSPACE": str(checkout),
        "RUNNER_TEMP": str(checkout.parent / "temp"),
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", put_in(step["run"])],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env={**os.environ, **environment},
    )


@pytest.fixture
def installed(checkout: Path) -> Path:
    """The checkout, with an interpreter where the first step would have put one."""
    place = checkout.parent / "temp" / "guard-check" / "bin"
    place.mkdir(parents=True)
    (place / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (place / "python").chmod(0o755)
    return checkout


def test_the_action_installs_all_that_checking_needs(checkout: Path) -> None:
    done = step(INSTALL, checkout)
    if re.search("No matching distribution|[Cc]onnection|resolve", done.stderr):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    assert step(CHECK, checkout).returncode == Exit.CLEAN


def test_the_action_is_content_with_good_policies(installed: Path) -> None:
    done = step(CHECK, installed)
    assert (done.returncode, done.stderr) == (Exit.CLEAN, "")
    assert done.stdout == "1 policy, 1 rule: no findings\n"


def test_the_action_annotates_and_fails(installed: Path) -> None:
    (installed / "policies" / "bad.yaml").write_text(BAD)
    done = step(CHECK, installed)
    assert done.returncode == Exit.FINDINGS
    assert done.stdout.startswith(
        "::error title=guard G101%3A unknown verb,file=policies/bad.yaml,"
    )


def test_the_action_fails_on_warnings_unless_told_otherwise(installed: Path) -> None:
    warned = GOOD.replace("/etc/shadow", "/etc/ssh**")
    (installed / "policies" / "good.yaml").write_text(warned)
    assert step(CHECK, installed).returncode == Exit.FINDINGS
    done = step(CHECK, installed, fail_on="error")
    assert done.returncode == Exit.CLEAN
    assert done.stdout.startswith("::warning ")


def test_the_action_writes_sarif_beside_the_annotations(installed: Path) -> None:
    (installed / "policies" / "bad.yaml").write_text(BAD)
    assert step(CHECK, installed, sarif="guard.sarif").returncode == Exit.FINDINGS
    results = json.loads((installed / "guard.sarif").read_text())["runs"][0]["results"]
    place = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "policies/bad.yaml"}


def test_inputs_of_the_action_are_names_and_never_programs(installed: Path) -> None:
    name = 'odd $(touch oops) "`.yaml'
    (installed / name).write_text(BAD)
    done = step(CHECK, installed, paths=f"policies\n  {name}\n\n")
    assert done.returncode == Exit.FINDINGS
    assert name in done.stdout
    assert sorted(os.listdir(installed)) == sorted([name, "policies"])


def test_a_path_that_looks_like_an_option_is_a_path(installed: Path) -> None:
    assert step(CHECK, installed, paths="--fix").returncode == Exit.UNABLE


def hook(name: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run a hook as pre-commit does: its entry, with the files that it wants."""
    (found,) = (each for each in HOOKS if each["id"] == name)
    assert found["language"] == "system"
    wanted = [each for each in _files(checkout) if re.search(found["files"], each)]
    return subprocess.run(
        [*shlex.split(found["entry"]), *found.get("args", []), *wanted],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


def _files(checkout: Path) -> Iterator[str]:
    for path in sorted(checkout.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(checkout))


def test_the_check_hook_judges_the_policies_and_nothing_else(checkout: Path) -> None:
    (checkout / "compose.yaml").write_text("services: {}\n")
    (checkout / "policies" / "notes.md").write_text("not a policy")
    done = hook("guard-check", checkout)
    assert (done.returncode, done.stdout) == (Exit.CLEAN, "1 policy, 1 rule: no findings\n")
    (checkout / "policies" / "bad.yml").write_text(BAD)
    done = hook("guard-check", checkout)
    assert done.returncode == Exit.FINDINGS
    assert " --> policies/bad.yml:8:13\n" in done.stdout


def test_the_fix_hook_mends(checkout: Path) -> None:
    (checkout / "policies" / "good.yaml").write_text(BAD)
    done = hook("guard-fix", checkout)
    assert done.returncode == Exit.CLEAN, done.stdout
    assert (checkout / "policies" / "good.yaml").read_text() == GOOD


def test_the_form_hook_writes_the_form(checkout: Path) -> None:
    (checkout / "policies" / "good.yaml").write_text(GOOD.replace("/etc/shadow", "'/etc/shadow'"))
    done = hook("guard-fmt", checkout)
    assert (done.returncode, done.stdout) == (Exit.CLEAN, "changed policies/good.yaml\n")
    assert (checkout / "policies" / "good.yaml").read_text() == GOOD


def test_a_hooks_id_is_given_once() -> None:
    assert len({each["id"] for each in HOOKS}) == len(HOOKS)
