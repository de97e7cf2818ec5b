# SPDX-License-Identifier: Apache-2.0
"""The wait: for records, mount changes, a child's end and signals. Decides nothing else."""

from __future__ import annotations

import os
import select
import signal
import time

from structlog.typing import FilteringBoundLogger

from guard.audit.pace import rest
from guard.daemon.control import Listener
from guard.daemon.hostplan import MOUNTINFO
from guard.daemon.reload import SIGNAL, Reread, reload
from guard.daemon.session import Session
from guard.errors import GuardError

# How often the kernel's counters are compared with what arrived.
SETTLE_SECONDS = 1.0

# Batches of records before everything else gets its turn: who is denied faster
# than records are written must not keep guard from stopping or counting.
BATCHES_A_TURN = 64

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAKEN = (*STOP_SIGNALS, SIGNAL)


def hold_signals() -> None:
    """Keep stop signals waiting until ``serve`` takes them.

    Otherwise one that comes while an instance is loaded, or before it is served,
    would end this process and leave the instance in force.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)


def release_signals() -> None:
    """Undo ``hold_signals``: for a child that is to become something else."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TAKEN)


def serve(
    session: Session,
    child: int | None,
    log: FilteringBoundLogger,
    reread: Reread | None = None,
    control: Listener | None = None,
) -> int:
    """Move records until a stop signal comes or ``child`` ends.

    ``reread`` reads the policies anew when guard.daemon.reload.SIGNAL asks for it.
    ``control`` is where commands say what they did to this guard.

    Returns the signal's number, or 0 when the child has ended; it is not waited
    for here. A change of the mount table is followed by a new generation; where
    that fails, ``log`` says so and the old one stays in force.
    """
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    os.set_blocking(wake, False)
    previous = {number: signal.signal(number, lambda *_: None) for number in _TAKEN}
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    pidfd = os.pidfd_open(child) if child is not None else -1
    held = signal.pthread_sigmask(signal.SIG_UNBLOCK, _TAKEN)
    try:
        with open(MOUNTINFO, "rb") as mounts:
            # While the collector rests, the kernel wakes nobody for a record.
            urgent, everything = select.poll(), select.poll()
            for poll in (urgent, everything):
                poll.register(wake, select.POLLIN)
                # The mount table's own notice of a change (proc(5)).
                poll.register(mounts.fileno(), select.POLLPRI)
                if pidfd >= 0:
                    poll.register(pidfd, select.POLLIN)
                if control is not None:
                    poll.register(control.fileno(), select.POLLIN)
            for fileno in session.ring.filenos():
                everything.register(fileno, select.POLLIN)
            emptied = time.monotonic()
            due = emptied + SETTLE_SECONDS
            moved, pause = 0, 0  # records since the rings were last empty; milliseconds
            while True:
                ready = dict(urgent.poll(pause)) if pause else {}
                if not ready:
                    ready = dict(everything.poll(max(0, int((due - time.monotonic()) * 1000))))
                pause = 0
                for _ in range(BATCHES_A_TURN):
                    if not (batch := session.collector.collect()):
                        before, emptied = emptied, time.monotonic()
                        if moved:
                            pause = max(1, int(rest(moved, emptied - before) * 1000))
                        moved = 0
                        break
                    moved += batch
                if time.monotonic() >= due:
                    session.settle()
                    due = time.monotonic() + SETTLE_SECONDS
                if mounts.fileno() in ready:
                    _follow(session, log)
                if control is not None and control.fileno() in ready:
                    session.collector.tell(control.records(session.lifecycle.control_called))
                if wake in ready:
                    number = os.read(wake, 1)[0]
                    if number in STOP_SIGNALS:
                        return number
                    if number == SIGNAL and reread is not None:
                        _reload(session, reread, log)
                if pidfd >= 0 and pidfd in ready:
                    return 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        signal.set_wakeup_fd(-1)
        for number, handler in previous.items():
            signal.signal(number, handler)
        for fd in (wake, signalled, pidfd):
            if fd >= 0:
                os.close(fd)


def _reload(session: Session, reread: Reread, log: FilteringBoundLogger) -> None:
    problem = reload(session, reread)
    if problem is None:
        log.info("other policies are in force", generation=session.generation)
    else:
        log.error("the policies were read again and refused", because=problem)


def _follow(session: Session, log: FilteringBoundLogger) -> None:
    try:
        session.refresh()
    except GuardError as error:
        log.error("the mount table changed and the old tables stay", because=str(error))
    else:
        log.info("the mount table changed", generation=session.generation)
