# SPDX-License-Identifier: Apache-2.0
"""One instance of guard, composed: the only caller of the whole order.

policies → host plan → tables → kernel; ring → records → sinks. Everything
below is given its parts here and finds nothing by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guard.audit.clock import Clock
from guard.audit.collect import Collector
from guard.audit.decode import Counters
from guard.audit.decode import counters as decode_counters
from guard.audit.enrich import Enrichment, enrichment
from guard.audit.gather import Gatherer
from guard.audit.lifecycle import Lifecycle
from guard.audit.loss import LossCause
from guard.audit.origin import read_origin
from guard.audit.record import Recorder
from guard.audit.render_json import JsonRenderer
from guard.audit.ring import map_ring
from guard.audit.rings import Rings
from guard.audit.sequence import Sequences
from guard.audit.sinks import FanOut, Sink
from guard.audit.trail import Trail
from guard.daemon import canary
from guard.daemon.hostplan import MOUNTINFO, plan_for, tables_for
from guard.daemon.index import GenerationIndex
from guard.daemon.stream import Spooled, open_stream, open_trail
from guard.errors import HostError
from guard.kernel import about, engine, features, pins, progress, repeats
from guard.kernel.attachment import Attachment
from guard.kernel.attendance import attend
from guard.kernel.engine import RINGS, Engine
from guard.kernel.features import Features
from guard.kernel.grow import grow
from guard.kernel.labels import Label
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.kernel.progress import Progress
from guard.kernel.repeats import DEFAULT, Merging, Repeats
from guard.plan.bits import is_retired
from guard.plan.host import HostPlan
from guard.plan.index import index_plan
from guard.plan.units import section_rules
from guard.policy.model import Policy
from guard.version import VERSION
from guard.wire.layout import Section, TaskFlag


@dataclass
class Session:
    """A loaded instance and its audit stream. ``tree``: the policies hold for one tree only."""

    engine: Engine
    features: Features
    policies: tuple[Policy, ...]
    tree: bool
    collector: Collector | Gatherer
    lifecycle: Lifecycle
    ring: Rings
    sinks: FanOut
    indexes: dict[int, GenerationIndex]
    generation: int
    canary_class: int
    enrichment: Enrichment
    started: float = field(default_factory=time.time)
    missed: int = 0
    degraded: bool = False
    trail: Trail | None = None
    reloadable: bool = False
    reloads: int = 0
    reload_problem: str | None = None
    plan: HostPlan | None = None
    epoch: str = ""
    adopted: bool = False
    progress: Progress | None = None
    attendance: int | None = None
    repeats: Repeats | None = None

    def label(self, pid: int) -> None:
        """Put a process under all policies, as the root of the tree they hold for."""
        self.engine.labels.set(pid, Label((1 << len(self.policies)) - 1))

    def canaries(self) -> tuple[canary.Canary, ...]:
        """Send live canaries through every hook."""
        return canary.run(self.engine, self.canary_class, self.generation)

    def refresh(self) -> None:
        """Compile for the mount table as it is now and switch to that.

        Raises PlanRefused or HostError; the old generation is then still in force.
        """
        plan, canary_class = plan_for(self.policies)
        grow(self.engine, self.features, self.policies)
        self.enforce(plan, canary_class)

    def enforce(self, plan: HostPlan, canary_class: int) -> None:
        """Switch to the tables of a plan for ``policies``. Raises HostError or PlanRefused."""
        generation = self.generation + 1
        tables = tables_for(plan, generation)
        # Known before the first event of the new generation can come.
        self.indexes[generation] = GenerationIndex(index_plan(plan))
        self.engine.switch(tables)
        self.generation, self.canary_class = generation, canary_class
        self.describe(plan)

    def announce(self, before: Sequence[bytes]) -> None:
        """Tell which policies are in force, after lines of guard's own."""
        lines = list(before)
        for policy in self.policies:
            if not is_retired(policy):
                lines.append(
                    self.lifecycle.policy_loaded(
                        policy.name,
                        policy.mode.value,
                        policy.source,
                        self.generation,
                        rule_count(policy),
                    )
                )
        self.collector.tell(lines)

    def redescribe(self) -> None:
        """Pin the description again, as things are now."""
        assert self.plan is not None, "a session that was started has been described"
        self.describe(self.plan)

    def describe(self, plan: HostPlan) -> None:
        """Pin what `guard status` and a successor need to know."""
        self.plan = plan
        described = _about(self.policies, self.tree, self.generation, self.canary_class)
        described["bits"], described["host"] = self.engine.bits, self.engine.host
        described["started"] = self.started
        described["attachment"] = self.engine.attachment.value
        described["programs"] = [gate.program for gate in self.engine.gates]
        described["reloadable"] = self.reloadable
        described["reloads"] = self.reloads
        described["reload_problem"] = self.reload_problem
        described["epoch"], described["layout"] = self.epoch, about.layout()
        described["index"] = index_plan(plan).to_json()
        about.write(self.engine.libbpf, self.engine.instance, described)

    def settle(self) -> None:
        """Compare the kernel's counters with what arrived, and report what is missing."""
        self.enrichment.settle()
        self._tell_repeats()
        counters = self.counters()
        self.collector.settle(counters)
        missed = self.engine.misses()
        if missed > self.missed:
            fresh, self.missed = missed - self.missed, missed
            self.collector.tell([self.lifecycle.lost(LossCause.PASSED_BY, fresh)])
        self._note_told(counters)

    def _tell_repeats(self) -> None:
        """Have the kernel send what it counted, and tell what it held back."""
        if self.repeats is None:
            return
        self.repeats.flush()
        limited = self.repeats.limited()
        for (bit, refused), count in limited.items():
            name = self.policies[bit].name if bit < len(self.policies) else str(bit)
            detail = f"policy {name}: {'denials' if refused else 'audited operations'}"
            line = self.lifecycle.lost(LossCause.RATE_LIMITED, count, detail=detail)
            self.collector.tell([line])
        if limited:
            self.repeats.note(limited)

    def _note_told(self, counters: Sequence[Counters]) -> None:
        if self.progress is not None:
            self.progress.tell(self.missed, [one.dropped for one in counters])

    def counters(self) -> list[Counters]:
        """Each CPU's counters, now."""
        return [decode_counters(raw) for raw in self.engine.counters()]

    def finish(self, because: str, enforcing: bool) -> None:
        """Deliver what is in the ring, say that guard stops, and close everything."""
        self._tell_repeats()
        counters = self.counters()
        self.collector.finish(counters, self.lifecycle.stopped(because, enforcing))
        self._note_told(counters)
        self.let_go()

    def let_go(self) -> None:
        """Close everything without a word: what waits in the rings stays there."""
        self.sinks.close()
        if self.trail is not None:
            self.trail.close()
        self.ring.close()
        self.engine.close()
        if self.progress is not None:
            self.progress.close()
        if self.repeats is not None:
            self.repeats.close()
        if self.attendance is not None:
            os.close(self.attendance)


