# SPDX-License-Identifier: Apache-2.0
"""Bypasses by which other code comes to run: each row of rows.py, against lists of what may."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Attempt, Enforcer, literal, policy, rule
from tests.kernel.proofs import of_section
from tests.kernel.test_exec import TOOL, deleted, in_memory, run, through_loader
from tests.kernel.test_map import written_and_executed, written_then_executed

pytestmark = pytest.mark.kernel

LIBRARIES = ("/lib/**", "/usr/lib/**", "/lib64/**")


def listed(*programs: Path) -> str:
    """A rule that lets these be executed, and libraries be mapped."""
    return rule("allow", "[exec, map]", *(literal(one) for one in programs), *LIBRARIES)


def prove_unlisted(
    enforcer: Enforcer, act: Callable[[], object], beside: Callable[[], object], *programs: Path
) -> Attempt:
    """``act`` is denied where only ``programs`` may run, which ``beside`` is one of."""
    text = policy(listed(*programs), default="deny")
    audit = policy(listed(*programs), default="deny", name="q", mode="audit")
    enforcer.enforce(of_section("exec", text), of_section("exec", audit))
    free = enforcer.attempt(act, label=None)
    assert (free.errno, free.records) == (0, [])
    watched = enforcer.attempt(act, label=0b10)
    assert watched.errno == 0
    assert {one["verdict"] for one in watched.records} == {"would-deny"}
    neighbour = enforcer.attempt(beside, label=0b01)
    assert (neighbour.errno, neighbour.records) == (0, [])
    denied = enforcer.attempt(act, label=0b01)
    assert denied.errno != 0
    assert denied.record["verdict"] == "denied"
    return denied


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("app", "app-evil"):
        (tmp_path / name).mkdir()
        shutil.copy(TOOL, tmp_path / name / "tool")
    (tmp_path / "script").write_text(f"#!{tmp_path}/app/tool\n")
    (tmp_path / "evil").write_text(f"#!{tmp_path}/app/tool\n")
    for name in ("script", "evil"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("source", [in_memory, deleted])
def test_b20_nameless_code(source: Callable[[Path], int], place: Path, enforcer: Enforcer) -> None:
    tool = place / "app" / "tool"
    denied = prove_unlisted(
        enforcer,
        lambda: run(f"/proc/self/fd/{source(tool)}"),
        lambda: run(tool),
        tool,
    )
    assert denied.errno == errno.EACCES
    assert denied.record["reason"] == "anonymous"


def test_b21_loader(place: Path, enforcer: Enforcer) -> None:
    """The loader may be executed; what it is to run may not be mapped."""
    tool = place / "app" / "tool"
    loader = Path(os.path.realpath("/lib64/ld-linux-x86-64.so.2"))
    denied = prove_unlisted(
        enforcer,
        lambda: through_loader(place / "app-evil" / "tool"),
        lambda: through_loader(tool),
        tool,
        loader,
    )
    assert denied.record["verbs"] == ["map"]


def test_b22_interpreters(place: Path, enforcer: Enforcer) -> None:
    tool = place / "app" / "tool"
    denied = prove_unlisted(
        enforcer,
        lambda: run(place / "evil"),
        lambda: run(place / "script"),
        tool,
        place / "script",
    )
    assert denied.record["object"]["path"] == str(place / "evil")


@pytest.mark.parametrize("act", [written_and_executed, written_then_executed])
def test_b23_written_memory(act: Callable[[Path], None], place: Path, enforcer: Enforcer) -> None:
    tool = place / "app" / "tool"
    denied = prove_unlisted(enforcer, lambda: act(tool), lambda: run(tool), tool)
    assert denied.record["reason"] == "anonymous"


def test_b30_a_copy(place: Path, enforcer: Enforcer) -> None:
    shutil.copy(place / "app" / "tool", place / "copy")
    tool = place / "app" / "tool"
    denied = prove_unlisted(enforcer, lambda: run(place / "copy"), lambda: run(tool), tool)
    assert denied.errno == errno.EACCES


def test_b40_a_prefix(place: Path, enforcer: Enforcer) -> None:
    allowed = rule("allow", "[exec, map]", f"{literal(place)}/app/**", *LIBRARIES)
    enforcer.enforce(of_section("exec", policy(allowed, default="deny")))
    assert enforcer.attempt(run, place / "app" / "tool").errno == 0
    denied = enforcer.attempt(run, place / "app-evil" / "tool")
    assert denied.errno == errno.EACCES
    assert denied.record["object"]["path"] == str(place / "app-evil" / "tool")
