# SPDX-License-Identifier: Apache-2.0
"""Attendance: a process beside the filter that writes its records and follows interfaces.

The filter needs nobody. Who attends moves drops from the ring to sinks, keeps
interfaces that come back filtered, and does the book-keeping of ended entries.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from guard.audit.loss import LossCause
from guard.audit.ring import RingReader, map_ring
from guard.audit.sinks import FanOut, Sink
from guard.audit.trail import Trail
from guard.daemon import confirm, ingress, ingress_sets, ingress_state
from guard.daemon.ingress import Filter
from guard.daemon.ingress_events import Lines, generation_of
from guard.daemon.ingress_feed import Feed
from guard.daemon.ingress_state import State
from guard.daemon.loop import STOP_SIGNALS
from guard.daemon.reload import PATIENCE_SECONDS, SIGNAL
from guard.daemon.session import process_start
from guard.errors import GuardError, HostError
from guard.kernel.ingress_load import EVENT_RING
from guard.kernel.libbpf import Libbpf, LibbpfError
from guard.kernel.netlink import LinkWatch
from guard.kernel.pins import Instance
from guard.policy.model import Policy
from guard.version import VERSION

# How often ended entries are tidied and the state is looked at.
TICK_SECONDS = 1.0

# Records in one write to a sink.
BATCH = 1024


@dataclass
class Attendance:
    """One process's attendance of one filter. ``previous``: what an end without --persist
    goes back to; ``token``: the probation that the policy is on, if it is; ``reread``: how
    the policy is read again when that is asked for, which raises GuardError; ``trail``:
    the spool that ``sink`` is a part of, if it is."""

    found: Filter
    sink: Sink
    previous: State | None = None
    token: str | None = None
    told: list[str] = field(default_factory=list)
    adopted: bool = False
    reread: Callable[[], Policy] | None = None
    trail: Trail | None = None
    _mine: str = field(init=False)
    _sinks: FanOut = field(init=False)
    _lines: Lines = field(init=False)
    _ring: RingReader = field(init=False)
    _links: LinkWatch = field(init=False)
    _feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self._mine = self.found.state.revision
        self._sinks = FanOut({"spool" if self.trail else "log": self.sink})
        self._lines = Lines(self.found.state, self.found.kernel.numbered())
        self._ring = map_ring(self.found.kernel.maps["ingress_events"], EVENT_RING)
        self._links = LinkWatch()
        self._feed = Feed(self.found.kernel.instance.name)

    @property
    def modes(self) -> list[str]:
        """How each interface is filtered, in sentences."""
        return [
            f"{name} is filtered in {mode} mode ({reason})"
            for name, (_, mode, reason) in self.found.state.attached.items()
        ]

    def serve(self) -> tuple[int, str]:
        """Attend until a stop signal, or until nothing is left to attend.

        Returns the signal's number, or 0 and the reason.
        """
        self._emit([self._lines.lifecycle.started(VERSION, self.adopted), self._lines.loaded()])
        wake, signalled = os.pipe()
        os.set_blocking(signalled, False)
        taken = (*STOP_SIGNALS, SIGNAL)
        previous = {number: signal.signal(number, lambda *_: None) for number in taken}
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        held = signal.pthread_sigmask(signal.SIG_UNBLOCK, taken)
        try:
            poll = select.poll()
            for fd in (wake, self._ring.fileno(), self._links.fileno(), self._feed.fileno()):
                poll.register(fd, select.POLLIN)
            due = time.monotonic() + TICK_SECONDS
            while True:
                ready = dict(poll.poll(max(0, int((due - time.monotonic()) * 1000))))
                self._feed.welcome()
                self.collect()
                if self._links.fileno() in ready and self._links.drain():
                    self._change(lambda: self._tell(self.found.follow()))
                if time.monotonic() >= due:
                    due = time.monotonic() + TICK_SECONDS
                    over = self.tick()
                    if over is not None:
                        return 0, over
                if wake in ready:
                    number = os.read(wake, 1)[0]
                    if number in STOP_SIGNALS:
                        return number, ""
                    self._change(self._reload)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            signal.set_wakeup_fd(-1)
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(wake)
            os.close(signalled)

    def collect(self) -> int:
        """Move what is in the ring to the sink; how many records."""
        total = 0
        while records := self._ring.drain(BATCH):
            lines = []
            for record in records:
                if generation_of(record) > self._lines.generation:
                    self._reread()
                made = self._lines.packet(record)
                if made is not None:
                    lines.append(made)
            self._emit(lines)
            self._ring.release()
            total += len(records)
        return total

    def tick(self) -> str | None:
        """Tidy up and look around; a reason to end, or None."""
        instance = self.found.kernel.instance
        if not instance.directory.exists():
            if self.token is not None:
                self._emit([self._lines.rolled_back(self.found.state, _TOO_LATE)])
                return "the policy was not confirmed in time: the filter is off again"
            return "the filter was unloaded"
        tried = self.found.state
        confirm.settle(self.found.libbpf, instance)
        self._reread()
        if self.found.state.attendant[0] != os.getpid():
            return f"process {self.found.state.attendant[0]} attends the filter now"
        waits = confirm.pending(self.found.libbpf, instance)
        if self.token is not None and (waits is None or waits["token"] != self.token):
            self.token = None
            if self.found.state.revision != self._mine:
                self._emit([self._lines.rolled_back(tried, _TOO_LATE), self._lines.loaded()])
                return "the policy was not confirmed in time: the one before is in force again"
            self._emit([self._lines.confirmed()])
        self._change(self._sweep)
        self._settle(everything=False)
        return None

    def _settle(self, everything: bool) -> None:
        """Tell what was lost on the way: in the ring, at the sink, in the spool."""
        lines = self._lines.settle(self.found.kernel.numbered())
        for loss in self._sinks.losses(everything):
            told = self._lines.lifecycle.lost
            lines.append(told(LossCause.SINK, loss.lost, sink=loss.sink, detail=loss.because))
        self._emit(lines)
        if self.trail is not None:
            self.trail.tick()

    def own(self) -> None:
        """Say in the filter's state who attends it."""
        pid = os.getpid()
        self.found.state = replace(self.found.state, attendant=(pid, process_start(pid)))
        self.found.write()

    def _reload(self) -> None:
        """Put the policy in force as it is now; what is wrong with it is kept for the asker."""
        count = self.found.state.reload[0] + 1
        problem: str | None = None
        try:
            if self.reread is None:
                raise HostError("this guard cannot read its policy again")
            state = ingress_state.of_policy(self.reread())
            # What is on trial stays on it.
            state = replace(state, deadline=self.found.state.deadline)
            told = self.found.replace(state)
            self._mine = self.found.state.revision
            self._lines.know(self.found.state)
            self._emit([self._lines.loaded()])
            self._tell(told)
        except GuardError as error:
            problem = str(error)
            self._emit([self._lines.rejected(problem)])
        self.found.state = replace(self.found.state, reload=(count, problem))
        self.found.write()
        self._lines.know(self.found.state)

    def _sweep(self) -> None:
        for name, some in ingress_sets.sweep(self.found).items():
            total = self.found.state.expired.get(name, len(some))
            self._emit([self._lines.ended(name, some, total)])

    def _tell(self, sentences: Sequence[str]) -> None:
        self.told += sentences
        if sentences:
            self._emit([self._lines.interface(one) for one in sentences])

    def _emit(self, lines: list[bytes]) -> None:
        self._feed.tell(lines)
        self._sinks.emit(lines)

    def _change(self, do: Callable[[], None]) -> None:
        """Change the filter under its lock, from the state that it has now."""
        with (
            contextlib.suppress(FileNotFoundError),
            ingress.locked(self.found.kernel.instance),
        ):
            self._reread()
            try:
                do()
            except GuardError as error:
                self._tell([f"not done: {error}"])

    def _reread(self) -> None:
        with contextlib.suppress(HostError):
            state = ingress_state.read(self.found.libbpf, self.found.kernel.instance)
            self.found.state = state
            self._lines.know(state)

    def end(self, keep: bool, because: str = "the end of guard run") -> None:
        """Stop attending. Without ``keep`` what was in force before comes back."""
        self.collect()
        instance = self.found.kernel.instance
        mine = self.found.state.attendant[0] == os.getpid()
        goes_on = keep or not mine or self.previous is not None
        with contextlib.suppress(LibbpfError):
            self._settle(everything=True)
        self._emit([self._lines.lifecycle.stopped(because, goes_on)])
        self._sinks.flush()
        self._sinks.close()
        if self.trail is not None:
            self.trail.close()
        self._feed.close()
        self._links.close()
        self._ring.close()
        self.found.close()
        if keep or not mine:
            return
        if self.token is not None and confirm.roll_back(instance, self.token) is not None:
            return
        if self.previous is None:
            ingress.remove(instance)
            return
        with ingress.locked(instance):
            found = ingress.adopt(Libbpf(), instance)
            try:
                found.replace(self.previous)
            finally:
                found.close()