def start(
    policies: Sequence[Policy],
    name: str,
    tree: bool,
    sinks: dict[str, Sink],
    exempt: bool,
    later: Sequence[Policy] = (),
    allow_degraded: bool = False,
    spooled: Spooled | None = None,
    merging: Merging = DEFAULT,
) -> Session:
    """Load policies as instance ``name`` and open its audit stream.

    ``exempt``: this process is passed by by host-wide policies, as a daemon
    must be. ``later`` are policies that may follow by ``refresh``: what they need of
    the kernel is loaded now. ``allow_degraded``: also where programs can be passed by
    (guard.kernel.attachment). ``spooled``: records go there, and ``sinks`` get
    none. ``merging``: how repeated events are held back. Raises PlanRefused, or
    HostError with a remedy; then nothing is left loaded.
    """
    require_root()
    pins.require_bpffs(MOUNTINFO.read_text(errors="surrogateescape"))
    libbpf = Libbpf()
    found = features.probe(libbpf, os.uname().release)
    plan, canary_class = plan_for(policies)
    tables = tables_for(plan, 1)
    attachment = features.attachment(found)
    features.require_sound(attachment, found, allow_degraded)
    try:
        chosen = engine.choose_gates(found, [*policies, *later], attachment)
        loaded = engine.load(
            libbpf, found, name, tables, tables.bits, chosen, attachment, merging=merging
        )
    except LibbpfError as error:
        raise features.refusal(error, found) from error
    try:
        # Waits at most for somebody who finds that nothing is described yet.
        attendance = attend(loaded.instance, wait=True)
        index = GenerationIndex(index_plan(plan))
        indexes = {1: index}
        session = compose(
            loaded, found, tuple(policies), tree, sinks, indexes, canary_class, spooled
        )
        session.attendance = attendance
        session.progress = progress.begin(libbpf, loaded.instance)
        session.degraded = attachment is Attachment.FMOD_RET and found.preemptible
        session.describe(plan)
        if exempt:
            loaded.labels.set(os.getpid(), Label(0, flags=TaskFlag.EXEMPT))
        if not tree:
            loaded.sweep()
        session.announce([session.lifecycle.started(VERSION, adopted=False)])
    except BaseException:
        loaded.close()
        pins.remove(loaded.instance)
        raise
    return session


