# SPDX-License-Identifier: Apache-2.0
"""What is done with open files: locks, ioctls, flags, mappings, and files that are received."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import struct
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, expect, literal, opened, policy, rule
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel

_SETLEASE = 1024


def posix_lock(path: Path) -> None:
    with path.open("r+") as one:
        fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB)


def flock(path: Path) -> None:
    with path.open() as one:
        fcntl.flock(one, fcntl.LOCK_SH)


def description_lock(path: Path) -> None:
    with path.open() as one:
        fcntl.fcntl(one, 37, struct.pack("=hhqqi4x", fcntl.F_RDLCK, 0, 0, 1, 0))  # F_OFD_SETLK


def lease(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    fcntl.fcntl(fd, _SETLEASE, fcntl.F_RDLCK)
    os.close(fd)


@pytest.mark.parametrize("way", [posix_lock, flock, description_lock, lease])
def test_a_file_is_not_locked(
    way: Callable[[Path], None], tmp_path: Path, enforcer: Enforcer
) -> None:
    for name in ("secret", "beside"):
        (tmp_path / name).write_text("x")
    prove_changes(
        enforcer,
        rule("deny", "lock", literal(tmp_path / "secret")),
        lambda: None,
        lambda: way(tmp_path / "secret"),
        lambda: way(tmp_path / "beside"),
        path=tmp_path / "secret",
        verbs=("lock",),
    )


def test_a_lock_is_let_go(tmp_path: Path, enforcer: Enforcer) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    enforcer.enforce(policy(rule("deny", "lock", literal(tmp_path / "file"))))
    assert enforcer.attempt(fcntl.flock, fd, fcntl.LOCK_UN).errno == 0
    os.close(fd)


def asks_terminal(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    with_buffer = bytearray(64)
    fcntl.ioctl(fd, termios.TCGETS, with_buffer)


def test_a_device_takes_no_requests(enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "ioctl", "/dev/ptmx"),
        lambda: None,
        lambda: asks_terminal(Path("/dev/ptmx")),
        lambda: asks_terminal(Path("/dev/ttyS0")),
        path="/dev/ptmx",
        verbs=("ioctl",),
    )


def test_a_files_flags_are_attributes(disk: Path, enforcer: Enforcer) -> None:
    for name in ("flagged", "beside"):
        (disk / name).touch()

    def chattr(path: Path) -> None:
        fd = os.open(path, os.O_RDONLY)
        fcntl.ioctl(fd, 0x40086602, struct.pack("=q", 0x40))  # FS_IOC_SETFLAGS: nodump

    enforcer.enforce(policy(rule("deny", "setattr", literal(disk / "flagged"))))
    assert enforcer.attempt(chattr, disk / "flagged", label=None).errno == 0
    assert enforcer.attempt(chattr, disk / "beside").errno == 0
    denied = enforcer.attempt(chattr, disk / "flagged")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=disk / "flagged", verbs=("setattr",))


def takes_the_flag_away(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)


def maps_shared(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    mmap.mmap(fd, 4096)


def maps_shared_to_write_later(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    mmap.mmap(fd, 4096, prot=mmap.PROT_READ)


@pytest.mark.parametrize("way", [takes_the_flag_away, maps_shared, maps_shared_to_write_later])
def test_who_may_only_append_does_not_write(
    way: Callable[[Path], None], tmp_path: Path, enforcer: Enforcer
) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(4096))
    enforcer.enforce(policy(rule("allow", "[read, append]", literal(log)), default="deny"))
    assert enforcer.attempt(way, log, label=None).errno == 0
    assert enforcer.attempt(opened, log, os.O_RDWR | os.O_APPEND).errno == 0
    denied = enforcer.attempt(way, log)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=log, verbs=("write",), rule=None, line=6)
    enforcer.enforce(policy(rule("allow", "[read, write]", literal(log)), default="deny"))
    assert enforcer.attempt(way, log).errno == 0


def test_flags_that_keep_appending_are_set(tmp_path: Path, enforcer: Enforcer) -> None:
    log = tmp_path / "log"
    log.touch()

    def act() -> None:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)

    enforcer.enforce(policy(rule("allow", "append", literal(log)), default="deny"))
    assert enforcer.attempt(act).errno == 0


def receive(end: socket.socket) -> int:
    """How many descriptors came."""
    _, fds, _, _ = socket.recv_fds(end, 1, 4)
    for fd in fds:
        os.close(fd)
    return len(fds)


def sent(enforcer: Enforcer, fd: int, label: int | None) -> tuple[object, list[dict[str, object]]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [fd])
        attempt = enforcer.attempt(receive, theirs, label=label)
        assert attempt.errno == 0
        return attempt.value, attempt.records


def test_a_denied_file_is_not_received(tmp_path: Path, enforcer: Enforcer) -> None:
    for name in ("secret", "beside"):
        (tmp_path / name).write_text("x")
    secret, beside = (os.open(tmp_path / name, os.O_RDONLY) for name in ("secret", "beside"))
    denying = rule("deny", "read", literal(tmp_path / "secret"))
    enforcer.enforce(policy(denying), policy(denying, name="q", mode="audit"))
    assert sent(enforcer, secret, None) == (1, [])
    assert sent(enforcer, beside, 0b01) == (1, [])
    count, records = sent(enforcer, secret, 0b10)
    assert (count, [one["verdict"] for one in records]) == (1, ["would-deny"])
    count, records = sent(enforcer, secret, 0b01)
    assert count == 0
    expect(records[0], path=tmp_path / "secret")
    os.close(secret)
    os.close(beside)


def test_what_has_no_name_is_received(enforcer: Enforcer) -> None:
    enforcer.enforce(policy(default="deny"))
    pipe = os.pipe()
    fds = [*pipe, os.memfd_create("x"), os.eventfd(0), socket.socket(socket.AF_UNIX).detach()]
    for fd in fds:
        assert sent(enforcer, fd, -1) == (1, [])
        os.close(fd)


def test_a_path_descriptor_is_received_and_judged_when_it_is_opened(
    tmp_path: Path, enforcer: Enforcer
) -> None:
    (tmp_path / "secret").touch()
    fd = os.open(tmp_path / "secret", os.O_PATH)
    enforcer.enforce(policy(rule("deny", "read", literal(tmp_path / "secret"))))
    assert sent(enforcer, fd, -1) == (1, [])
    assert enforcer.attempt(opened, f"/proc/self/fd/{fd}").errno == errno.EACCES
    os.close(fd)
