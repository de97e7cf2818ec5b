# SPDX-License-Identifier: Apache-2.0
"""Things that a process can do, one or two system calls each, beside what policies are
asked about them: for comparing the kernel with the evaluator.

Every act ends where it began: what it makes is made under a name of its own,
programs are files that the kernel will not run (ENOEXEC), after it has judged them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import random
import socket
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guard.plan.units import ANONYMOUS_WORD
from guard.policy.model import KernelOperation, NetOperation, Operation, PathOperation, Policy
from guard.wire.layout import KernelOp, NetVerb, PathVerb
from tests.kernel import calls
from tests.kernel.operations import OPERATIONS
from tests.kernel.sockets import INET, INET6, bind, connect, inet, inet6, make, send
from tests.plan.make_net import loopback_operations

REFUSED = (errno.EACCES, errno.EPERM)
# Four bytes that can be printed: the kernel asks for no module to run it.
CONTENTS = b"text\n"
_PROCESS_VM_READV = 310

# What is tried of the kernel section: calls that open no file and leave nothing changed.
KERNEL_WORDS = (
    "signal",
    "mount",
    "umount",
    "pivot_root",
    "chroot",
    "init_module",
    "bpf",
    "perf",
    "settimeofday",
    "keys",
    "io_uring",
    "reboot",
    "syslog",
)
KERNEL_OPS = (
    *sorted({KernelOp[OPERATIONS[word][0].upper()] for word in KERNEL_WORDS}),
    KernelOp.PTRACE,
)
CAPABILITIES = tuple(op for op in KernelOp if op < KernelOp.PTRACE)


@dataclass(frozen=True)
class Act:
    """``call`` is denied if one of ``asks`` is; ``name`` is for messages; ``close`` gives
    back what was made for it.
    """

    name: str
    asks: tuple[Operation, ...]
    call: Callable[[], object]
    close: Callable[[], object] = bool


@dataclass
class World:
    """Objects below ``top``: existing ones, and names that are free for one act each."""

    top: bytes
    directories: list[bytes]
    files: list[bytes]
    free: list[bytes]
    used: list[bytes] = field(default_factory=list)

    def take(self) -> bytes:
        """A name that does not exist."""
        self.used.append(self.free.pop())
        return self.used[-1]

    def tidy(self) -> None:
        """Free names are free again."""
        for path in self.used:
            if not os.path.lexists(path):
                continue
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.rmdir(path)
            else:
                os.unlink(path)
        self.free, self.used = self.used + self.free, []


def attempt_all(acts: Sequence[Act], groups: Sequence[int]) -> list[int]:
    """Each act's errno if it was refused, else 0; in a process of supplementary ``groups``."""
    os.setgroups(groups)
    found = []
    for act in acts:
        try:
            act.call()
            found.append(0)
        except OSError as error:
            found.append(error.errno if error.errno in REFUSED else 0)
    return found


def some_acts(
    rng: random.Random, world: World, policies: Sequence[Policy], number: int
) -> list[Act]:
    """Acts of every section. What they need to be there is made now."""
    sockets = _net_acts(loopback_operations(rng, policies, number))
    found = []
    for _ in range(number):
        kind = rng.random()
        if kind < 0.25:
            found.append(next(sockets))
        elif kind < 0.4:
            found.append(_kernel_act(rng))
        elif kind < 0.55:
            found.append(_exec_act(rng, world))
        elif kind < 0.75:
            found.append(_name_act(rng, world))
        else:
            found.append(_file_act(rng, world))
    return found


def asked(verb: PathVerb, path: bytes) -> PathOperation:
    """The question about a host path."""
    return PathOperation(verb, path.decode("utf-8", "surrogateescape"))


_OPENS = {
    os.O_RDONLY: (PathVerb.READ,),
    os.O_WRONLY: (PathVerb.WRITE,),
    os.O_WRONLY | os.O_APPEND: (PathVerb.APPEND,),
    os.O_RDWR: (PathVerb.READ, PathVerb.WRITE),
    os.O_RDONLY | os.O_TRUNC: (PathVerb.READ, PathVerb.WRITE),
}


def _open(path: bytes, flags: int) -> None:
    os.close(os.open(path, flags))


def _lock(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _file_act(rng: random.Random, world: World) -> Act:
    path = rng.choice(world.files)
    kind = rng.randrange(8)
    if kind == 0:
        path = rng.choice(world.directories)
        flags = os.O_RDONLY | os.O_DIRECTORY
        return Act("list", (asked(PathVerb.LIST, path),), lambda: _open(path, flags))
    if kind == 1:
        return Act("chmod", (asked(PathVerb.SETATTR, path),), lambda: os.chmod(path, 0o755))
    if kind == 2:
        return Act("utime", (asked(PathVerb.SETATTR, path),), lambda: os.utime(path))
    if kind == 3:
        size = len(CONTENTS)
        return Act("truncate", (asked(PathVerb.WRITE, path),), lambda: os.truncate(path, size))
    if kind == 4:
        asks = asked(PathVerb.READ, path), asked(PathVerb.LOCK, path)
        return Act("lock", asks, lambda: _lock(path))
    how = rng.choice(list(_OPENS))
    if how & os.O_TRUNC:  # what is mapped and executed keeps its contents
        how = os.O_RDWR
    return Act("open", tuple(asked(verb, path) for verb in _OPENS[how]), lambda: _open(path, how))


def _fresh(path: bytes) -> bytes:
    with open(path, "wb") as stream:
        stream.write(CONTENTS)
    return path


_MAKES: dict[str, tuple[PathVerb, Callable[[bytes], object]]] = {
    "mkdir": (PathVerb.CREATE, os.mkdir),
    "symlink": (PathVerb.CREATE, lambda path: os.symlink(b"target", path)),
    "mkfifo": (PathVerb.MKFIFO, os.mkfifo),
    "mksock": (PathVerb.MKSOCK, lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)),
    "mkdev": (PathVerb.MKDEV, lambda path: os.mknod(path, stat.S_IFCHR | 0o600, 0x103)),
    "mknod": (PathVerb.CREATE, lambda path: os.mknod(path, stat.S_IFREG | 0o600)),
}


