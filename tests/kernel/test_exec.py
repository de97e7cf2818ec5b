# SPDX-License-Identifier: Apache-2.0
"""What may be run: programs, scripts and their interpreters, files without a name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, policy, rule
from tests.kernel.proofs import of_section, prove_changes

pytestmark = pytest.mark.kernel

TOOL = "/bin/true"


def nothing() -> None:
    """Executing a file changes nothing about it."""


def run(path: str | Path, *arguments: str | Path) -> None:
    os.execv(path, [str(path), *map(str, arguments)])  # noqa: S606 - the exec is the test


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    for name in ("tool", "beside"):
        shutil.copy(TOOL, tmp_path / name)
    for name in ("script", "other"):
        (tmp_path / name).write_text(f"#!{tmp_path}/beside\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "by-tool").write_text(f"#!{tmp_path}/tool\n")
    (tmp_path / "by-tool").chmod(0o755)
    return tmp_path


def by_descriptor(path: Path) -> None:
    fd = os.open(path, os.O_PATH)
    os.execve(fd, [str(path)], {})  # noqa: S606 - the exec is the test


def through_loader(path: Path) -> None:
    run("/lib64/ld-linux-x86-64.so.2", path)


@pytest.mark.parametrize("way", [run, by_descriptor])
def test_a_program_is_not_run(way: Callable[[Path], None], tools: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "exec", literal(tools / "tool")),
        nothing,
        lambda: way(tools / "tool"),
        lambda: way(tools / "beside"),
        path=tools / "tool",
        verbs=("exec",),
        section="exec",
    )


def test_a_script_is_not_run(tools: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "exec", literal(tools / "script")),
        nothing,
        lambda: run(tools / "script"),
        lambda: run(tools / "other"),
        path=tools / "script",
        verbs=("exec",),
        section="exec",
    )


def test_a_script_is_not_run_by_a_denied_interpreter(tools: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "exec", literal(tools / "tool")),
        nothing,
        lambda: run(tools / "by-tool"),
        lambda: run(tools / "script"),
        path=tools / "tool",
        verbs=("exec",),
        section="exec",
    )


def test_a_program_is_not_run_by_the_loader(tools: Path, enforcer: Enforcer) -> None:
    """The loader maps it; it says so and fails with a status of its own."""
    denying = rule("deny", "map", literal(tools / "tool"))
    enforcer.enforce(of_section("exec", policy(denying)))
    assert enforcer.attempt(through_loader, tools / "tool", label=None).errno == 0
    assert enforcer.attempt(through_loader, tools / "beside").errno == 0
    denied = enforcer.attempt(through_loader, tools / "tool")
    assert denied.errno != 0
    assert denied.record["verbs"] == ["map"]
    assert denied.record["object"]["path"] == str(tools / "tool")
    # What may not be mapped may still be executed: that is another verb.
    assert enforcer.attempt(run, tools / "tool").errno == 0


def test_a_denied_library_is_not_preloaded(tools: Path, enforcer: Enforcer) -> None:
    library = tools / "evil.so"
    shutil.copy(next(Path("/lib/x86_64-linux-gnu").glob("libm.so*")), library)

    def preload() -> None:
        os.execve(  # noqa: S606 - the exec is the test
            tools / "tool", ["tool"], {"LD_PRELOAD": str(library)}
        )

    enforcer.enforce(of_section("exec", policy(rule("deny", "map", literal(library)))))
    denied = enforcer.attempt(preload)
    assert denied.record["verbs"] == ["map"]
    assert denied.record["object"]["path"] == str(library)


def in_memory(path: Path) -> int:
    fd = os.memfd_create("tool")
    os.write(fd, path.read_bytes())
    return fd


def without_a_name(path: Path) -> int:
    fd = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o700)
    os.write(fd, path.read_bytes())
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)


def deleted(path: Path) -> int:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    fd = os.open(copy, os.O_RDONLY)
    copy.unlink()
    return fd


@pytest.mark.parametrize("source", [in_memory, without_a_name, deleted])
def test_a_file_without_a_name_is_not_run(
    source: Callable[[Path], int], tools: Path, enforcer: Enforcer
) -> None:
    def act(path: Path) -> None:
        fd = source(path)
        if source is without_a_name:
            # The descriptor that it was written by must not be open.
            for other in range(3, fd):
                if other != fd and os.path.realpath(f"/proc/self/fd/{other}").startswith("/tmp/"):
                    os.close(other)
        os.execve(fd, ["tool"], {})  # noqa: S606 - the exec is the test

    enforcer.enforce(
        of_section("exec", policy(rule("deny", "exec", "anonymous"))),
        of_section("exec", policy(rule("deny", "exec", "anonymous"), name="q", mode="audit")),
    )
    assert enforcer.attempt(act, tools / "tool", label=None).errno == 0
    watched = enforcer.attempt(act, tools / "tool", label=0b10)
    assert watched.errno == 0
    assert (watched.record["verdict"], watched.record["reason"]) == ("would-deny", "anonymous")
    assert enforcer.attempt(run, tools / "tool", label=0b01).errno == 0
    denied = enforcer.attempt(act, tools / "tool", label=0b01)
    assert denied.errno == errno.EACCES
    assert (denied.record["verdict"], denied.record["reason"]) == ("denied", "anonymous")
    assert denied.record["rule"]["id"] == "it"


def test_only_what_is_listed_is_run(tools: Path, enforcer: Enforcer) -> None:
    listed = rule("allow", "[exec, map]", f"{literal(tools)}/beside", "/lib/**", "/usr/lib/**")
    enforcer.enforce(of_section("exec", policy(listed, default="deny")))
    assert enforcer.attempt(run, tools / "beside").errno == 0

    def from_memory(path: Path) -> None:
        run(f"/proc/self/fd/{in_memory(path)}")

    for act in (run, from_memory):
        denied = enforcer.attempt(act, tools / "tool")
        assert denied.errno == errno.EACCES
    shutil.copytree(tools, tools.with_name("evil"))
    assert enforcer.attempt(run, tools.with_name("evil") / "beside").errno == errno.EACCES