_TOO_LATE = "it was not confirmed in time"

Before = Callable[[State], None]
"""Told what is about to be put in force."""


def begin(
    policy: Policy,
    sink: Sink,
    seconds: int | None,
    warn: Before = lambda _: None,
    trail: Trail | None = None,
) -> Attendance:
    """Put a policy's filter in force, in the place of one that runs, and attend it.

    ``seconds``: on probation, see guard.daemon.confirm. ``warn`` is called before
    anything changes. ``trail``: the spool that ``sink`` is a part of. Raises GuardError;
    then what was in force still is.
    """
    ingress.require_root()
    libbpf = Libbpf()
    state = ingress_state.of_policy(policy)
    warn(state)
    if seconds is not None:
        state = replace(state, deadline=confirm.now() + seconds)
    instance = ingress.running()
    if instance is not None:
        confirm.settle(libbpf, instance)
        instance = ingress.running()
    if instance is None:
        return _start(libbpf, state, sink, seconds, trail)
    with ingress.locked(instance):
        confirm.require_none(libbpf, instance)
        found = ingress.adopt(libbpf, instance)
        before = found.state
        token = None
        try:
            if seconds is not None:
                token = confirm.begin(libbpf, instance, before, state.deadline)
            told = found.replace(state)
        except BaseException:
            if token is not None:
                confirm.cancel(instance)
            found.close()
            raise
        made = Attendance(found, sink, before, token, told, adopted=True, trail=trail)
        made.own()
    return made


def _start(
    libbpf: Libbpf, state: State, sink: Sink, seconds: int | None, trail: Trail | None
) -> Attendance:
    tokens: list[str] = []

    def before(instance: Instance) -> None:
        if seconds is not None:
            tokens.append(confirm.begin(libbpf, instance, None, state.deadline))

    found = ingress.start(libbpf, state, before=before)
    made = Attendance(found, sink, None, tokens[0] if tokens else None, trail=trail)
    with ingress.locked(found.kernel.instance):
        made.own()
    return made


def ask_to_reload(instance: Instance) -> State:
    """Have the attendant read its policy again; the state after that. Raises HostError."""
    libbpf = Libbpf()
    before = ingress_state.read(libbpf, instance)
    pid, started = before.attendant
    if not pid or process_start(pid) != started:
        raise HostError(
            "nobody attends the ingress filter, so nobody reads its policy again",
            remedy="`guard run --persist POLICY` puts another policy in force",
        )
    os.kill(pid, SIGNAL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        state = ingress_state.read(libbpf, instance)
        if state.reload[0] != before.reload[0]:
            return state
        time.sleep(_PAUSE_SECONDS)
    raise HostError(f"process {pid}, which attends the ingress filter, does not answer")


_PAUSE_SECONDS = 0.05
