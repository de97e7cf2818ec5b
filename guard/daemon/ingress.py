# SPDX-License-Identifier: Apache-2.0
"""One ingress filter, composed: policy, tables, kernel, interfaces.

Every change builds the next generation beside the one in force and takes
effect by one write; a failure leaves the old one. Any root process may make a
change: what it needs is in the kernel, and a lock keeps two from meeting.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guard.daemon import ingress_state
from guard.daemon.ingress_state import State
from guard.errors import GuardError, HostError
from guard.kernel import ingress, ingress_control, ingress_load, pins, xdp
from guard.kernel.ingress import ROOT, Ingress
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.kernel.netlink import Interface, XdpMode, interfaces
from guard.kernel.pins import Instance
from guard.kernel.timed import Timed
from guard.kernel.xdp import Wanted
from guard.plan.platform import needs_tcx
from guard.policy.ingress import IngressSection

if TYPE_CHECKING:
    from guard.plan.ingress.build import Plan

INSTANCE = "host"
"""The name of the host's filter: an interface takes one."""

# An index that no interface has: rules about one that is gone match nothing.
_ABSENT = 0x7FFF0000


@dataclass
class Filter:
    """A filter that is in force, open for use."""

    kernel: Ingress
    state: State
    plan: Plan | None = None

    @property
    def libbpf(self) -> Libbpf:
        """The library that everything goes through."""
        return self.kernel.libbpf

    def apply(self, state: State) -> None:
        """Put another state's tables in force, and remember it. Raises GuardError."""
        here = interfaces()
        state = replace(state, generation=self.state.generation + 1)
        plan = compiled(state, self.kernel.constants.ticks, here)
        state = replace(state, slots=plan.slots)
        data = plan.numbered(state.generation)
        self.aim(plan, here)
        if not self.kernel.switch(data):
            ingress_load.grow(self.kernel, data)
        self.state, self.plan = state, plan
        self.write()
        if not state.deadline:
            ingress_control.end_trial(self.kernel)

    def write(self) -> None:
        """Keep the state with the instance."""
        ingress_state.write(self.libbpf, self.kernel.instance, self.state)

    def aim(self, plan: Plan, here: dict[str, Interface]) -> None:
        """Fill in where redirect and mirror rules send."""

        def index(name: str) -> int:
            return here[name].index if name in here else 0

        self.kernel.set_targets(
            [index(name) for name in plan.devices], plan.cpus, [index(n) for n in plan.mirrors]
        )

    def replace(self, state: State) -> list[str]:
        """Another policy in this one's place: its tables, then its interfaces.

        Timed entries stay where the set is still there. With a deadline, the filter
        goes back by itself (guard.daemon.confirm). What was done to interfaces is told.
        Raises GuardError; then the old policy is in force.
        """
        old = self.state
        names = state.section.interfaces
        found = xdp.require(names)
        require_targets(state.section)
        known = {one.name for one in state.section.sets}
        # A set's bit stays its own; of sets that went, it waits for another.
        timed = tuple(name if name in known else "" for name in old.timed)
        state = replace(
            state,
            timed=timed,
            slots=old.slots,
            attached=old.attached,
            attendant=old.attendant,
            started=old.started,
            next_program=old.next_program,
            reload=old.reload,
            expired={name: count for name, count in old.expired.items() if name in known},
        )
        with ExitStack() as undo:
            attached = dict(old.attached)
            # New interfaces first, under the old tables: none is without a filter.
            for one in found:
                if one.name not in attached:
                    attached[one.name] = self.cover(one, state.section)
                    undo.callback(self.kernel.detach, one.index)
                elif watches(state.section):
                    self.kernel.watch(one)
            if state.deadline and not old.deadline:
                fresh = [
                    index for name, (index, _, _) in attached.items() if name not in old.attached
                ]
                ingress_control.begin_trial(self.kernel, state.deadline, fresh)
                undo.callback(ingress_control.end_trial, self.kernel)
            self.apply(replace(state, attached=attached))
            undo.pop_all()
        self._forget([bit for bit, name in enumerate(old.timed) if name not in known])
        told = [f"filtering {name} too" for name in attached if name not in old.attached]
        for name in [name for name in attached if name not in names]:
            self.kernel.detach(attached.pop(name)[0])
            told.append(f"no longer filtering {name}")
        self.state = replace(self.state, attached=attached)
        self.write()
        return told

    def _forget(self, bits: list[int]) -> None:
        """Take all timed entries of these sets away."""
        if bits:
            timed = Timed(self.kernel)
            try:
                for bit in bits:
                    timed.clear(bit)
            finally:
                timed.close()

    def cover(self, one: Interface, section: IngressSection) -> tuple[int, str, str]:
        """Filter one more interface; its index, the mode and the reason. Raises HostError."""
        made = self.kernel.attach(one, wanted(section))
        if watches(section):
            try:
                self.kernel.watch(one)
            except HostError as error:
                self.kernel.detach(one.index)
                need = needs_tcx(section)[0]
                raise HostError(
                    f"{need.span}: {error}; without that {need.what}", remedy=error.remedy
                ) from error
        return made.ifindex, made.mode.name.lower(), made.reason

    def follow(self) -> list[str]:
        """Look after interfaces that went or came back; what was found, in sentences."""
        here = interfaces()
        by_index = {one.index: one for one in here.values()}
        attached = dict(self.state.attached)
        told = []
        for name, (index, _, _) in self.state.attached.items():
            if index not in by_index or by_index[index].name != name:
                attached.pop(name)
                if index not in by_index:
                    self.kernel.detach(index)
                    told.append(f"interface {name} is gone")
                else:
                    # Renamed: the filter is still on it, under a name of another rule, maybe.
                    attached[by_index[index].name] = self.state.attached[name]
                    told.append(f"interface {name} is now called {by_index[index].name}")
        for name in self.state.section.interfaces:
            if name in here and name not in attached:
                try:
                    attached[name] = self.cover(here[name], self.state.section)
                except GuardError as error:
                    told.append(f"interface {name} is there and NOT filtered: {error}")
                else:
                    told.append(f"interface {name} is back and filtered")
        if attached != self.state.attached:
            self.apply(replace(self.state, attached=attached))
        return told

    def missing(self) -> list[str]:
        """Interfaces that the policy names and that are not filtered now."""
        alive = self.kernel.attached()
        on = {name for name, (index, _, _) in self.state.attached.items() if alive.get(index)}
        return [name for name in self.state.section.interfaces if name not in on]

    def close(self) -> None:
        """Close the descriptors; the filter stays."""
        self.kernel.close()