def require_root() -> None:
    """Raise HostError unless this process may load programs."""
    if os.geteuid() != 0:
        raise HostError(
            "enforcing needs root: programs are loaded into the kernel",
            remedy="run it with sudo; `guard check` needs no privilege",
        )


def compose(
    loaded: Engine,
    found: Features,
    policies: tuple[Policy, ...],
    tree: bool,
    sinks: dict[str, Sink],
    indexes: dict[int, GenerationIndex],
    canary_class: int,
    spooled: Spooled | None,
    epoch: str | None = None,
    told: Sequence[Counters] | None = None,
) -> Session:
    """A session over a loaded instance: its rings, and where records go.

    ``epoch`` and ``told`` are of an instance that another guard loaded: what its records
    are counted in, and the losses that were told of.
    """
    clock = Clock()
    # The counters begin at 0 with the instance: its name and start are its epoch.
    # guard's own records are counted by each guard that attends it, from 0.
    own = f"{loaded.instance.name}@{clock.boot_ns()}"
    epoch = epoch or own
    ring = Rings([map_ring(loaded.maps[name], loaded.ring_bytes) for name in RINGS])
    fan_out = FanOut(sinks)
    lifecycle = Lifecycle(read_origin(f"{own}/guard"), clock)
    enriched = enrichment(clock)
    recorder = Recorder(clock, indexes.get, enriched.hashes, enriched.identities.target)
    render = JsonRenderer(read_origin(epoch), enriched.identities).line
    collector: Collector | Gatherer
    trail = None
    if spooled is not None:
        trail = open_trail(spooled, lifecycle)
        collector = open_stream(
            ring.each(),
            recorder,
            render,
            lambda: enriched.identities.version,
            lifecycle,
            clock,
            trail,
            told,
        )
    else:
        sequences = Sequences(told)
        collector = Collector(ring, recorder, render, fan_out, lifecycle, clock, sequences)
    return Session(
        loaded,
        found,
        policies,
        tree,
        collector,
        lifecycle,
        ring,
        fan_out,
        indexes,
        max(indexes),
        canary_class,
        enriched,
        trail=trail,
        epoch=epoch,
        repeats=repeats.attend(loaded.libbpf, loaded.instance),
    )


def rule_count(policy: Policy) -> int:
    """How many rules a policy has, in all sections that processes are judged by."""
    return sum(len(section_rules(policy, section)) for section in Section)


def process_start(pid: int) -> str | None:
    """When a process began, in the kernel's own ticks (proc(5), stat field 22); None: gone.

    With the pid it is the process's identity, which a pid that is used again is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the name, may hold spaces and parentheses itself.
    return stat.rsplit(")", 1)[1].split()[19]


def _about(
    policies: tuple[Policy, ...], tree: bool, generation: int, canary_class: int
) -> dict[str, Any]:
    return {
        "guard": VERSION,
        "pid": os.getpid(),
        "pid_started": process_start(os.getpid()),
        "tree": tree,
        "generation": generation,
        "canary_class": canary_class,
        "policies": [
            {
                "name": policy.name,
                "mode": policy.mode.value,
                "source": policy.source,
                "rules": rule_count(policy),
            }
            for policy in policies
            if not is_retired(policy)
        ],
    }
