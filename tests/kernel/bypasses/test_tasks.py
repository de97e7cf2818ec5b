# SPDX-License-Identifier: Apache-2.0
"""Bypasses by being somebody else, by reaching into others, by going below the files, and by
what a call is told twice: rows of rows.py with their twins.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import Enforcer, literal, opened, policy, prove, rule
from tests.kernel.lab import compile_program
from tests.kernel.operations import module_from_file, read_memory
from tests.kernel.test_operations import kernel, told

pytestmark = pytest.mark.kernel

_NEWPID_USER = calls.NEWPID | calls.NEWUSER
TRIES = 1_000_000 if os.environ.get("GUARD_STRESS") == "1" else 30_000


def _in_new_spaces(flags: int, path: Path) -> None:
    """Become root of name spaces of one's own, and let a child of them open."""
    calls.unshare(flags)
    pid = os.fork()
    if pid == 0:
        try:
            opened(path)
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, "in the child")


@pytest.mark.parametrize("flags", [_NEWPID_USER, calls.NEWUSER | calls.NEWNS])
def test_b28_name_spaces_of_ones_own(flags: int, files: Path, enforcer: Enforcer) -> None:
    top = files / "top"
    for path in (top / "secret", top / "other"):
        path.chmod(0o644)
    prove(enforcer, lambda path: _in_new_spaces(flags, path), top / "secret", top / "other")


def test_b29_a_name_that_one_gives_oneself(files: Path, enforcer: Enforcer) -> None:
    def renamed(path: Path) -> None:
        Path("/proc/self/comm").write_text("guard")
        opened(path)

    prove(enforcer, renamed, files / "top" / "secret", files / "top" / "other", comm="guard")


def _write_memory() -> None:
    """process_vm_writev to the parent, of what it has there already: nothing."""
    cell = ctypes.create_string_buffer(b"x", 1)
    here = struct.pack("=QQ", ctypes.addressof(cell), 1)
    _nothing_there(311, here, struct.pack("=QQ", 0, 1))


def _nothing_there(number: int, here: bytes, there: bytes) -> None:
    try:
        calls.by_number(number, os.getppid(), here, 1, there, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise


def _take_descriptor() -> None:
    pidfd = os.pidfd_open(os.getppid())
    os.close(calls.by_number(438, pidfd, 0, 0))


def _seize() -> None:
    """PTRACE_SEIZE and let go: the parent does not notice."""
    calls.by_number(101, 0x4206, os.getppid(), 0, 0)


REACHES: dict[str, Callable[[], None]] = {
    "ptrace": _seize,
    "process_vm_writev": _write_memory,
    "/proc/PID/mem": read_memory,
    "pidfd_getfd": _take_descriptor,
}


@pytest.mark.parametrize("how", REACHES)
def test_b31_reaching_into_another_process(how: str, enforcer: Enforcer) -> None:
    """The parent, which is under no policy; a process under the same one may be reached."""
    enforcer.enforce(
        kernel("{id: it, deny: [ptrace]}"),
        kernel("{id: it, deny: [ptrace]}", name="q", mode="audit"),
    )
    act = REACHES[how]
    free = enforcer.attempt(act, label=None)
    assert (free.errno, free.records) == (0, [])
    watched = enforcer.attempt(act, label=0b10)
    assert watched.errno == 0
    expected = ("kernel.ptrace", "would-deny", None, "q", "it")
    assert [told(one) for one in watched.records] == [expected]
    denied = enforcer.attempt(act, label=0b01)
    assert denied.errno in (errno.EPERM, errno.EACCES)
    assert told(denied.records[0]) == ("kernel.ptrace", "denied", "EPERM", "p", "it")

    def from_below() -> None:
        """The same done to a parent that is under the same policies."""
        pid = os.fork()
        if pid == 0:
            try:
                act()
            except OSError as error:
                os._exit(error.errno or 255)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise OSError(code, "in the child")

    inside = enforcer.attempt(from_below, label=0b01)
    assert (inside.errno, inside.records) == (0, [])


def test_b33_devices_that_hold_files_and_memory(tmp_path: Path, enforcer: Enforcer) -> None:
    """A node of one's own is another name: it is not made, and device nodes are not opened."""
    disk, twin = tmp_path / "disk", tmp_path / "null"
    os.mknod(disk, 0o600 | 0o060000, os.makedev(7, 0))  # the first loop device
    twin.touch()
    prove(enforcer, _opened_device, disk, twin, patterns=[literal(disk), "/dev/loop*", "/dev/mem"])

    def make() -> None:
        path = tmp_path / f"own-{os.getpid()}"
        os.mknod(path, 0o600 | 0o060000, os.makedev(7, 0))
        path.unlink()

    enforcer.enforce(policy(rule("deny", "mkdev", "/**")))
    assert enforcer.attempt(make, label=None).errno == 0
    denied = enforcer.attempt(make)
    assert denied.errno == errno.EACCES
    assert denied.record["verbs"] == ["mkdev"]
    enforcer.enforce(kernel("{id: it, deny: [module]}"))
    assert enforcer.attempt(module_from_file, label=None).errno == errno.ENOEXEC
    loading = enforcer.attempt(module_from_file)
    assert loading.errno == errno.EPERM
    assert told(loading.records[0]) == ("kernel.module", "denied", "EPERM", "p", "it")


def _opened_device(path: Path) -> None:
    """Open; a device that has nothing behind it (ENXIO) was opened as far as guard goes."""
    try:
        opened(path)
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENODEV):
            raise


def test_b36_a_path_changed_under_the_call_is_never_reached(
    tmp_path: Path, enforcer: Enforcer
) -> None:
    (tmp_path / "nay").write_text("denied")
    (tmp_path / "yea").write_text("allowed")
    program = compile_program("flip", tmp_path)

    def flip() -> list[int]:
        command = [str(program), str(tmp_path / "nay"), str(tmp_path / "yea"), str(TRIES)]
        done = subprocess.run(command, capture_output=True, check=True)
        return [int(word) for word in done.stdout.split()]

    enforcer.enforce(policy(rule("deny", "read", literal(tmp_path / "nay"))))
    wrong, right, _ = enforcer.attempt(flip, label=None).value
    assert wrong and right, "the path did not change while it was used"
    wrong, right, refused = enforcer.attempt(flip).value
    print(f"{right} opens of the allowed file, {refused} refused")
    assert wrong == 0, "a leak"
    assert right and refused


def test_b19_what_many_others_did_makes_no_difference(files: Path, enforcer: Enforcer) -> None:
    """No label is lost to make room for others, and no pid's next user has one."""
    secret = files / "top" / "secret"
    enforcer.enforce(policy(rule("deny", "read", literal(secret))))
    waiting = enforcer.start(_waits_and_opens, secret)
    waiting.await_word()
    for _ in range(TRIES // 100):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    assert waiting.finish().errno == errno.EACCES
    assert enforcer.attempt(opened, secret, label=None).errno == 0


def _waits_and_opens(path: Path) -> None:
    os.write(1, b"+")
    os.read(0, 1)
    opened(path)
