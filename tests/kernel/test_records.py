# SPDX-License-Identifier: Apache-2.0
"""Records of real denials: who did it, where, to what, in every format."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit.cgroups import cgroup2_root
from guard.audit.render_cef import render_cef
from guard.audit.render_ecs import ecs
from guard.audit.render_ocsf import ocsf
from guard.audit.render_rfc5424 import render_rfc5424
from tests.audit import strict_cef, strict_rfc5424
from tests.audit.test_render_ecs import check as check_ecs
from tests.audit.test_render_ocsf import check as check_ocsf
from tests.audit.test_schema import VALIDATOR
from tests.kernel.harness import Enforcer, Record, literal, opened, policy, rule

pytestmark = pytest.mark.kernel

CONTAINER = "0123456789abcdef" * 4
PTRACE_ATTACH = 16  # include/uapi/linux/ptrace.h


def valid(record: Record) -> Record:
    """The record, which must be as the schema says, and its renderings as theirs."""
    VALIDATOR.validate(record)
    check_ocsf(ocsf(record))
    check_ecs(ecs(record))
    strict_cef.parse(render_cef(record))
    strict_rfc5424.parse(render_rfc5424(record))
    return record


def with_section(text: str) -> str:
    """A policy's text that allows all files and has another section besides."""
    return policy() + text


def test_a_denied_read_says_who_its_process_is(enforcer: Enforcer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    tagged = rule("deny", "read", literal(secret), more="tags: [T1003.008]")
    enforcer.enforce(policy(tagged))
    denied = enforcer.attempt(opened, secret)
    record = valid(denied.record)
    assert record["object"]["kind"] == "file"
    assert record["rule"]["tags"] == ["T1003.008"]
    process = record["process"]
    assert process["pid"] == denied.pid
    assert (process["user"], process["group"]) == ("root", "root")
    parent = process["ancestors"][0]
    assert parent["pid"] == process["parent"] == os.getpid()
    assert parent["exe"] == os.readlink("/proc/self/exe")
    ticks = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19]
    assert int(parent["start_ns"]) == int(ticks) * (10**9 // os.sysconf("SC_CLK_TCK"))
    assert int(process["start_ns"]) > int(parent["start_ns"])


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group that is named like a container's."""
    root = cgroup2_root(Path("/proc/self/mountinfo").read_text())
    assert root is not None
    made = root / "system.slice" / f"docker-{CONTAINER}.scope"
    made.mkdir(parents=True)
    yield made
    made.rmdir()
    made.parent.rmdir()


def _open_inside(group: str, path: str) -> None:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    opened(path)


def test_a_process_in_a_container_is_told_to_be(
    enforcer: Enforcer, cgroup: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    enforcer.enforce(policy(rule("deny", "read", literal(secret))))
    denied = enforcer.attempt(_open_inside, str(cgroup), str(secret))
    assert denied.errno == errno.EACCES
    process = valid(denied.record)["process"]
    assert process["cgroup"] == str(cgroup.stat().st_ino)
    assert process["cgroup_path"] == f"/system.slice/docker-{CONTAINER}.scope"
    assert process["unit"] == f"docker-{CONTAINER}.scope"
    assert process["container"] == {
        "id": CONTAINER,
        "runtime": "docker",
        "pod": None,
        "delegated": False,
    }


def _trace(pid: int) -> None:
    if ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_ATTACH, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


@contextlib.contextmanager
def victim() -> Iterator[int]:
    """A process that waits, of nobody's policy."""
    release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(release[1])
        os.read(release[0], 1)
        os._exit(0)
    try:
        yield pid
    finally:
        for fd in release:
            os.close(fd)
        os.waitpid(pid, 0)


def test_a_denied_ptrace_says_whose_process_it_was(enforcer: Enforcer) -> None:
    enforcer.enforce(with_section("kernel:\n  deny: [ptrace]\n"))
    with victim() as pid:
        denied = enforcer.attempt(_trace, pid)
        exe = os.readlink(f"/proc/{pid}/exe")
    assert denied.errno in (errno.EPERM, errno.EACCES)
    record = valid(denied.record)
    assert (record["event"], record["verbs"]) == ("kernel.ptrace", ["ptrace"])
    target = record["object"]["target"]
    assert (target["pid"], target["exe"]) == (pid, exe)


def test_a_denied_program_is_told_by_its_hash(enforcer: Enforcer, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    shutil.copy("/bin/true", tool)
    denying = rule("deny", "exec", literal(tool))
    enforcer.enforce(policy(denying).replace("\nfile:\n", "\nexec:\n"))

    def start() -> None:
        os.execv(tool, [str(tool)])  # noqa: S606 - the exec is the test

    # A hash that comes too late for one record is there for another: nobody waits long.
    for _ in range(50):
        found = enforcer.attempt(start)
        assert found.errno == errno.EACCES
        told = valid(found.record)["object"]["hash"]
        if told["note"] != "busy":
            break
    assert told == {"sha256": hashlib.sha256(tool.read_bytes()).hexdigest(), "note": None}
