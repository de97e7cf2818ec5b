# SPDX-License-Identifier: Apache-2.0
"""Every way to a protected file leads to the same verdict: paths are what the host
names the object, however the caller came to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import (
    DRIVERS,
    Enforcer,
    drive,
    expect,
    literal,
    opened,
    policy,
    prove,
    rule,
)

pytestmark = pytest.mark.kernel


def through_symlink(path: str) -> None:
    link = f"{path}.link"
    with contextlib.suppress(FileExistsError):
        os.symlink(path, link)
    opened(link)


def through_root(path: str) -> None:
    opened(f"/proc/self/root{path}")


def through_cwd(path: str) -> None:
    os.chdir(os.path.dirname(path))
    opened(f"/proc/self/cwd/{os.path.basename(path)}")


def through_thread_root(path: str) -> None:
    opened(f"/proc/{os.getppid()}/root{path}")


def through_descriptor_of_directory(path: str) -> None:
    directory = os.open(os.path.dirname(path), os.O_PATH)
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=directory))


def through_path_descriptor(path: str) -> None:
    opened(f"/proc/self/fd/{os.open(path, os.O_PATH)}")


def through_thread_self(path: str) -> None:
    opened(f"/proc/thread-self/fd/{os.open(path, os.O_PATH)}")


def through_dev_fd(path: str) -> None:
    opened(f"/dev/fd/{os.open(path, os.O_PATH)}")


def through_dots(path: str) -> None:
    directory, name = os.path.split(path)
    opened(f"{directory}/./..//{os.path.basename(directory)}/{name}")


def through_openat2(path: str) -> None:
    calls.openat2(path, os.O_RDONLY)


def through_handle(path: str) -> None:
    calls.open_by_handle(path)


def through_chroot(path: str) -> None:
    os.chroot(os.path.dirname(path))
    opened(f"/{os.path.basename(path)}")


def through_descriptor_out_of_chroot(path: str) -> None:
    directory = os.open(os.path.dirname(path), os.O_PATH)
    os.chroot("/proc")
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=directory))


def through_name_space(path: str) -> None:
    calls.unshare_mounts()
    opened(path)


def through_user_name_space(path: str) -> None:
    calls.unshare(calls.NEWUSER | calls.NEWNS)
    opened(path)


def through_pid_name_space(path: str) -> None:
    calls.unshare(calls.NEWPID)
    pid = os.fork()
    if pid == 0:
        try:
            opened(path)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, "in the child")


def through_private_bind_mount(path: str) -> None:
    calls.unshare_mounts()
    calls.mount(os.path.dirname(path), "/mnt", "bind")
    opened(f"/mnt/{os.path.basename(path)}")


def through_file_bound_over_another(path: str) -> None:
    calls.unshare_mounts()
    calls.mount(path, "/etc/hostname", "bind")
    opened("/etc/hostname")


def through_moved_mount(path: str) -> None:
    calls.unshare_mounts()
    calls.mount("/tmp", "/mnt", "move")
    opened(f"/mnt{path.removeprefix('/tmp')}")


def through_detached_mount(path: str) -> None:
    calls.unshare_mounts()
    tree = calls.open_tree_clone(os.path.dirname(path))
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=tree))


ROUTES = [
    through_symlink,
    through_root,
    through_cwd,
    through_thread_root,
    through_descriptor_of_directory,
    through_path_descriptor,
    through_thread_self,
    through_dev_fd,
    through_dots,
    through_openat2,
    through_handle,
    through_chroot,
    through_descriptor_out_of_chroot,
    through_name_space,
    through_user_name_space,
    through_private_bind_mount,
    through_file_bound_over_another,
    through_moved_mount,
    through_detached_mount,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__.replace("_", " "))
def test_a_file_is_denied(route: object, files: Path, enforcer: Enforcer) -> None:
    assert callable(route)
    path, neighbour = files / "top" / "secret", files / "top" / "other"
    prove(enforcer, lambda one: route(str(one)), path, neighbour)


def test_a_file_is_denied_in_a_name_space_of_processes(files: Path, enforcer: Enforcer) -> None:
    denied = prove(
        enforcer,
        lambda one: through_pid_name_space(str(one)),
        files / "top" / "secret",
        files / "top" / "other",
    )
    # As the host numbers it, not as the process does itself.
    assert denied.record["process"]["parent"] == denied.pid
    assert denied.record["process"]["pid"] != 1


@pytest.mark.parametrize("way", ["inline", "async", "sqpoll"])
def test_a_file_is_denied_to_io_uring(way: str, files: Path, enforcer: Enforcer) -> None:
    exe = str(DRIVERS / "uring")
    denied = prove(
        enforcer,
        lambda path: drive("uring", way, path),
        files / "top" / "secret",
        files / "top" / "other",
        exe=exe,
    )
    assert denied.record["process"]["pid"] == denied.pid
    # io_uring's workers name themselves; an open that may block is theirs in any way.
    assert denied.record["process"]["comm"].startswith("iou-")


def test_a_descriptor_opened_for_reading_is_not_reopened_for_writing(
    files: Path, enforcer: Enforcer
) -> None:
    path = files / "top" / "secret"

    def act() -> None:
        fd = os.open(path, os.O_RDONLY)
        opened(f"/proc/self/fd/{fd}", os.O_RDWR)

    enforcer.enforce(policy(rule("deny", "write", literal(path))))
    assert enforcer.attempt(act, label=None).errno == 0
    denied = enforcer.attempt(act)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=path, verbs=("read", "write"))


def test_the_path_follows_a_rename_of_a_parent(files: Path, enforcer: Enforcer) -> None:
    old, new = files / "top", files / "moved"
    names = [str(old / "secret"), str(new / "secret")]
    enforcer.enforce(
        policy(
            rule("deny", "read", literal(names[0]), id="old"),
            rule("deny", "write", literal(names[1]), id="new"),
        )
    )

    def reopen() -> list[int]:
        """Through a directory that is known by descriptor, whatever its name is now."""
        found = []
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.close(os.open("secret", flags, dir_fd=holder))
                found.append(0)
            except OSError as error:
                found.append(error.errno or -1)
        return found

    holder = os.open(old, os.O_PATH)
    before = enforcer.attempt(reopen)
    assert before.value == [errno.EACCES, 0]
    expect(before.record, path=names[0], rule="old")
    os.rename(old, new)
    after = enforcer.attempt(reopen)
    assert after.value == [0, errno.EACCES]
    expect(after.record, path=names[1], rule="new", line=9, verbs=("write",))
    os.close(holder)