def _name_act(rng: random.Random, world: World) -> Act:
    path = world.take()
    kind = rng.random()
    if kind < 0.5:
        name = rng.choice(list(_MAKES))
        verb, call = _MAKES[name]
        asks: tuple[PathOperation, ...] = (asked(verb, path),)
        if verb is PathVerb.MKSOCK:  # a name to bind to, however it is made
            asks = asked(PathVerb.BIND, path), *asks
        return Act(name, asks, lambda: call(path))
    _fresh(path)
    if kind < 0.75:
        return Act("unlink", (asked(PathVerb.DELETE, path),), lambda: os.unlink(path))
    to = world.take()
    asks = asked(PathVerb.CREATE, to), asked(PathVerb.RENAME, path)
    return Act("rename", asks, lambda: os.rename(path, to))


def _execute(file: bytes | int) -> None:
    try:
        os.execve(file, [b"x"], {})  # noqa: S606 - the kernel runs no such file
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise


def _memfd() -> int:
    fd = os.memfd_create("x", 0)
    os.write(fd, CONTENTS)
    return fd


def _map(path: bytes) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        prot = mmap.PROT_READ | mmap.PROT_EXEC
        mmap.mmap(fd, len(CONTENTS), mmap.MAP_PRIVATE, prot).close()
    finally:
        os.close(fd)


def _map_memory() -> None:
    prot = mmap.PROT_READ | mmap.PROT_EXEC
    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot).close()


def _exec_act(rng: random.Random, world: World) -> Act:
    path = rng.choice(world.files)
    kind = rng.random()
    if kind < 0.4:
        return Act("exec", (asked(PathVerb.EXEC, path),), lambda: _execute(path))
    if kind < 0.8:
        asks = asked(PathVerb.READ, path), asked(PathVerb.MAP, path)
        return Act("map", asks, lambda: _map(path))
    nameless = PathOperation(PathVerb.MAP, ANONYMOUS_WORD)
    if kind < 0.9:
        return Act("map memory", (nameless,), _map_memory)
    nameless = PathOperation(PathVerb.EXEC, ANONYMOUS_WORD)
    fd = _memfd()
    return Act("exec memory", (nameless,), lambda: _execute(fd), lambda: os.close(fd))


def _read_parent() -> None:
    """process_vm_readv of nothing that is there: EFAULT, after the parent was judged."""
    cell = ctypes.create_string_buffer(1)
    here = struct.pack("=QQ", ctypes.addressof(cell), 1)
    calls.by_number(_PROCESS_VM_READV, os.getppid(), here, 1, struct.pack("=QQ", 0, 1), 1, 0)


def _kernel_act(rng: random.Random) -> Act:
    word = rng.choice((*KERNEL_WORDS, "read parent"))
    if word == "read parent":
        return Act(word, (KernelOperation(KernelOp.PTRACE),), _read_parent)
    named, call = OPERATIONS[word]
    asks: tuple[Operation, ...] = (KernelOperation(KernelOp[named.upper()]),)
    if word == "chroot":
        asks = (KernelOperation(KernelOp.CAP_SYS_CHROOT), *asks)
    return Act(word, asks, call)


def _net_acts(operations: Sequence[NetOperation]) -> Iterator[Act]:
    """Sockets are made now, because create is a verb of its own."""
    for one in operations:
        if one.verb is NetVerb.CREATE:
            yield Act("socket", (one,), lambda one=one: make(one.family, one.type).close())  # type: ignore[misc]
        else:
            sock = make(one.family, one.type)
            sock.setblocking(False)
            yield Act(one.verb.name.lower(), (one,), _on(sock, one), sock.close)


_CALLS = {NetVerb.BIND: bind, NetVerb.CONNECT: connect, NetVerb.SEND: send}


def _on(sock: socket.socket, one: NetOperation) -> Callable[[], object]:
    assert one.address is not None and one.port is not None
    if one.family == INET:
        address = inet(socket.inet_ntop(INET, one.address), one.port)
    elif len(one.address) == 4:
        address = inet6("::ffff:" + socket.inet_ntop(INET, one.address), one.port)
    else:
        address = inet6(socket.inet_ntop(INET6, one.address), one.port)

    def act() -> None:
        with sock:
            _CALLS[one.verb](sock, address)

    return act


def make_world(top: Path, names: Sequence[bytes], paths: Sequence[bytes]) -> World:
    """Directories and files at ``paths`` below ``top``: what has something below it is a
    directory. Names that are not taken there are free.
    """
    at = os.fsencode(top)
    parents = {path.rpartition(b"/")[0] for path in paths} - {b""}
    for one in parents:
        os.makedirs(at + one, exist_ok=True)
    files = [at + path for path in dict.fromkeys(paths) if path not in parents]
    for path in files:
        _fresh(path)
        os.chmod(path, 0o755)
    directories = [at + one for one in sorted(parents)]
    taken = set(directories) | set(files)
    free = [one + b"/" + name for one in (at, *directories) for name in names]
    return World(at, directories, files, [path for path in free if path not in taken])
