# SPDX-License-Identifier: Apache-2.0
"""Programs' hashes: of the right file and content, or a note; whatever the file does."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit import devices, hashes
from guard.audit.devices import LocalDevices
from guard.audit.hashes import Hashes
from guard.audit.objects import Hash, HashNote

LATER = 2**62  # an event long after any file was written
CONTENT = b"#!/bin/sh\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests wait for the thread's answer, however slow the machine is."""
    monkeypatch.setattr(hashes, "WAIT", 60.0)
    monkeypatch.setattr(hashes, "WAIT_A_SECOND", 1e9)


def made(local: bool = True) -> Hashes:
    return Hashes(lambda boot_ns: boot_ns, lambda _device: local)


def identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return os.major(status.st_dev) << 20 | os.minor(status.st_dev), status.st_ino


def ask(of: Hashes, path: Path, boot_ns: int = LATER) -> Hash:
    return of.of(os.fsencode(path), *identity(path), boot_ns)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(CONTENT)
    return path


def test_a_program_is_hashed(program: Path) -> None:
    assert ask(made(), program) == Hash(DIGEST, None)


def test_an_empty_one_too(program: Path) -> None:
    program.write_bytes(b"")
    assert ask(made(), program).sha256 == hashlib.sha256(b"").hexdigest()


def test_one_of_many_chunks_too(program: Path) -> None:
    content = os.urandom(3 * hashes._CHUNK + 7)
    program.write_bytes(content)
    assert ask(made(), program).sha256 == hashlib.sha256(content).hexdigest()


def test_what_was_written_after_the_event_is_said_to_be(program: Path) -> None:
    written = os.stat(program).st_ctime_ns
    of = made()
    assert ask(of, program, written - 1) == Hash(DIGEST, HashNote.CHANGED)
    # The kernel's file times lag: within a tick it may have been after.
    assert ask(of, program, written + hashes.TICK_NS) == Hash(DIGEST, HashNote.CHANGED)
    assert ask(of, program, written + hashes.TICK_NS + 1) == Hash(DIGEST, None)


def test_a_changed_program_is_hashed_anew(program: Path) -> None:
    of = made()
    ask(of, program)
    program.write_bytes(b"other")
    os.utime(program, ns=(1, 1))  # mtime can be set back, ctime cannot
    assert ask(of, program).sha256 == hashlib.sha256(b"other").hexdigest()


def test_a_known_program_is_not_read_again(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = made()
    ask(of, program)
    monkeypatch.setattr(hashes, "_digest", lambda *_: pytest.fail("read again"))
    assert ask(of, program) == Hash(DIGEST, None)


def test_another_file_in_its_place_is_not_taken_for_it(program: Path) -> None:
    device, inode = identity(program)
    name, of = os.fsencode(program), made()
    assert of.of(name, device, inode + 1, LATER) == Hash(None, HashNote.ANOTHER)
    assert of.of(name, device + 1, inode, LATER) == Hash(None, HashNote.ANOTHER)
    other = program.with_name("other")
    program.rename(other)
    program.symlink_to(other)
    assert of.of(name, device, inode, LATER) == Hash(None, HashNote.ANOTHER)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    of = made()
    fifo, folder = tmp_path / "fifo", tmp_path / "folder"
    os.mkfifo(fifo)
    folder.mkdir()
    for path in (fifo, folder):
        assert ask(of, path) == Hash(None, HashNote.NOT_REGULAR)


@pytest.mark.parametrize("path", [b"/none/such", b"/etc/passwd/x", b"/a\0b", b""])
def test_what_is_gone_is_said_to_be(path: bytes) -> None:
    assert made().of(path, 1, 1, LATER) == Hash(None, HashNote.GONE)


def test_a_name_that_is_too_long_is_unreadable() -> None:
    assert made().of(b"/" + b"x" * 5000, 1, 1, LATER) == Hash(None, HashNote.UNREADABLE)


def test_a_large_one_is_not_read(program: Path) -> None:
    os.truncate(program, hashes.SIZE_LIMIT + 1)
    assert ask(made(), program) == Hash(None, HashNote.TOO_LARGE)


def test_so_many_bytes_a_second_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "BYTES_A_SECOND", 25)
    now = 100.0
    of = Hashes(lambda boot_ns: boot_ns, lambda _device: True, lambda: now)
    paths = [tmp_path / str(number) for number in range(3)]
    for path in paths:
        path.write_bytes(CONTENT)
    assert [ask(of, path).note for path in paths] == [None, None, HashNote.BUSY]
    now += 1
    assert ask(of, paths[2]) == Hash(DIGEST, None)


def test_other_file_systems_are_not_touched() -> None:
    assert made(local=False).of(b"/none/such", 1, 1, LATER) == Hash(None, HashNote.REMOTE)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """open() that returns only when the event is set, as on a dead server."""
    let, real = threading.Event(), os.open

    def slow(*arguments: object, **more: object) -> int:
        if threading.current_thread().name == "hashes":
            assert let.wait(60)
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", slow)
    monkeypatch.setattr(hashes, "WAIT", 0.0)
    yield let
    let.set()


def test_a_hash_that_comes_late_is_there_for_the_next_record(
    program: Path, hanging: threading.Event
) -> None:
    of = made()
    assert ask(of, program) == Hash(None, HashNote.BUSY)
    hanging.set()
    of._patience._once = 60.0
    assert ask(of, program) == Hash(DIGEST, None)


def test_a_thread_that_hangs_is_replaced_and_then_no_more(
    program: Path, hanging: threading.Event
) -> None:
    now = 100.0
    of = Hashes(lambda boot_ns: boot_ns, lambda _device: True, lambda: now)
    before = threading.active_count()
    for _ in range(hashes.THREADS + 3):
        assert ask(of, program) == Hash(None, HashNote.BUSY)
        worker = of._worker
        assert worker is not None
        while worker._busy_since is None:  # until the thread has taken its job
            threading.Event().wait(0.001)
        now += hashes.STUCK_SECONDS + 1
    assert threading.active_count() == before + hashes.THREADS


def test_waiting_jobs_are_bounded(program: Path, hanging: threading.Event) -> None:
    of = made()
    for _ in range(100):
        assert ask(of, program) == Hash(None, HashNote.BUSY)
    assert of._worker is not None
    assert of._worker._jobs.qsize() <= 16


MOUNTS = (
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "23 22 0:44 / /home/u/mnt rw shared:1 - fuse.sshfs u@h: rw\n"
    "24 22 0:45 / /srv rw - nfs4 h:/ rw\n"
    "bad line\n"
)


def test_only_disks_and_memory_are_local(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    now = 100.0
    local = LocalDevices(table, lambda: now)
    assert [local(number) for number in (8 << 20 | 1, 44, 45, 46)] == [True, False, False, False]
    table.write_text("22 1 0:46 / / rw - tmpfs tmpfs rw\n")
    assert not local(46)
    now += devices.LOOK_SECONDS
    assert local(46)
    assert not local(8 << 20 | 1)


def test_without_a_mount_table_nothing_is_local(tmp_path: Path) -> None:
    assert not LocalDevices(tmp_path / "none")(8 << 20 | 1)


def test_this_hosts_own_programs_are_local() -> None:
    own = Path("/proc/self/exe").resolve()
    found = Hashes(lambda _: 2**62, LocalDevices()).of(os.fsencode(own), *identity(own), 0)
    assert found.sha256 == hashlib.sha256(own.read_bytes()).hexdigest()
