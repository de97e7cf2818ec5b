# SPDX-License-Identifier: Apache-2.0
"""The peers of the ingress benchmark and the live path that all of them stand on.

Two namespaces and a veth pair made for this run; frames are sent by a program
under BPF_F_TEST_XDP_LIVE_FRAMES and received by NAPI on the other end.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.ingress.native import ROOT, driver

KEYS = ROOT / "build" / "xdp_keys.bpf.o"
HEADERS, HEADER = 32768, 64
FRAME = bytes(64)

# include/uapi/linux/bpf.h, linux/if_link.h
F_TEST_XDP_LIVE_FRAMES = 2
XDP_FLAGS_DRV = 4
# include/uapi/linux/sched.h
CLONE_NEWNET = 0x40000000


def sh(command: str, text: str | None = None) -> str:
    """Run a command line of ours; its output. Raises CalledProcessError."""
    done = subprocess.run(command.split(), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def undisturbed() -> Iterator[None]:
    """Before all other work on this CPU, and then as long a rest for the others.

    Caches and memory stay shared: what else runs still costs, only not by turns.
    """
    began = time.perf_counter()
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    time.sleep(min(0.2, time.perf_counter() - began))


class Keys:
    """The program that puts the next prepared header into a frame and hands on."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(str(driver()), use_errno=True)
        self.b = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name in (
            "object__open_file",
            "object__find_program_by_name",
            "object__find_map_by_name",
        ):
            getattr(self.b, f"bpf_{name}").restype = ctypes.c_void_p
        self._object = ctypes.c_void_p(self.b.bpf_object__open_file(str(KEYS).encode(), None))
        if self.b.bpf_object__load(self._object):
            raise RuntimeError(f"cannot load {KEYS}")

    def program(self, name: str) -> int:
        """A program's descriptor."""
        found = self.b.bpf_object__find_program_by_name(self._object, name.encode())
        fd: int = self.b.bpf_program__fd(ctypes.c_void_p(found))
        return fd

    def map(self, name: str) -> int:
        """A map's descriptor."""
        found = self.b.bpf_object__find_map_by_name(self._object, name.encode())
        fd: int = self.b.bpf_map__fd(ctypes.c_void_p(found))
        return fd

    def update(self, name: str, key: bytes, value: bytes) -> None:
        """Set a map's element."""
        error = self.c.drive_update(self.map(name), key, value)
        if error:
            raise OSError(-error, os.strerror(-error), name)

    def headers(self, some: Sequence[bytes]) -> None:
        """The headers that frames get, over and over."""
        for i in range(HEADERS):
            self.update("headers", struct.pack("=I", i), some[i % len(some)])

    def cost(self, program: int, repeat: int) -> int:
        """Nanoseconds a run of bench_call with this program after it, over all headers."""
        self.update("under_test", struct.pack("=I", 0), struct.pack("=i", program))
        with undisturbed():
            result: int = self.c.drive_time(self.program("bench_call"), FRAME, len(FRAME), repeat)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def by_id(self, program_id: int) -> int:
        """A descriptor of a program that somebody else loaded."""
        fd: int = self.b.bpf_prog_get_fd_by_id(program_id)
        if fd < 0:
            raise OSError(-fd, "program by id")
        return fd


@contextmanager
def _inside(name: str) -> Iterator[None]:
    """This thread in another network namespace; os.setns is Python 3.12's."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as here, open(f"/run/netns/{name}", "rb") as there:
        libc.setns(there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            libc.setns(here.fileno(), CLONE_NEWNET)


class Link:
    """A veth pair: this process sends on ``near``; ``far`` is in a namespace of its own."""

    def __init__(self, keys: Keys) -> None:
        self.keys, self.name = keys, f"guardbench{os.getpid()}"
        self.near, self.far = f"gbn{os.getpid()}", f"gbf{os.getpid()}"
        sh(f"ip netns add {self.name}")
        sh(f"ip link add {self.near} type veth peer name {self.far} netns {self.name}")
        sh(f"ip link set {self.near} up")
        self.inside(f"ip link set {self.far} address 02:00:00:00:00:02 up")
        self.inside("ip link set lo up")
        self.inside(f"ip addr add 192.0.2.1/24 dev {self.far}")
        self.inside(f"ethtool -K {self.far} gro on")
        index = int(Path(f"/sys/class/net/{self.near}/ifindex").read_text())
        keys.update("device", struct.pack("=I", 0), struct.pack("=I", index))

    def inside(self, command: str, text: str | None = None) -> str:
        """Run a command in the far end's namespace."""
        return sh(f"ip netns exec {self.name} {command}", text)

    def close(self) -> None:
        """Take everything away."""
        sh(f"ip link del {self.near}")
        sh(f"ip netns del {self.name}")

    def received(self) -> int:
        """Frames that the far end has had."""
        out = self.inside(f"cat /sys/class/net/{self.far}/statistics/rx_packets")
        return int(out)

    @contextmanager
    def attached(self, program: int) -> Iterator[None]:
        """With a program at the far end, natively."""
        index = int(self.inside(f"cat /sys/class/net/{self.far}/ifindex"))
        with _inside(self.name):
            error = self.keys.b.bpf_xdp_attach(index, program, XDP_FLAGS_DRV, None)
        if error:
            raise OSError(-error, os.strerror(-error))
        try:
            yield
        finally:
            with _inside(self.name):
                self.keys.b.bpf_xdp_detach(index, XDP_FLAGS_DRV, None)

    def send(self, frames: int) -> float:
        """Nanoseconds a frame, from sending the first to having received the last."""
        before, program = self.received(), self.keys.program("bench_send")
        with undisturbed():
            began = time.perf_counter()
            error = self.keys.c.drive_live(program, FRAME, len(FRAME), frames, 64)
            elapsed = time.perf_counter() - began
        if error:
            raise OSError(-error, os.strerror(-error))
        if (arrived := self.received() - before) < 0.98 * frames:
            raise RuntimeError(f"{arrived} of {frames} frames arrived: the figure would be a lie")
        return elapsed * 1e9 / frames
