# SPDX-License-Identifier: Apache-2.0
"""Another set of policies for a running instance, in one switch, and who asks for it.

The new set is read, judged and compiled before anything changes; whatever is
wrong with it, the old one stays in force and the records say why.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from guard.audit.lifecycle import Finding
from guard.daemon.hostplan import PlanRefused
from guard.daemon.session import Session, process_start
from guard.errors import GuardError, HostError
from guard.kernel import about
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import Instance
from guard.plan.bits import arrange
from guard.plan.errors import PlanError
from guard.policy.model import Policy

SIGNAL = signal.SIGUSR1
"""Asks guard to read its policies again. Not SIGHUP, which a terminal that goes away sends."""

PATIENCE_SECONDS = 60.0
"""How long the asker waits: compiling a large set and a slow machine's switch fit well."""

_PAUSE_SECONDS = 0.05

Reread = Callable[[], Sequence[Policy]]
"""Reads the policies anew. Raises GuardError for what cannot be enforced."""


def replace(session: Session, policies: Sequence[Policy]) -> None:
    """Put other policies in force, atomically. Raises GuardError; the old ones then stay.

    Tasks that run already come under policies that are new by another sweep.
    """
    before = session.policies
    try:
        session.policies = arrange(before, policies)
        session.refresh()
    except PlanError as error:
        session.policies = before
        raise PlanRefused(error) from error
    except GuardError:
        session.policies = before
        raise
    if not session.tree:
        session.engine.sweep()
    session.announce(())


def reload(session: Session, reread: Reread) -> str | None:
    """Read the policies again and replace those in force.

    Returns what went wrong, in a sentence; None where nothing did.
    """
    problem: str | None = None
    sources = sorted({policy.source for policy in session.policies if policy.source})
    try:
        replace(session, reread())
    except PlanRefused as error:
        problem = f"{error.cause.span}: {error}" if error.cause.span else str(error)
    except (GuardError, OSError) as error:
        problem = str(error)
    if problem is not None:
        told = session.lifecycle.policy_rejected(
            sources, problem, [Finding(None, None, None, problem)], session.generation
        )
        session.collector.tell([told])
    session.reloads += 1
    session.reload_problem = problem
    session.redescribe()
    return problem


def ask(libbpf: Libbpf, instance: Instance) -> dict[str, Any]:
    """Ask the guard that attends an instance to reload, and wait for its answer.

    Returns the instance's description afterwards. Raises HostError where nobody
    attends it or no answer comes.
    """
    told = about.read(libbpf, instance)
    if process_start(told["pid"]) != told["pid_started"]:
        raise HostError(
            f"nobody attends the instance {instance.name!r}: its guard has ended",
            remedy="what is loaded goes on enforcing; `guard run --name"
            f" {instance.name} FILE...` takes it over, without a gap",
        )
    if not told.get("reloadable"):
        raise HostError(
            f"the instance {instance.name!r} is for one command's processes and has no policies"
            " to read again",
            remedy="run the command again",
        )
    os.kill(told["pid"], SIGNAL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        now = about.read(libbpf, instance)
        if now["reloads"] != told["reloads"]:
            return now
        time.sleep(_PAUSE_SECONDS)
    raise HostError(
        f"the guard that attends {instance.name!r} (pid {told['pid']}) did not answer within"
        f" {PATIENCE_SECONDS:.0f} s",
        remedy="its log says more; the policies that were in force still are",
    )
