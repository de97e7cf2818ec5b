# SPDX-License-Identifier: Apache-2.0
"""A new guard takes over what another one loaded and left: killed, or ended with --persist.

Programs, rings, labels and sequence numbers go on as they are; the policies are
compiled for the host as it is now and put in force by one switch. Whatever
cannot be taken over stays as it is, enforcing, and the refusal says why.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from guard.audit.decode import Counters
from guard.audit.sinks import Sink
from guard.daemon.hostplan import PlanRefused, plan_for
from guard.daemon.index import GenerationIndex
from guard.daemon.session import Session, compose, require_root
from guard.daemon.stream import Spooled
from guard.errors import GuardError, HostError
from guard.kernel import about, engine, features, pins, progress, tables
from guard.kernel.attachment import Attachment
from guard.kernel.attendance import attend
from guard.kernel.engine import Engine
from guard.kernel.grow import grow
from guard.kernel.labels import Label
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import Instance
from guard.kernel.repeats import DEFAULT, Merging, configure
from guard.plan.bits import arrange
from guard.plan.errors import PlanError
from guard.plan.index import PlanIndex
from guard.policy.model import Mode, Policy, Subject
from guard.policy.source import Span
from guard.version import VERSION
from guard.wire.layout import TaskFlag


def standing(name: str) -> Instance | None:
    """The loaded instance of that name, attended or not; None if there is none."""
    return next((one for one in pins.instances() if one.name == name), None)


def adopt(
    instance: Instance,
    policies: Sequence[Policy],
    sinks: dict[str, Sink],
    allow_degraded: bool = False,
    spooled: Spooled | None = None,
    merging: Merging = DEFAULT,
) -> Session:
    """Attend an instance that nobody attends, under these policies.

    ``merging``: how repeated events are held back from now on.
    Raises PlanRefused, or HostError with a remedy; what is loaded then stays in
    force as it was, and what waits in its rings is there for the next one.
    """
    require_root()
    libbpf = Libbpf()
    with ExitStack() as undo:
        attendance = attend(instance)
        undo.callback(os.close, attendance)
        told = about.read(libbpf, instance)
        about.require_layout(instance, told)
        if told["tree"]:
            raise HostError(
                f"the instance {instance.name!r} holds for one command's processes, whose guard"
                " has ended: no other can attend it",
                remedy=f"`guard unload {instance.name}` takes it off",
            )
        attachment = Attachment(told["attachment"])
        found = features.probe(libbpf, os.uname().release)
        features.require_sound(attachment, found, allow_degraded)
        opened = engine.adopt(libbpf, instance, told["bits"], told["host"], attachment)
        undo.callback(opened.close)
        # Under policies for the host this process is to work as the one before did.
        opened.labels.set(os.getpid(), Label(0, flags=TaskFlag.EXEMPT))
        before = _index(instance, told)
        arranged = _arranged(before, policies)
        _require_attached(instance, opened, told)
        plan, canary_class = plan_for(arranged)
        grow(opened, found, arranged)
        configure(libbpf, opened.maps["merging"], merging)
        kept = progress.adopt(libbpf, instance)
        undo.callback(kept.close)
        indexes = {told["generation"]: GenerationIndex(before)}
        session = compose(
            opened,
            found,
            arranged,
            False,
            sinks,
            indexes,
            canary_class,
            spooled,
            told["epoch"],
            [_only_dropped(one) for one in kept.told.dropped],
        )
        undo.pop_all()
    session.attendance, session.progress, session.missed = attendance, kept, kept.told.missed
    session.adopted = True
    session.degraded = attachment is Attachment.FMOD_RET and found.preemptible
    session.started, session.reloads = told["started"], told["reloads"]
    try:
        in_force = tables.in_force(libbpf, opened.maps["current"], opened.bits)
        # Whoever was killed between a switch and telling of it has used another number.
        session.generation = max(session.generation, in_force)
        session.enforce(plan, canary_class)
        opened.sweep()
    except GuardError:
        session.let_go()
        raise
    began = session.lifecycle.started(VERSION, adopted=True)
    took = session.lifecycle.adopted(VERSION, told.get("guard"), in_force)
    session.announce([began, took])
    return session


def _index(instance: Instance, told: dict[str, Any]) -> PlanIndex:
    """What records need to know of the generation in force."""
    try:
        return PlanIndex.from_json(told["index"])
    except ValueError as error:
        raise HostError(
            f"the instance {instance.name!r} was loaded by guard {told.get('guard', '?')}, whose"
            f" description of its policies this guard cannot read: {error}",
            remedy="what is loaded goes on enforcing; `guard run --name NEW` beside it and then"
            f" `guard unload {instance.name}` leave no gap",
        ) from None


def _arranged(before: PlanIndex, policies: Sequence[Policy]) -> tuple[Policy, ...]:
    """The policies at the bits that running tasks carry for them."""
    nowhere = Span("", 1, 1, 1, 1)
    nobody = Subject((), False, False, nowhere)
    carried = [
        Policy(one.name, Mode(one.mode), nobody, None, one.file, nowhere) for one in before.policies
    ]
    try:
        return arrange(carried, policies)
    except PlanError as error:
        raise PlanRefused(error) from error


def _require_attached(instance: Instance, opened: Engine, told: dict[str, Any]) -> None:
    """Raise HostError where a program that was attached no longer is."""
    gone = sorted(set(told["programs"]) - {gate.program for gate in opened.gates})
    if gone:
        raise HostError(
            f"the instance {instance.name!r} has lost programs ({', '.join(gone)}): their links are"
            " no longer pinned",
            remedy="what is left of it goes on enforcing; `guard run --name NEW` beside it and"
            f" then `guard unload {instance.name}` leave no gap",
        )


def _only_dropped(dropped: int) -> Counters:
    """One CPU's counters, as far as Sequences looks at them."""
    return Counters(0, dropped, 0, 0, 0, 0, 0)
