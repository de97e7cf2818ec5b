# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002 - a fake has the arguments of what it stands for
"""A libbpf that only pretends: it notes the calls, and one of them can be made to fail.

Descriptors are real, so that a test can count what stays open; pins are files.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from guard.kernel.features import Features
from guard.kernel.libbpf import LibbpfError
from guard.plan.encode import Tables
from guard.plan.gates import GATES
from guard.wire.layout import COUNTERS

FUNCTIONS = {"bpf_rdonly_cast": 2, **{gate.function: 1 for gate in GATES}}
FEATURES = Features("6.12.1", True, ("landlock", "bpf"), FUNCTIONS, True, False)
TABLES = Tables(b"root", b"data", b"devices", 18, 0b10)


def open_descriptors() -> set[str]:
    """This process's descriptors, without the one that lists them."""
    return {one for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}")}


class FakeLibbpf:
    """Stands in for guard.kernel.libbpf.Libbpf. ``fail_at``: the number of the call that fails."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.fail_at = fail_at
        self.objects: set[int] = set()
        self.links: dict[int, int] = {}
        self.pins: dict[str, int] = {}
        self.rodata = (ctypes.c_char * 8)()
        self._owned: list[int] = []
        self._programs: dict[str, int] = {}

    def _call(self, *what: object) -> None:
        self.calls.append(what)
        if len(self.calls) - 1 == self.fail_at:
            raise LibbpfError(str(what[0]), errno.EINVAL, ["verifier: no"])

    @staticmethod
    def _descriptor() -> int:
        return os.open(os.devnull, os.O_RDONLY)

    def _object_owns(self) -> int:
        self._owned.append(self._descriptor())
        return self._owned[-1]

    def object_open(self, path: str) -> int:
        self._call("object_open", path)
        self.objects.add(1)
        return 1

    def object_load(self, handle: int) -> None:
        self._call("object_load", handle)

    def object_close(self, handle: int) -> None:
        self.objects.remove(handle)
        for fd in self._owned:
            os.close(fd)
        self._owned.clear()

    def object_program(self, handle: int, name: str) -> int:
        self._call("object_program", name)
        return 1000 + len(self.calls)

    def object_map(self, handle: int, name: str) -> int:
        self._call("object_map", name)
        return hash(name)

    def map_set_max_entries(self, map_: int, entries: int) -> None:
        self._call("map_set_max_entries", entries)

    def map_set_inner(self, map_: int, fd: int) -> None:
        self._call("map_set_inner", fd)

    def map_reuse(self, map_: int, fd: int) -> None:
        self._call("map_reuse", map_)
        os.fstat(fd)

    def map_initial_value(self, map_: int) -> ctypes.Array[ctypes.c_char]:
        self._call("map_initial_value")
        return self.rodata

    def map_fd(self, map_: int) -> int:
        self._call("map_fd", map_)
        return self._object_owns()

    def program_set_autoload(self, program: int, load: bool) -> None:
        self._call("program_set_autoload", load)

    def program_retarget(self, program: int, attach_type: int, function: str) -> None:
        self._call("program_retarget", attach_type, function)

    def program_fd(self, program: int) -> int:
        self._call("program_fd", program)
        return self._object_owns()

    def program_attach(self, program: int, name: str) -> int:
        self._call("attach", name)
        return self._link()

    def program_attach_iterator(self, program: int, name: str) -> int:
        self._call("attach", name)
        return self._link()

    def _link(self) -> int:
        link = 2000 + len(self.calls)
        self.links[link] = self._descriptor()
        return link

    def link_fd(self, link: int) -> int:
        self._call("link_fd", link)
        return self.links[link]

    def link_destroy(self, link: int) -> None:
        os.close(self.links.pop(link))

    def map_create(self, kind: int, name: str, key: int, value: int, entries: int) -> int:
        self._call("map_create", name, value)
        return self._descriptor()

    def map_update(self, fd: int, key: bytes, value: bytes, what: str) -> None:
        self._call("map_update", what, value)

    def map_lookup(self, fd: int, key: bytes, size: int, what: str) -> bytes | None:
        self._call("map_lookup", what)
        return bytes(size)

    def map_freeze(self, fd: int) -> None:
        self._call("map_freeze")

    def pin(self, fd: int, path: str) -> None:
        self._call("pin", path)
        os.fstat(fd)  # a descriptor that is open
        Path(path).touch(exist_ok=False)

    def open_pin(self, path: str) -> int:
        self._call("open_pin", path)
        return os.open(path, os.O_RDONLY)

    def iterate(self, link_fd: int) -> bytes:
        self._call("iterate")
        return b""

    def possible_cpus(self) -> int:
        return 2

    def counters_size(self) -> int:
        return COUNTERS.size * self.possible_cpus()
