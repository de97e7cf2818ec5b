# SPDX-License-Identifier: Apache-2.0
"""The daemon's wait ends when it should, whatever the ring does meanwhile.

Pipes stand in for the ring and the mount table; nothing waits for time to pass.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from guard.daemon import loop
from guard.daemon.control import Listener, tell
from guard.errors import HostError


class Collecting:
    """A collector of a ring that has so many batches left; each is seen by ``then``."""

    def __init__(self, batches: int = 0, then: Callable[[int], None] = lambda _: None) -> None:
        self.batches, self.then, self.collected = batches, then, 0

    def collect(self) -> int:
        if self.collected >= self.batches:
            return 0
        self.collected += 1
        self.then(self.collected)
        return 128


class Session:
    """What serve uses of a session. Its ring is readable from the beginning."""

    def __init__(self, collector: Collecting) -> None:
        self.collector = collector
        self.settled = self.refreshed = 0
        self.generation = 1
        self.refuse: HostError | None = None
        self._read, self._write = os.pipe()
        os.write(self._write, b"!")

    @property
    def ring(self) -> Session:
        return self

    def filenos(self) -> tuple[int, ...]:
        return (self._read,)

    def settle(self) -> None:
        self.settled += 1

    def refresh(self) -> None:
        self.refreshed += 1
        if self.refuse:
            raise self.refuse
        self.generation += 1

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def error(self, what: str, **more: object) -> None:
        self.lines.append(("error", f"{what}: {more}"))

    def info(self, what: str, **more: object) -> None:
        self.lines.append(("info", f"{what}: {more}"))


@pytest.fixture
def sessions() -> Iterator[Callable[[Collecting], Session]]:
    made: list[Session] = []

    def make(collector: Collecting) -> Session:
        made.append(Session(collector))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """After each test: the same descriptors, handlers and blocked signals as before."""
    before = sorted(os.listdir("/proc/self/fd"))
    handlers = [signal.getsignal(number) for number in loop.STOP_SIGNALS]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    assert [signal.getsignal(number) for number in loop.STOP_SIGNALS] == handlers
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 2  # a test's own session's pipe


Sessions = Callable[[Collecting], Session]


def signalled(number: int) -> None:
    """A signal for this thread: threads that other tests left hold none back."""
    signal.pthread_kill(threading.get_ident(), number)


@pytest.mark.parametrize("number", loop.STOP_SIGNALS)
def test_a_stop_signal_ends_the_wait_with_its_number(sessions: Sessions, number: int) -> None:
    session = sessions(Collecting(3, lambda _: signalled(number)))
    assert loop.serve(session, None, Log()) == number  # type: ignore[arg-type]
    assert session.collector.collected == 3, "what was in the ring is delivered first"


def test_a_signal_that_was_held_back_is_taken_when_serving_begins(sessions: Sessions) -> None:
    loop.hold_signals()
    try:
        signalled(signal.SIGTERM)
        session = sessions(Collecting())
        assert loop.serve(session, None, Log()) == signal.SIGTERM  # type: ignore[arg-type]
    finally:
        loop.release_signals()


def test_the_end_of_the_child_ends_the_wait(sessions: Sessions) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    session = sessions(Collecting(2))
    assert loop.serve(session, pid, Log()) == 0  # type: ignore[arg-type]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7, "the child is the caller's"
    assert session.collector.collected == 2


def test_a_ring_that_never_gets_empty_does_not_keep_a_signal_out(sessions: Sessions) -> None:
    """Whoever is denied fast enough must not be able to keep guard from stopping."""

    def flood(batch: int) -> None:
        if batch == 1:
            signalled(signal.SIGTERM)
        assert batch < 100_000, "the signal was never looked at"

    session = sessions(Collecting(10**9, flood))
    assert loop.serve(session, None, Log()) == signal.SIGTERM  # type: ignore[arg-type]


class MountTable:
    """select.poll with a mount table that has changed, once."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._mounts: int | None = None

    def register(self, fd: int, events: int) -> None:
        if events == select.POLLPRI:
            self._mounts = fd
        else:
            self._poll.register(fd, events)

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        ready = self._poll.poll(timeout)
        if self._mounts is not None:
            ready.append((self._mounts, select.POLLPRI))
            self._mounts = None
            signalled(signal.SIGTERM)
        return ready


@pytest.fixture
def changed_mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("")
    monkeypatch.setattr(loop, "MOUNTINFO", tmp_path / "mountinfo")
    poll = MountTable()
    monkeypatch.setattr(loop.select, "poll", lambda: poll)


def test_a_change_of_the_mount_table_is_followed(sessions: Sessions, changed_mounts: None) -> None:
    session, log = sessions(Collecting()), Log()
    loop.serve(session, None, log)  # type: ignore[arg-type]
    assert session.refreshed == 1
    assert [kind for kind, _ in log.lines] == ["info"]


def test_where_following_fails_the_log_says_why_and_guard_goes_on(
    sessions: Sessions, changed_mounts: None
) -> None:
    session, log = sessions(Collecting()), Log()
    session.refuse = HostError("the new tables take too much")
    assert loop.serve(session, None, log) == signal.SIGTERM  # type: ignore[arg-type]
    ((kind, text),) = log.lines
    assert kind == "error" and "the new tables take too much" in text


POLL = select.poll


class Watched:
    """select.poll that notes every wait: for which descriptors, and how long at most."""

    def __init__(self, waits: list[tuple[frozenset[int], int]]) -> None:
        self._poll, self._waits = POLL(), waits
        self._fds: set[int] = set()

    def register(self, fd: int, events: int) -> None:
        self._fds.add(fd)
        self._poll.register(fd, events)

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        self._waits.append((frozenset(self._fds), timeout))
        return self._poll.poll(timeout)


def test_after_records_it_rests_without_being_woken_for_more(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[frozenset[int], int]] = []
    monkeypatch.setattr(loop.select, "poll", lambda: Watched(waits))
    monkeypatch.setattr(loop, "rest", lambda moved, _since: 0.007 if moved == 3 * 128 else 9.0)

    class Twice(Collecting):
        """Three batches; at the second turn a signal."""

        def collect(self) -> int:
            if self.collected >= self.batches and len(waits) == 3:
                signalled(signal.SIGTERM)
            return super().collect()

    session = sessions(Twice(3))
    loop.serve(session, None, Log())  # type: ignore[arg-type]
    (ring,) = session.filenos()
    (first, _), (second, pause), (third, _) = waits[:3]
    assert ring in first, "when idle a record wakes it at once"
    assert second == first - {ring} and pause == 7, "a ring that is readable is left alone"
    assert ring in third


def test_a_signal_ends_the_rest(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "rest", lambda _moved, _since: 3600.0)
    session = sessions(Collecting(2, lambda _: signalled(signal.SIGTERM)))
    assert loop.serve(session, None, Log()) == signal.SIGTERM  # type: ignore[arg-type]


def test_what_commands_say_they_did_is_told_as_records(sessions: Sessions, tmp_path: Path) -> None:
    session, lines = sessions(Collecting()), []

    def told(more: list[bytes]) -> None:
        lines.extend(more)
        signalled(signal.SIGTERM)

    session.collector.tell = told  # type: ignore[attr-defined]
    session.lifecycle = SimpleNamespace(  # type: ignore[attr-defined]
        control_called=lambda command, *_: command.encode()
    )
    with Listener("host", directory=tmp_path) as listener:
        assert tell("host", "reload", [], "done", directory=tmp_path)
        loop.serve(session, None, Log(), None, listener)  # type: ignore[arg-type]
    assert lines == [b"reload"]
