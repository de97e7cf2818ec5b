# SPDX-License-Identifier: Apache-2.0
"""Return addresses of a call → frames with symbols, where bcc's symboliser is installed.

The symboliser is a child process (symbols_child.py), asked by a thread. A
record waits for it for a moment only; what comes late is there for the next
record of the same call. Without it, or when it fails, frames are addresses.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guard.audit.memory import Generations
from guard.audit.objects import Frame, Stack
from guard.audit.patience import Patience

# Debian's python3-bpfcc is installed for the system's own Python.
PYTHON = "/usr/bin/python3"

# What the child may: read other users' processes and files, and the kernel's
# addresses. It parses what the observed processes bring along, so it is
# nobody, may write nothing, and gains nothing by an exec. setpriv(1) is in
# every Debian (util-linux).
SETPRIV = "/usr/bin/setpriv"
NOBODY = 65534
CAPABILITIES = ("sys_ptrace", "dac_read_search", "syslog")

# Frames of each stack: PERF_MAX_STACK_DEPTH, the most that the kernel walks.
FRAMES = 127
# Stacks remembered (twice this many at most), up to 50 KB each.
SIZE = 64
# Seconds that one record waits, and that all records of a second wait together.
WAIT = 0.02
WAIT_A_SECOND = 0.05
# Seconds for one answer and for getting ready; then the child is ended.
ANSWER_SECONDS, READY_SECONDS = 2.0, 20.0
# Children that may fail before symbols are given up.
CHILDREN = 5

# What one answer may be at most: 254 frames with two long names each.
_ANSWER_LIMIT = 1 << 20
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def command(python: str = PYTHON) -> list[str] | None:
    """How to run the symboliser, None if this host does not have it. Takes a tenth of a second.

    As root it is run as nobody with CAPABILITIES; as anybody else as that user.
    """
    probe = [python, "-I", "-c", "import bcc"]
    try:
        done = subprocess.run(probe, capture_output=True, timeout=READY_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode != 0:
        return None
    run = [python, "-I", str(Path(__file__).with_name("symbols_child.py"))]
    if os.geteuid() != 0:
        return run
    if not os.access(SETPRIV, os.X_OK):
        return None
    kept = ",".join(("-all", *(f"+{name}" for name in CAPABILITIES)))
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    sets = [f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"]
    return [SETPRIV, *user, *sets, *run]


class _Call(NamedTuple):
    """What was asked: one process's two stacks."""

    pid: int
    start_ns: int
    kernel: tuple[int, ...]
    user: tuple[int, ...]


class Stacks:
    """Makes stacks. ``run``: the symboliser's command, None for addresses only."""

    def __init__(
        self, run: Sequence[str] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._known: Generations[_Call, Stack] = Generations(SIZE)
        self._patience = Patience(WAIT, WAIT_A_SECOND)
        self._asker = _Asker(run, clock) if run is not None else None

    def of(self, pid: int, start_ns: int, kernel: Sequence[int], user: Sequence[int]) -> Stack:
        """The stacks of a call of this process, innermost first. Never raises.

        ``start_ns`` as in struct guard_event. Zeros, with which the kernel fills
        up, are left out.
        """
        call = _Call(
            pid,
            start_ns,
            tuple(address for address in kernel[:FRAMES] if address),
            tuple(address for address in user[:FRAMES] if address),
        )
        if self._asker is None:
            return _bare(call)
        self._take(self._asker)
        known = self._known.get(call)
        if known is not None:
            return known
        done = self._asker.ask(call)
        if done is not None and self._patience.wait(done):
            self._take(self._asker)
        return self._known.get(call) or _bare(call)

    def close(self) -> None:
        """Ends the symboliser."""
        if self._asker is not None:
            self._asker.close()

    def _take(self, asker: _Asker) -> None:
        for call, stack in asker.answers():
            self._known.put(call, stack)


def _bare(call: _Call) -> Stack:
    return Stack(tuple(map(Frame, call.kernel)), tuple(map(Frame, call.user)))


class _Failed(Exception):
    """The child did not answer, or not as it should."""


class _Asker:
    """The thread that talks with the child, and the child."""

    def __init__(self, run: Sequence[str], clock: Callable[[], float]) -> None:
        self._run = list(run)
        self._clock = clock
        self._calls: queue.Queue[tuple[_Call, threading.Event] | None] = queue.Queue(16)
        self._answers: queue.SimpleQueue[tuple[_Call, Stack]] = queue.SimpleQueue()
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._failed = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="stacks", daemon=True)
        self._thread.start()

    def ask(self, call: _Call) -> threading.Event | None:
        """Set when the call has been seen to; None if too many wait or symbols were given up."""
        if self._failed >= CHILDREN:
            return None
        done = threading.Event()
        try:
            self._calls.put_nowait((call, done))
        except queue.Full:
            return None
        return done

    def answers(self) -> list[tuple[_Call, Stack]]:
        """What has been answered since the last time."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._answers.get_nowait())
        return found

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(queue.Full):
            self._calls.put_nowait(None)
        child = self._child
        if child is not None:
            child.kill()

    def _serve(self) -> None:
        while not self._closed:
            job = self._calls.get()
            if job is None or self._closed:
                break
            call, done = job
            try:
                self._answers.put((call, self._ask(call)))
            except (OSError, ValueError, TypeError, KeyError, _Failed):
                self._failed += 1
                self._end()
            done.set()
        self._end()

    def _ask(self, call: _Call) -> Stack:
        if self._failed >= CHILDREN:
            raise _Failed
        question = {
            "pid": call.pid,
            "ticks": call.start_ns // _TICK,
            "kernel": [f"{address:x}" for address in call.kernel],
            "user": [f"{address:x}" for address in call.user],
        }
        child = self._ready()
        assert child.stdin is not None
        child.stdin.write(json.dumps(question).encode() + b"\n")
        child.stdin.flush()
        answer = json.loads(self._line(child, ANSWER_SECONDS))
        return Stack(_frames(call.kernel, answer["kernel"]), _frames(call.user, answer["user"]))

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._buffer = b""
            self._child = subprocess.Popen(
                self._run,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
            )
            self._line(self._child, READY_SECONDS)
        return self._child

    def _line(self, child: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The child's next line. Raises _Failed if none comes in time, or too long a one."""
        assert child.stdout is not None
        until = self._clock() + seconds
        # Not select(2), which knows no descriptor above 1023.
        waiting = select.poll()
        waiting.register(child.stdout, select.POLLIN)
        while b"\n" not in self._buffer:
            left = until - self._clock()
            ready = waiting.poll(max(0.0, left) * 1000)
            if not ready or len(self._buffer) > _ANSWER_LIMIT:
                raise _Failed
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                raise _Failed
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _frames(addresses: tuple[int, ...], told: Any) -> tuple[Frame, ...]:
    """Raises ValueError or TypeError if ``told`` is not as the child is to answer."""
    return tuple(
        Frame(address) if one is None else _frame(address, *one)
        for address, one in zip(addresses, told, strict=True)
    )


def _frame(address: int, symbol: str | None, offset: int, module: str | None) -> Frame:
    if type(offset) is not int or offset < 0:
        raise ValueError(offset)
    names = [None if name is None else bytes.fromhex(name) for name in (symbol, module)]
    return Frame(address, names[0], offset, names[1])
