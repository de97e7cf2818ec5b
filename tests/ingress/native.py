# SPDX-License-Identifier: Apache-2.0
"""The compiled filter on this kernel, under BPF_PROG_TEST_RUN: load, switch, run frames.

Needs root; no interface is touched. The C half is drive.c.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guard.plan.ingress.blob import SLACK
from guard.plan.ingress.build import Plan
from guard.wire import ingress as wire

ROOT = Path(__file__).parents[2]
OBJECT = ROOT / "guard" / "objects" / "ingress.bpf.o"
SOURCE = Path(__file__).parent / "drive.c"
DRIVER = ROOT / "build" / "ingress-drive.so"

SEED = (0x0123456789ABCDEF, 0xFEDCBA9876543210)

# enum bpf_prog_type's verdicts, include/uapi/linux/bpf.h
ABORTED, DROP, PASS, TX, REDIRECT = range(5)


def driver() -> Path:
    """The driver, compiled if its source is newer."""
    if not DRIVER.exists() or DRIVER.stat().st_mtime < SOURCE.stat().st_mtime:
        DRIVER.parent.mkdir(exist_ok=True)
        made = DRIVER.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", made, SOURCE, "-lbpf"], check=True)
        made.rename(DRIVER)
    return DRIVER


@dataclass(frozen=True)
class Outcome:
    """What the kernel did with one frame."""

    verdict: int
    slot: int
    reason: int


class Filter:
    """The loaded object. One size class; swap() switches generations."""

    def __init__(self, bits: int, ticks: int = 250) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root to load programs")
        self._c = ctypes.CDLL(str(driver()), use_errno=True)
        self._c.drive_open.restype = ctypes.c_void_p
        self._c.drive_log.restype = ctypes.c_char_p
        self.bits, self._size = bits, (1 << bits) + SLACK
        timeout = 120 * ticks >> 8
        constants = struct.pack(
            wire.CONSTANTS.format(), *SEED, (1 << bits) - 1, timeout, 30 * ticks >> 8, 0
        )
        handle = self._c.drive_open(
            str(OBJECT).encode(), self._size, constants, ctypes.c_size_t(len(constants))
        )
        assert handle, self._c.drive_log().decode()[-4000:]
        self._handle = ctypes.c_void_p(handle)
        self.cpu = min(os.sched_getaffinity(0))
        # Counters that plans have had: tests.ingress.make gives each plan new ones.
        self.used = 0

    def close(self) -> None:
        """Unload."""
        self._c.drive_close(self._handle)

    def map(self, name: str) -> int:
        """A map's descriptor."""
        fd: int = self._c.drive_map(self._handle, name.encode())
        assert fd >= 0, name
        return fd

    def program(self, name: str = "guard_ingress") -> int:
        """A program's descriptor."""
        fd: int = self._c.drive_program(self._handle, name.encode())
        assert fd >= 0, name
        return fd

    def swap(self, plan: Plan, generation: int = 1) -> float:
        """Switch to a plan; returns the seconds it took."""
        assert plan.bits <= self.bits
        data = plan.numbered(generation)
        began = time.perf_counter()
        error = self._c.drive_swap(self._handle, data, ctypes.c_size_t(len(data)), self._size)
        assert error == 0, os.strerror(-error)
        return time.perf_counter() - began

    def run(self, frames: Sequence[bytes], ifindex: int = 0) -> list[Outcome]:
        """The outcome of each frame, in order."""
        return self._run(frames, ifindex)[0]

    def answer(self, frame: bytes, ifindex: int = 0) -> tuple[Outcome, bytes]:
        """The outcome, and the frame as it left the program."""
        outcomes, out = self._run([frame], ifindex)
        return outcomes[0], out

    def _run(self, frames: Sequence[bytes], ifindex: int) -> tuple[list[Outcome], bytes]:
        count = len(frames)
        offsets = np.zeros(count + 1, dtype=np.uint32)
        offsets[1:] = np.cumsum([len(f) for f in frames])
        results = np.zeros((3, count), dtype=np.uint32)
        out, size = ctypes.create_string_buffer(65536), ctypes.c_uint32()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.cpu})
        try:
            error = self._c.drive_run(
                self._handle,
                b"".join(frames),
                ctypes.c_void_p(offsets.ctypes.data),
                count,
                self.cpu,
                *(ctypes.c_void_p(results[i].ctypes.data) for i in range(3)),
                ifindex,
                out,
                ctypes.byref(size),
            )
        finally:
            os.sched_setaffinity(0, before)
        assert error == 0, os.strerror(-error)
        table = results.T.tolist()
        return [Outcome(*row) for row in table], out.raw[: size.value]

    def leaves(self, frame: bytes) -> None:
        """Let the egress program see a frame that goes out."""
        error = self._c.drive_time(self.program("guard_ingress_leaves"), frame, len(frame), 1)
        assert error >= 0, os.strerror(-error)

    def update(self, name: str, key: int, value: bytes) -> None:
        """Set an element of an array map."""
        error = self._c.drive_update(self.map(name), struct.pack("=I", key), value)
        assert error == 0, os.strerror(-error)

    def lookup(self, name: str, key: int, size: int) -> bytes:
        """An element of an array map."""
        out = ctypes.create_string_buffer(size)
        error = self._c.drive_lookup(self.map(name), struct.pack("=I", key), out)
        assert error == 0, os.strerror(-error)
        return out.raw

    def counts(self, slot: int) -> dict[str, int]:
        """A slot's counters, added up over the CPUs (turn is without meaning)."""
        raw = self.lookup("ingress_counts", slot, wire.COUNT.size * _possible_cpus())
        total = dict.fromkeys(wire.COUNT.fields, 0)
        for values in struct.iter_unpack(wire.COUNT.format(), raw):
            for member, value in zip(wire.COUNT.fields, values, strict=True):
                total[member] += value
        return total

    def events(self) -> list[dict[str, Any]]:
        """The records in the ring, which is empty afterwards."""
        out = ctypes.create_string_buffer(1 << 20)
        count = self._c.drive_drain(self.map("ingress_events"), out, ctypes.c_size_t(len(out)))
        assert count >= 0, os.strerror(-count)
        return [_event(out.raw[i * wire.EVENT.size :]) for i in range(count)]

    def time(self, frame: bytes, repeat: int) -> int:
        """Nanoseconds a run of the filter takes on one frame."""
        result: int = self._c.drive_time(self.program(), frame, len(frame), repeat)
        assert result >= 0, os.strerror(-result)
        return result


def _possible_cpus() -> int:
    """How many CPUs a per-CPU map has values for."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return sum(int(r.split("-")[-1]) - int(r.split("-")[0]) + 1 for r in ranges)


def _event(raw: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, field in wire.EVENT.fields.items():
        if field.count > 1:
            values = struct.unpack_from(f"<{field.count}{field.code}", raw, field.offset)
            out[name] = bytes(values) if field.code == "B" else values
        else:
            (out[name],) = struct.unpack_from(f"<{field.code}", raw, field.offset)
    return out
