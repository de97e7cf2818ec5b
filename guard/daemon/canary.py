# SPDX-License-Identifier: Apache-2.0
"""Live canaries: processes that are really denied, and labels that are really given.

A hook is believed only when it has just acted. The canary of the file gate
carries the class that user space's copy of the tables foretells for one file,
and the kernel denies it only if its own walk comes to the same class: so it
proves the attachment, the label, the tables and the errno together. Its twins,
the same open without a label and with another class foretold, must succeed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from guard.daemon import canary_files, canary_net, canary_ops
from guard.errors import HostError
from guard.kernel.engine import Engine
from guard.kernel.labels import Label, Labels
from guard.kernel.syscalls import Calls
from guard.wire.layout import Hook, TaskFlag

# Exists on every host, on a file system of its own that every host mounts.
CANARY_PATH = "/dev/null"

# Does nothing but read a line: an exec that can be looked at before it ends.
_EXEC = ("/bin/sh", "-c", "read line")

# No class has this id: ids count from 0 and there are far fewer.
_NO_CLASS = 0xFFFFFFFF

# A policy bit that an exec must take away again.
_STALE = 1 << 63


@dataclass(frozen=True, slots=True)
class Canary:
    """What became of one hook's canary: ``problem`` is None when all was as it should be."""

    hook: Hook
    problem: str | None


def run(engine: Engine, canary_class: int, generation: int) -> tuple[Canary, ...]:
    """Send canaries through every hook. Makes a few short-lived processes and records."""
    labels = engine.labels
    attached = {gate.hook for gate in engine.gates}
    return (
        Canary(Hook.FILE_OPEN, _file_open(labels, canary_class)),
        Canary(Hook.TASK_ALLOC, _task_alloc(labels, canary_class)),
        *_exec(labels, generation),
        *(
            Canary(hook, _refused(labels, hook, driver))
            for hook, driver in DRIVERS.items()
            if hook in attached
        ),
        *(
            Canary(gate.hook, _refused(labels, gate.hook, canary_files.DRIVERS[gate.program]))
            for gate in engine.gates
            if gate.program in canary_files.DRIVERS
        ),
        *(Canary(gate.hook, _contents(labels)) for gate in engine.gates if gate.contents),
    )


DRIVERS: dict[Hook, Callable[[Calls], object]] = {**canary_ops.DRIVERS, **canary_net.DRIVERS}
"""For each hook that a process can try, the call that it tries."""

UNTESTABLE = frozenset({Hook.KERNEL_MODULE_REQUEST, Hook.FILE_IOCTL_COMPAT, Hook.SCTP_BIND_CONNECT})
"""Hooks whose denial shows in no errno, the kernel's own request for a module; that only a
32-bit program comes to; and SCTP's, which would have the kernel load a module for it."""


def _refused(labels: Labels, hook: Hook, driver: Callable[[Calls], object]) -> str | None:
    """Whether the hook denies to a process whose canary it is, and to no other."""
    if _tries(labels, Label(0, flags=TaskFlag.CANARY, canary_class=_NO_CLASS), driver):
        return "it denied what it should not have"
    label = Label(0, flags=TaskFlag.CANARY, canary_class=_NO_CLASS, canary_hook=hook)
    if not _tries(labels, label, driver):
        return "it did not deny what it should have"
    return None


def _contents(labels: Labels) -> str | None:
    """Whether an exec is denied to the process whose canary it is, after its file was hashed."""
    execute = canary_files.DRIVERS["guard_exec_judge"]
    if _tries(labels, Label(0, flags=TaskFlag.CANARY, canary_class=_NO_CLASS), execute):
        return "an exec was denied that should not have been"
    flags = TaskFlag.CANARY | TaskFlag.CANARY_CONTENTS
    if not _tries(labels, Label(0, flags=flags, canary_class=_NO_CLASS), execute):
        return (
            "the kernel hashes no executables by SHA-256 (it does with CONFIG_IMA=y, and"
            " without another ima_hash= on its command line)"
        )
    return None


