# SPDX-License-Identifier: Apache-2.0
"""A new ingress policy on probation: unless it is confirmed in time, the old one comes back.

What to go back to is in the kernel beside the filter, and at the deadline the
filter goes back by itself: no process is needed, none can keep it from that. A
process of its own then tidies up, or whoever of guard's looks next; it has no
terminal, and ends with none. Told to end early, it goes back at once: nobody is
left who could confirm.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from guard.daemon import ingress, ingress_state
from guard.daemon.ingress_state import State
from guard.errors import GuardError, HostError
from guard.kernel import about, ingress_control, pins
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.kernel.pins import Instance

PIN = "pending"

# How often the guardian looks whether it was confirmed.
_LOOK_SECONDS = 0.2


def now() -> float:
    """Seconds since boot, time asleep included: a suspended host is out of reach, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pending(libbpf: Libbpf, instance: Instance) -> dict[str, Any] | None:
    """What waits for confirmation: token, deadline, previous; None: nothing does."""
    try:
        return about.read(libbpf, instance, PIN)
    except LibbpfError:
        return None


def require_none(libbpf: Libbpf, instance: Instance) -> None:
    """Raise HostError while an earlier policy waits for its confirmation. Under the lock."""
    told = pending(libbpf, instance)
    if told is not None:
        left = max(0, round(told["deadline"] - now()))
        raise HostError(
            f"the ingress policy in force still waits for its confirmation, {left} s more",
            remedy="`guard confirm` keeps it; or let the time pass",
        )


def begin(libbpf: Libbpf, instance: Instance, previous: State | None, deadline: float) -> str:
    """Begin a probation, with a guardian, before the new policy is put in force.

    ``deadline``: seconds since boot (``now``), which the new policy's state must have,
    too. ``instance`` may still have its hidden name. The token names the probation.
    """
    token = secrets.token_hex(8)
    told = {
        "token": token,
        "deadline": deadline,
        "previous": None if previous is None else ingress_state.to_json(previous),
    }
    about.write(libbpf, instance, told, PIN)
    _guardian(instance, token)
    return token


def cancel(instance: Instance) -> None:
    """End the probation of a policy that was not put in force after all."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(instance.map(PIN))


def confirm(instance: Instance) -> None:
    """Keep the policy in force. Raises HostError when nothing waits, or it is too late."""
    told = pending(Libbpf(), instance)
    if told is not None and now() >= told["deadline"]:
        roll_back(instance, told["token"])
        raise HostError(
            "the time to confirm the ingress policy is up: it was rolled back",
            remedy="start it again with more time, say --confirm 2m",
        )
    with ingress.locked(instance):
        told = pending(Libbpf(), instance)
        if told is None:
            raise HostError(
                "no ingress policy waits for confirmation",
                remedy="if one did, its time is up and it was rolled back: `guard ingress status`",
            )
        found = ingress.adopt(Libbpf(), instance)
        try:
            # From here on the filter does not go back; new tables no longer look at the time.
            ingress_control.end_trial(found.kernel)
            os.unlink(instance.map(PIN))
            found.apply(replace(found.state, deadline=0.0))
        finally:
            found.close()


def settle(libbpf: Libbpf, instance: Instance) -> None:
    """Tidy up after a deadline that nobody was there for: the filter has gone back already."""
    told = pending(libbpf, instance)
    if told is not None and now() >= told["deadline"]:
        roll_back(instance, told["token"])


def roll_back(instance: Instance, token: str) -> str | None:
    """Go back, if this probation still is. What was done, in a sentence; None: nothing.

    Where the policy before cannot be put in force again, nothing is: the filter
    comes off. A host that lets too much in can be mended, one that is locked cannot.
    """
    libbpf = Libbpf()
    with contextlib.suppress(FileNotFoundError), ingress.locked(instance):
        told = pending(libbpf, instance)
        if told is None or told["token"] != token:
            return None
        if told["previous"] is not None:
            try:
                previous = ingress_state.of_json(told["previous"], instance.name)
                found = ingress.adopt(libbpf, instance)
                try:
                    found.replace(previous)
                finally:
                    found.close()
            except (GuardError, OSError):
                pass
            else:
                os.unlink(instance.map(PIN))
                return f"the policy {previous.policy!r} from before is in force again"
        pins.remove(instance)
        return "the filter is off, as it was before"
    return None


def _guardian(instance: Instance, token: str) -> None:
    """Start the process that waits. It belongs to nobody: not to a terminal, nor to its maker."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _be_guardian(instance, token)
    finally:
        os._exit(70)


def _be_guardian(instance: Instance, token: str) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.append(number))
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 4096)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("guard-confirm")
    libbpf = Libbpf()
    shown = Instance(instance.directory.with_name(instance.name))
    while True:
        # A new instance gets its name when it is complete, maybe while this looks.
        for one in (instance, shown, shown):
            told = pending(libbpf, one)
            if told is not None:
                break
        if told is None or told["token"] != token:
            os._exit(0)
        if told_to_end or now() >= told["deadline"]:
            roll_back(one, token)
            os._exit(0)
        time.sleep(_LOOK_SECONDS)
