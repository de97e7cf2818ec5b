# SPDX-License-Identifier: Apache-2.0
"""The shipper's process: a worker and a thread for each sink, and what surrounds them.

Knows the order in which things begin and end; nothing of protocols. One sink's
thread never waits for another's.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from guard.audit.clock import Clock
from guard.audit.origin import read_origin
from guard.errors import GuardError
from guard.policy.diagnostic import printable
from guard.ship import metrics
from guard.ship.build import Make, maker
from guard.ship.config import Config, SinkConfig
from guard.ship.deadletter import DeadLetters
from guard.ship.formats import renderer
from guard.ship.notify import notify
from guard.ship.reports import Reports
from guard.ship.source import SpoolSource
from guard.ship.worker import Happening, Turn, Worker
from guard.version import VERSION

OWN_SPOOL = "own"
DEAD = "refused"

# How often the metrics file is written: Prometheus scrapes every 15 s to 60 s.
METRICS_SECONDS = 15.0
TICK_SECONDS = 1.0

# At the end every worker may finish what it is sending; systemd waits 90 s.
GRACE_SECONDS = 20.0

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _Running:
    worker: Worker
    thread: threading.Thread


class Service:
    """Runs the sinks of a configuration. ``make`` is for tests: it makes a sink's maker."""

    def __init__(
        self,
        config: Config,
        log: FilteringBoundLogger,
        make: Callable[[SinkConfig], Make] = maker,
    ) -> None:
        """Raises GuardError if the state directory cannot be had."""
        self._config = config
        self._make = make
        self.log = self._log = log
        self._stopping = threading.Event()
        state = Path(config.state)
        clock = Clock()
        # Its own numbers begin at 0 with each run, so each run is an epoch.
        origin = read_origin(f"ship@{clock.boot_ns()}")
        try:
            self._reports = Reports(state / OWN_SPOOL, origin, clock)
        except Exception as error:  # OSError, SpoolBusy: both say what is wrong
            raise GuardError(
                f"the state directory cannot be used: {error}",
                remedy=f"{state} must be a directory of the shipper's user, for one shipper",
            ) from None
        self._running = [self._begin(sink, make(sink)) for sink in config.sinks]
        self._socket: metrics.MetricsSocket | None = None
        self._written = -METRICS_SECONDS

    def start(self) -> None:
        """Starts a thread for each sink. No receiver is waited for."""
        if self._config.metrics_socket is not None:
            try:
                self._socket = metrics.MetricsSocket(
                    Path(self._config.metrics_socket), self.metrics
                )
            except OSError as error:
                self._log.error(
                    "no metrics socket", path=self._config.metrics_socket, because=str(error)
                )
        self._reports.put(lambda records: records.started(VERSION))
        for one in self._running:
            one.thread.start()
        names = [sink.name for sink in self._config.sinks]
        self._log.info("shipping started", spool=self._config.spool, sinks=names)

    def tick(self) -> None:
        """What is due about once a second."""
        self._reports.tick()
        now = time.monotonic()
        if self._config.metrics_file is None or now - self._written < METRICS_SECONDS:
            return
        self._written = now
        try:
            metrics.write_file(Path(self._config.metrics_file), self.metrics())
        except OSError as error:
            self._log.error(
                "metrics not written", path=self._config.metrics_file, because=str(error)
            )

    def status(self) -> str:
        """One line for systemctl status."""
        stats = {one.worker.name: one.worker.stats for one in self._running}
        down = [f"{name} ({one.because})" for name, one in stats.items() if one.failing_since]
        if down:
            # Receivers' words: a newline would begin another assignment to systemd.
            return printable(f"failing: {'; '.join(down)[:400]}")
        return f"{len(stats)} sinks, {sum(one.delivered for one in stats.values())} delivered"

    def metrics(self) -> bytes:
        """The counts of all workers as they are now."""
        return metrics.render({one.worker.name: one.worker.stats for one in self._running})

    def stop(self, because: str) -> None:
        """Ends every worker, and returns when they have ended or the grace is over."""
        self._stopping.set()
        until = time.monotonic() + GRACE_SECONDS
        for one in self._running:
            one.thread.join(max(0.0, until - time.monotonic()))
        for one in self._running:
            if one.thread.is_alive():  # in a call that has a timeout of its own
                self._log.warning("sink did not end in time", sink=one.worker.name)
        self._reports.put(lambda records: records.ended(because))
        self._written = -METRICS_SECONDS
        self.tick()
        if self._socket is not None:
            self._socket.close()
        self._reports.close()
        self._log.info("shipping stopped", because=because)

    def succeeded_by(self, config: Config) -> Service:
        """Stops, and starts another with this configuration; the old one again if it cannot be."""
        self.stop("another configuration")
        try:
            successor = Service(config, self._log, self._make)
        except GuardError as error:
            self._log.error("the new configuration cannot be used", because=str(error))
            successor = Service(self._config, self._log, self._make)
        successor.start()
        return successor

    def _begin(self, sink: SinkConfig, make: Make) -> _Running:
        state = Path(self._config.state)
        sources = (
            SpoolSource(Path(self._config.spool), sink.name),
            SpoolSource(state / OWN_SPOOL, sink.name),
        )
        dead = DeadLetters(state / DEAD, sink.name)
        worker = Worker(
            sink.name, sources, renderer(sink.format), make, dead, sink.plan, self._tell
        )
        # Daemonic, so that one that hangs cannot keep the process from ending.
        thread = threading.Thread(
            target=self._run, args=(worker,), name=f"guard-{sink.name}", daemon=True
        )
        return _Running(worker, thread)

    def _run(self, worker: Worker) -> None:
        while not self._stopping.is_set():
            seconds = worker.step()
            if seconds:
                self._stopping.wait(seconds)
        worker.close()

    def _tell(self, happening: Happening) -> None:
        name, because, count = happening.sink, happening.because, happening.count
        milliseconds = int(happening.seconds * 1000)
        event = f"sink.{happening.turn.value}"
        self._reports.put(
            lambda records: records.sink_turned(event, name, because, count, milliseconds)
        )
        say = self._log.info if happening.turn is Turn.RECOVERED else self._log.warning
        say(
            f"sink {happening.turn.value}",
            sink=name,
            because=because,
            count=count,
            milliseconds=milliseconds,
        )


def serve(service: Service, reread: Callable[[], Config] | None = None) -> None:
    """Runs the service until a stop signal comes.

    ``reread`` reads the configuration anew when SIGHUP asks for it, and raises
    GuardError if it cannot be used; what runs then goes on. None: SIGHUP stops.
    """
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    got: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _frame: got.append(number))
        for number in STOP_SIGNALS
    }
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    try:
        service.start()
        notify("READY=1", f"STATUS={service.status()}")
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        while True:
            if poll.poll(TICK_SECONDS * 1000):
                os.read(wake, 1)
            if reread is not None and signal.SIGHUP in got:
                got.remove(signal.SIGHUP)
                service = _renewed(service, reread)
            if got:
                break
            service.tick()
            notify("WATCHDOG=1", f"STATUS={service.status()}")
        notify("STOPPING=1")
        service.stop(signal.Signals(got[0]).name)
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(wake)
        os.close(signalled)


def _renewed(service: Service, reread: Callable[[], Config]) -> Service:
    """The service of the configuration as it is now; the one that runs if that is of no use.

    Sinks of the same name go on where their cursors are.
    """
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        config = reread()
    except GuardError as error:
        service.log.error("the configuration was read again and refused", because=str(error))
    else:
        service = service.succeeded_by(config)
    notify("READY=1", "WATCHDOG=1", f"STATUS={service.status()}")
    return service
