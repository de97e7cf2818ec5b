# SPDX-License-Identifier: Apache-2.0
"""Subjects with sha256: what may be started at their paths, by what it holds."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from guard.plan.gates import CONTENTS
from tests.kernel.harness import Enforcer, expect, literal, policy

pytestmark = pytest.mark.kernel

TOOL, OTHER_TOOL = "/bin/true", "/bin/echo"


def digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def pinned(*paths: Path, to: str, name: str = "p", mode: str = "enforce", more: str = "") -> str:
    """A policy for what runs at these paths, if it has these contents; its rules do not matter."""
    exe = json.dumps([literal(path) for path in paths])
    return policy(name=name, mode=mode, subject=f"{{exe: {exe}, sha256: {to}{more}}}")


def run(path: str | Path) -> None:
    os.execv(path, [str(path)])  # noqa: S606 - the exec is the test


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    shutil.copy(TOOL, tmp_path / "tool")
    shutil.copy(OTHER_TOOL, tmp_path / "beside")
    return tmp_path / "tool"


def refused(enforcer: Enforcer, path: Path, start: Path | None = None) -> None:
    found = enforcer.attempt(run, start or path, label=None)
    assert found.errno == errno.EACCES, found
    expect(found.record, path=path, verbs=("exec",), rule=None, line=4, reason="contents")


def test_other_contents_at_the_subjects_path_are_not_started(
    tool: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(pinned(tool, to=f'"{digest(tool)}"'))
    free = enforcer.attempt(run, tool, label=None)
    assert (free.errno, free.records) == (0, [])
    shutil.copy(OTHER_TOOL, tool)
    refused(enforcer, tool)
    beside = enforcer.attempt(run, tool.parent / "beside", label=None)
    assert (beside.errno, beside.records) == (0, [])


def test_without_sha256_they_are(tool: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(policy(subject=f"{{exe: {json.dumps(literal(tool))}}}"))
    shutil.copy(OTHER_TOOL, tool)
    free = enforcer.attempt(run, tool, label=None)
    assert (free.errno, free.records) == (0, [])


def test_audit_records_and_starts_them(tool: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(pinned(tool, to=f'"{digest(OTHER_TOOL)}"', mode="audit"))
    found = enforcer.attempt(run, tool, label=None)
    assert found.errno == 0
    assert (found.record["verdict"], found.record["reason"]) == ("would-deny", "contents")


def test_one_of_several_hashes_will_do(tool: Path, enforcer: Enforcer) -> None:
    both = f'["{digest(tool)}", "{digest(OTHER_TOOL)}"]'
    enforcer.enforce(pinned(tool, to=both))
    assert enforcer.attempt(run, tool, label=None).errno == 0
    shutil.copy(OTHER_TOOL, tool)
    assert enforcer.attempt(run, tool, label=None).errno == 0
    with tool.open("ab") as stream:
        stream.write(b"\n")
    refused(enforcer, tool)


def test_one_policys_hash_is_not_anothers(tool: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(
        pinned(tool, to=f'"{digest(OTHER_TOOL)}"'),
        pinned(tool.parent / "beside", to=f'"{digest(tool)}"', name="q"),
    )
    refused(enforcer, tool)


@pytest.mark.parametrize("interpreter", [False, True])
def test_a_script_and_its_interpreter_are_each_asked(
    interpreter: bool, tool: Path, enforcer: Enforcer
) -> None:
    script = tool.parent / "script"
    script.write_text(f"#!{tool}\n")
    script.chmod(0o755)
    subject = tool if interpreter else script
    enforcer.enforce(pinned(subject, to=f'"{digest(subject)}"'))
    assert enforcer.attempt(run, script, label=None).errno == 0
    with subject.open("ab") as stream:
        stream.write(b"\n")
    refused(enforcer, subject, script)


def test_the_same_contents_by_another_name_of_the_file_are_asked_by_that_name(
    tool: Path, enforcer: Enforcer
) -> None:
    """A subject is a path: what is run by another has its own."""
    os.link(tool, tool.parent / "alias")
    enforcer.enforce(pinned(tool, to=f'"{digest(OTHER_TOOL)}"'))
    refused(enforcer, tool)
    free = enforcer.attempt(run, tool.parent / "alias", label=None)
    assert (free.errno, free.records) == (0, [])


def test_a_file_that_takes_the_paths_place_is_asked(tool: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(pinned(tool, to=f'"{digest(tool)}"'))
    os.rename(tool.parent / "beside", tool)
    refused(enforcer, tool)


def test_the_policy_holds_for_what_was_started(tool: Path, enforcer: Enforcer) -> None:
    denied = tool.parent / "denied"
    denied.write_text("secret")
    shutil.copy("/bin/cat", tool)
    text = pinned(tool, to=f'"{digest(tool)}"')
    text += f"  rules:\n    - {{id: it, deny: read, path: {json.dumps(literal(denied))}}}\n"
    enforcer.enforce(text)

    def read() -> None:
        os.execv(tool, [str(tool), str(denied)])  # noqa: S606 - the exec is the test

    found = enforcer.attempt(read, label=None)
    assert found.errno == 1  # cat's own
    expect(found.record, path=denied)


def test_the_canary_is_caught_whatever_policies_are_in_force(
    tool: Path, enforcer: Enforcer
) -> None:
    assert CONTENTS in enforcer.session.engine.gates
    for text in (pinned(tool, to=f'"{digest(tool)}"'), policy()):
        enforcer.enforce(text)
        assert [one for one in enforcer.session.canaries() if one.problem is not None] == []