def start(
    libbpf: Libbpf,
    state: State,
    name: str = INSTANCE,
    root: Path = ROOT,
    before: Callable[[Instance], object] = lambda _: None,
) -> Filter:
    """Put a new filter in force. Raises GuardError; then nothing is left behind.

    ``before`` is told the instance, hidden yet, before the first interface is filtered.
    """
    found = xdp.require(state.section.interfaces)
    require_targets(state.section)
    ticks = ingress_load.hertz(libbpf)
    here = interfaces()
    plan = compiled(state, ticks, here)
    state = replace(state, generation=1, slots=plan.slots, started=time.time())
    with ExitStack() as undo:
        kernel, hidden = ingress_load.load(libbpf, name, plan.numbered(1), ticks, root)
        undo.callback(pins.remove, hidden)
        made = Filter(kernel, state, plan)
        undo.callback(made.close)
        made.aim(plan, here)
        before(hidden)
        if state.deadline:
            ingress_control.begin_first_trial(kernel, state.deadline)
        attached = {one.name: made.cover(one, state.section) for one in found}
        made.state = replace(state, attached=attached)
        made.write()
        ingress_load.publish(kernel)
        undo.pop_all()
    return made


def adopt(libbpf: Libbpf, instance: Instance) -> Filter:
    """Open a filter that another process made; it stays in force. Raises GuardError."""
    ingress_state.require_numpy()
    state = ingress_state.read(libbpf, instance)
    try:
        return Filter(ingress.adopt(libbpf, instance), state)
    except LibbpfError as error:
        raise HostError(
            f"the ingress filter {instance.name!r} cannot be taken over: {error}",
            remedy="`guard unload` removes it; the packets that it drops then come in",
        ) from error


def require_root() -> None:
    """Raise HostError unless this process may change what filters."""
    if os.geteuid() != 0:
        raise HostError(
            "the ingress filter is root's", remedy="run it with sudo; `guard check` needs none"
        )


def running(name: str = INSTANCE, root: Path = ROOT) -> Instance | None:
    """The instance of that name, if it is there."""
    return next((one for one in pins.instances(root) if one.name == name), None)


def require_running(name: str = INSTANCE, root: Path = ROOT) -> Instance:
    """As ``running``. Raises HostError when there is none."""
    found = running(name, root)
    if found is None:
        raise HostError(
            "no ingress filter is in force",
            remedy="`guard run --persist POLICY` starts one; the policy needs an ingress section",
        )
    return found


@contextmanager
def locked(instance: Instance) -> Iterator[None]:
    """Keep every other process from changing the instance meanwhile."""
    fd = os.open(instance.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove(instance: Instance) -> None:
    """Take a filter off all its interfaces."""
    with contextlib.suppress(FileNotFoundError), locked(instance):
        pins.remove(instance)


def compiled(state: State, ticks: int, here: dict[str, Interface]) -> Plan:
    """The next generation's tables. Raises GuardError."""
    from guard.plan.ingress.build import Host, Options, build  # noqa: PLC0415 - needs numpy

    section = state.section
    names = {*section.interfaces, *targets(section)}
    for rule in section.rules:
        names.update(rule.match.interfaces)
    indexes = {
        name: here[name].index if name in here else _ABSENT + number
        for number, name in enumerate(sorted(names))
    }
    options = Options(
        audit=state.mode == "audit",
        next_program=state.next_program is not None,
        trial=state.deadline > 0,
        timed=state.timed,
    )
    return build(section, state.sets, Host(indexes, ticks), options, state.slots, state.policy)


def targets(section: IngressSection) -> list[str]:
    """Interfaces that redirect and mirror rules send to."""
    return [
        rule.target.interface
        for rule in section.rules
        if rule.target is not None and rule.target.interface is not None
    ]


def require_targets(section: IngressSection) -> None:
    """Raise HostError when a rule sends to an interface that is not there."""
    xdp.require(targets(section))


def wanted(section: IngressSection) -> Wanted:
    """The mode that a section asks for."""
    if section.generic:
        return Wanted.GENERIC
    return Wanted.AUTO if section.allow_generic else Wanted.NATIVE


def watches(section: IngressSection) -> bool:
    """Whether what leaves has to be seen, or copies are sent."""
    return bool(needs_tcx(section))


def degraded(found: Filter) -> list[str]:
    """What is not as the policy wants it, in sentences; none: all is well."""
    told = [f"interface {name} is not filtered" for name in found.missing()]
    here = {one.index: one for one in interfaces().values()}
    for name, (index, mode, _) in found.state.attached.items():
        one = here.get(index)
        if one is not None and one.mode is not XdpMode[mode.upper()]:
            told.append(f"interface {name} runs its filter in {one.mode.name.lower()} mode")
    return told
