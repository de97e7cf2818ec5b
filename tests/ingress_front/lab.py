# SPDX-License-Identifier: Apache-2.0
"""A host and a peer of its own: two network namespaces joined by a veth pair.

The host has a mount namespace too, with a bpf file system where guard expects
it, so that nothing of the machine is touched. Everything ends with the lab.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

HOST_4, PEER_4 = "10.77.0.1", "10.77.0.2"
HOST_6, PEER_6 = "fd77::1", "fd77::2"
HOST_IF, PEER_IF = "gi0", "gp0"


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@dataclass
class Space:
    """One network namespace, held by a process that waits; ``bpffs``: with mounts of its own."""

    bpffs: bool = False
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        ready_out, ready_in = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ready_out)
            self._be(ready_in)
        os.close(ready_in)
        said = os.read(ready_out, 1)
        os.close(ready_out)
        if said != b"!":
            self.close()
            raise RuntimeError("namespaces cannot be made here")
        self.run("ip", "link", "set", "lo", "up")

    def _be(self, ready: int) -> None:
        try:
            _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
            _check(_libc.unshare(_CLONE_NEWNET | (_CLONE_NEWNS if self.bpffs else 0)))
            if self.bpffs:
                _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
                # A sysfs of the new network namespace, as a host's own would be.
                _check(_libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None))
                _check(_libc.mount(b"bpf", b"/sys/fs/bpf", b"bpf", 0, None))
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.write(ready, b"!")
            os.close(ready)
            while True:
                signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def enter(self) -> None:
        """Put this process, which must have one thread, into the namespaces."""
        for name, kind in (("net", _CLONE_NEWNET), ("mnt", _CLONE_NEWNS)):
            if name == "mnt" and not self.bpffs:
                continue
            fd = os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY)
            try:
                _check(_libc.setns(fd, kind))
            finally:
                os.close(fd)

    def command(self, *words: str) -> list[str]:
        """The words that run a command inside."""
        mounts = ["-m"] if self.bpffs else []
        return ["nsenter", "-t", str(self.pid), "-n", *mounts, "--wd=/", "--", *words]

    def run(self, *words: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        return subprocess.run(
            self.command(*words), check=check, capture_output=True, text=True, **more
        )

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Begin a command inside; the caller ends it."""
        return subprocess.Popen(self.command(*words), text=True, **more)

    def python(self, source: str, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run some Python inside, to its end."""
        return self.run(sys.executable, "-c", source, *words, **more)

    def call(self, function: Callable[[], _T]) -> _T:
        """What a function gives when it is called inside; what it raises is raised here."""
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            self._answer(function, into)
        os.close(into)
        with os.fdopen(out, "rb") as stream:
            data = stream.read()
        os.waitpid(pid, 0)
        if not data:
            raise RuntimeError("the call inside the namespace ended without an answer")
        good, value = pickle.loads(data)  # noqa: S301 - from this test's own child
        if not good:
            raise value
        return value  # type: ignore[no-any-return]

    def _answer(self, function: Callable[[], object], into: int) -> None:
        try:
            self.enter()
            answer = pickle.dumps((True, function()))
        except BaseException as error:
            try:
                answer = pickle.dumps((False, error))
                pickle.loads(answer)  # noqa: S301 - some exceptions cannot be read back
            except Exception:
                answer = pickle.dumps((False, RuntimeError(traceback.format_exc())))
        with os.fdopen(into, "wb") as stream:
            stream.write(answer)
        os._exit(0)

    def close(self) -> None:
        """End the holding process, and with it what only it held."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@dataclass
class Lab:
    """A host (interface HOST_IF) and a peer (PEER_IF) that can talk to each other."""

    mtu: int = 1500
    host: Space = field(init=False)
    peer: Space = field(init=False)

    def __post_init__(self) -> None:
        # The peer, too: ip mounts a bpf file system where it finds none.
        self.host, self.peer = Space(bpffs=True), Space(bpffs=True)
        self.wire(HOST_IF, PEER_IF, HOST_4, PEER_4, HOST_6, PEER_6)

    def wire(self, mine: str, theirs: str, *addresses: str) -> None:
        """A veth pair between the two, with addresses, up."""
        ends = ["mtu", str(self.mtu), "netns"]
        peer = ["peer", "name", theirs, *ends, str(self.peer.pid)]
        subprocess.run(
            ["ip", "link", "add", mine, *ends, str(self.host.pid), "type", "veth", *peer],
            check=True,
        )
        for space, name, wanted in (
            (self.host, mine, addresses[0::2]),
            (self.peer, theirs, addresses[1::2]),
        ):
            for address in wanted:
                # No duplicate address detection: an address is usable at once.
                six = ":" in address
                size, more = ("64", ["nodad"]) if six else ("24", [])
                space.run("ip", "addr", "add", f"{address}/{size}", "dev", name, *more)
            space.run("ip", "link", "set", name, "up")

    def close(self) -> None:
        """End both."""
        self.host.close()
        self.peer.close()


TRIVIAL = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *context) { return XDP_PASS; }
SEC("xdp") int drop(struct xdp_md *context) { return XDP_DROP; }
char LICENSE[] SEC("license") = "GPL";
"""


def compiled(source: str, into: Path, flags: Sequence[str] = ()) -> Path:
    """A BPF object from C text."""
    (into / "x.bpf.c").write_text(source)
    made = into / "x.bpf.o"
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    subprocess.run(
        ["clang", "-target", "bpf", "-O2", "-g", include, *flags, "-c", "x.bpf.c", "-o", made],
        cwd=into,
        check=True,
    )
    return made