def _tries(labels: Labels, label: Label, driver: Callable[[Calls], object]) -> bool:
    """Whether a process with this label is denied what the driver does."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _try(out, into, driver))
    os.close(out)
    try:
        labels.set(pid, label)
        os.write(into, b"!")
    finally:
        os.close(into)
        _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (_LET_THROUGH, _DENIED):
        raise HostError(f"a canary for hook {driver} ended with status {code}")
    return code == _DENIED


_LET_THROUGH, _DENIED = 0, 1


def _try(out: int, into: int, driver: Callable[[Calls], object]) -> int:
    os.close(into)
    calls = Calls()
    os.read(out, 1)
    try:
        driver(calls)
    except PermissionError as error:
        # EPERM is what a capability's absence gives; a canary is told EACCES.
        return _DENIED if error.errno == errno.EACCES else _LET_THROUGH
    except OSError:
        return _LET_THROUGH
    return _LET_THROUGH


def _file_open(labels: Labels, canary_class: int) -> str | None:
    if not _opens(labels, None):
        return f"{CANARY_PATH} cannot be opened without a label"
    if not _opens(labels, Label(0, flags=TaskFlag.CANARY, canary_class=_NO_CLASS)):
        return "an open was denied that should not have been"
    if _opens(labels, Label(0, flags=TaskFlag.CANARY, canary_class=canary_class)):
        return "an open was not denied that should have been"
    return None


def _task_alloc(labels: Labels, canary_class: int) -> str | None:
    label = Label(0, flags=TaskFlag.CANARY, canary_class=canary_class)
    if _opens(labels, label, fork_first=True):
        return "a labelled process's child has no label"
    return None


def _exec(labels: Labels, generation: int) -> tuple[Canary, ...]:
    """The three exec hooks each leave something in the label of a process that executes."""
    stdin, feed = os.pipe()
    go_out, go_in = os.pipe()
    gone_out, gone_in = os.pipe()  # closed by exec
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _execute(stdin, go_out, (feed, go_in, gone_out)))
    for fd in (stdin, go_out, gone_in):
        os.close(fd)
    try:
        # Nothing is denied to it: no class is the canary's.
        before = Label(0, _STALE, TaskFlag.CANARY, _NO_CLASS)
        labels.set(pid, before)
        os.write(go_in, b"!")
        os.read(gone_out, 1)
        after = labels.get(pid)
    finally:
        for fd in (feed, go_in, gone_out):
            os.close(fd)
        os.waitpid(pid, 0)
    found = after or Label(0)
    return (
        _exec_canary(Hook.BPRM_CREDS_FOR_EXEC, not found.mask & _STALE and not found.pending),
        _exec_canary(Hook.BPRM_CHECK_SECURITY, found.check_generation == generation),
        _exec_canary(Hook.BPRM_COMMITTED_CREDS, found.exec_generation == generation),
    )


def _exec_canary(hook: Hook, acted: bool) -> Canary:
    return Canary(hook, None if acted else "an exec left no trace of it")


def _execute(stdin: int, go: int, close: tuple[int, ...]) -> int:
    for fd in close:
        os.close(fd)
    os.dup2(stdin, 0)
    os.read(go, 1)
    os.execv(_EXEC[0], _EXEC)  # noqa: S606 - the exec is what is tested


def _opens(labels: Labels, label: Label | None, fork_first: bool = False) -> bool:
    """Whether a process with this label, or its child, can open the canary's file."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _try_open(out, into, fork_first))
    os.close(out)
    try:
        if label is not None:
            labels.set(pid, label)
        os.write(into, b"!")
    finally:
        os.close(into)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _try_open(out: int, into: int, fork_first: bool) -> int:
    os.close(into)
    os.read(out, 1)
    if fork_first:
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os.close(os.open(CANARY_PATH, os.O_RDONLY))
    except PermissionError:
        return 1
    return 0


def _in_child(work: Callable[[], int]) -> None:
    """Run in a fresh child, which never returns into its parent's code."""
    status = 70
    try:
        status = work()
    finally:
        os._exit(status)
