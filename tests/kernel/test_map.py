# SPDX-License-Identifier: Apache-2.0
"""What may be mapped to be executed: files, memory, and memory that was written first."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Attempt, Enforcer, expect, literal, policy, rule
from tests.kernel.proofs import of_section, prove_changes

pytestmark = pytest.mark.kernel

READ, WRITE, EXEC = 1, 2, 4
SHARED, PRIVATE, ANONYMOUS = 1, 2, 0x20
SIZE = 4096
READ_IMPLIES_EXEC = 0x0400000

_C = ctypes.CDLL(None, use_errno=True)
_C.mmap.restype = ctypes.c_void_p
_C.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_C.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def mapped(fd: int, protection: int, flags: int) -> int:
    at = _C.mmap(None, SIZE, protection, flags, fd, 0)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    assert isinstance(at, int)
    return at


def protect(at: int, protection: int) -> None:
    if _C.mprotect(at, SIZE, protection):
        raise OSError(ctypes.get_errno(), "mprotect")


def of_file(path: Path) -> None:
    mapped(os.open(path, os.O_RDONLY), READ | EXEC, PRIVATE)


def of_file_later(path: Path) -> None:
    protect(mapped(os.open(path, os.O_RDONLY), READ, PRIVATE), READ | EXEC)


def of_file_shared(path: Path) -> None:
    mapped(os.open(path, os.O_RDONLY), READ | EXEC, SHARED)


def implied(path: Path) -> None:
    _C.personality(READ_IMPLIES_EXEC)
    mapped(os.open(path, os.O_RDONLY), READ, PRIVATE)


@pytest.mark.parametrize("way", [of_file, of_file_later, of_file_shared, implied])
def test_a_file_is_not_mapped(
    way: Callable[[Path], None], tmp_path: Path, enforcer: Enforcer
) -> None:
    for name in ("code", "beside"):
        (tmp_path / name).write_bytes(bytes(SIZE))
    prove_changes(
        enforcer,
        rule("deny", "map", literal(tmp_path / "code")),
        lambda: None,
        lambda: way(tmp_path / "code"),
        lambda: way(tmp_path / "beside"),
        path=tmp_path / "code",
        verbs=("map",),
        section="exec",
    )


def written_and_executed(path: Path) -> None:
    mapped(-1, READ | WRITE | EXEC, PRIVATE | ANONYMOUS)


def written_then_executed(path: Path) -> None:
    at = mapped(-1, READ | WRITE, PRIVATE | ANONYMOUS)
    ctypes.memset(at, 0xC3, SIZE)
    protect(at, READ | EXEC)


def shared_memory(path: Path) -> None:
    mapped(-1, READ | EXEC, SHARED | ANONYMOUS)


def of_zeroes(path: Path) -> None:
    at = mapped(os.open("/dev/zero", os.O_RDWR), READ | WRITE, PRIVATE)
    ctypes.memset(at, 0xC3, SIZE)
    protect(at, READ | EXEC)


def of_a_file_that_was_written_over(path: Path) -> None:
    at = mapped(os.open(path, os.O_RDONLY), READ | WRITE, PRIVATE)
    ctypes.memset(at, 0xC3, SIZE)
    protect(at, READ | EXEC)


def of_code_made_writable(path: Path) -> None:
    protect(mapped(os.open(path, os.O_RDONLY), READ | EXEC, PRIVATE), READ | WRITE | EXEC)


def of_a_file_writable_and_executable(path: Path) -> None:
    mapped(os.open(path, os.O_RDONLY), READ | WRITE | EXEC, PRIVATE)


def segment(path: Path) -> None:
    number = _C.shmget(0, SIZE, 0o1700)
    _C.shmat.restype = ctypes.c_void_p
    at = _C.shmat(number, None, 0o100000)
    failed = ctypes.get_errno() if at == ctypes.c_void_p(-1).value else 0
    _C.shmctl(number, 0, None)
    if failed:
        raise OSError(failed, "shmat")


def in_memory(path: Path) -> None:
    fd = os.memfd_create("code")
    os.truncate(fd, SIZE)
    mapped(fd, READ | EXEC, SHARED)


def personality(path: Path) -> None:
    _C.personality(READ_IMPLIES_EXEC)
    mapped(-1, READ | WRITE, PRIVATE | ANONYMOUS)


MEMORY = [
    written_and_executed,
    written_then_executed,
    shared_memory,
    of_zeroes,
    of_a_file_that_was_written_over,
    of_code_made_writable,
    of_a_file_writable_and_executable,
    segment,
    in_memory,
    personality,
]


@pytest.mark.parametrize("way", MEMORY, ids=lambda way: way.__name__.replace("_", " "))
def test_memory_is_not_executed(
    way: Callable[[Path], None], tmp_path: Path, enforcer: Enforcer
) -> None:
    path = tmp_path / "code"
    path.write_bytes(bytes(SIZE))
    denying = rule("deny", "map", "anonymous")
    enforcer.enforce(
        of_section("exec", policy(denying)),
        of_section("exec", policy(denying, name="q", mode="audit")),
    )
    free = enforcer.attempt(way, path, label=None)
    assert (free.errno, free.records) == (0, [])
    watched = enforcer.attempt(way, path, label=0b10)
    assert watched.errno == 0
    assert [one["verdict"] for one in watched.records] == ["would-deny"]
    beside = enforcer.attempt(of_file, path, label=0b01)
    assert (beside.errno, beside.records) == (0, [])
    denied = enforcer.attempt(way, path, label=0b01)
    assert denied.errno == errno.EACCES
    said_anonymous(denied)


def said_anonymous(denied: Attempt) -> None:
    record = denied.record
    assert (record["verbs"], record["reason"]) == (["map"], "anonymous")
    assert record["rule"]["id"] == "it"


def test_a_library_is_mapped_as_a_loader_does(tmp_path: Path, enforcer: Enforcer) -> None:
    """Code from the file, data that is written to, and relocations made read-only."""
    path = tmp_path / "library"
    path.write_bytes(bytes(SIZE))

    def load() -> None:
        fd = os.open(path, os.O_RDONLY)
        mapped(fd, READ | EXEC, PRIVATE)
        data = mapped(fd, READ | WRITE, PRIVATE)
        ctypes.memset(data, 1, SIZE)
        protect(data, READ)

    enforcer.enforce(
        of_section("exec", policy(rule("allow", "map", literal(path)), default="deny"))
    )
    done = enforcer.attempt(load)
    assert (done.errno, done.records) == (0, [])


def test_what_is_denied_by_its_file_is_denied_as_writable_code_too(
    tmp_path: Path, enforcer: Enforcer
) -> None:
    path = tmp_path / "code"
    path.write_bytes(bytes(SIZE))
    enforcer.enforce(of_section("exec", policy(rule("deny", "map", literal(path)))))
    denied = enforcer.attempt(of_a_file_writable_and_executable, path)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=path, verbs=("map",))
