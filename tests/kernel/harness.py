# SPDX-License-Identifier: Apache-2.0
"""What the kernel suite stands on: one loaded instance, and processes under its policies.

Loading takes seconds in a guest and a switch of tables milliseconds, so
one is loaded for all and each test puts its own policies in force.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guard.daemon import session
from guard.daemon.session import Session
from guard.kernel import pins
from guard.kernel.labels import Label
from guard.kernel.repeats import EVERY, Merging
from guard.policy.load import load
from guard.policy.model import Policy

DRIVERS = Path(__file__).parents[2] / "build" / "drivers"

# The name of the instance that the tests share.
SHARED = "suite"

# Labels are given by the tests: no executable matches, and an exec keeps them.
TREE = "{exe: /none/such, inherit: true}"
FILE = "policy.yaml"
FIRST_RULE_LINE = 8
DEFAULT_LINE = 6

# Needs every gate that there is: what a test puts in force may need any.
EVERYTHING = f"""\
version: 1
name: everything
mode: audit
subject: {{exe: /none/such, inherit: true, sha256: "{"0" * 64}"}}
file: {{default: deny}}
exec: {{default: deny}}
net: {{default: deny}}
kernel: {{default: deny}}
"""

_SPECIAL = frozenset("*?[]{},\\$")

Record = dict[str, Any]


def policy(
    *rules: str,
    name: str = "p",
    mode: str = "enforce",
    default: str = "allow",
    subject: str = TREE,
) -> str:
    """A policy's text; ``rules`` are flow mappings, one a line from FIRST_RULE_LINE on."""
    lines = ["version: 1", f"name: {name}", f"mode: {mode}", f"subject: {subject}", "file:"]
    lines += [f"  default: {default}", *(["  rules:"] if rules else [])]
    return "\n".join([*lines, *(f"    - {rule}" for rule in rules)]) + "\n"


def rule(effect: str, verbs: str, *patterns: str, more: str = "", id: str = "it") -> str:
    """A rule's text; ``patterns`` are globs: see ``literal``. ``more``: further keys."""
    paths = json.dumps(list(patterns))
    return f"{{id: {id}, {effect}: {verbs}, path: {paths}{', ' if more else ''}{more}}}"


def literal(path: str | Path) -> str:
    """A glob that matches just this path."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in str(path))


def parsed(texts: Sequence[str]) -> tuple[Policy, ...]:
    """Policies from texts, which must be without errors."""
    loaded = load((FILE if at == 0 else f"{at}.yaml", one.encode()) for at, one in enumerate(texts))
    assert loaded.usable, loaded.diagnostics
    return loaded.policies


class Lines:
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def emit(self, batch: Sequence[bytes]) -> None:
        self.lines += batch

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Attempt:
    """What became of a process: its errno or exit status (0: it succeeded), what it
    returned, and the records of that time.
    """

    pid: int
    errno: int
    value: Any = None
    records: list[Record] = field(default_factory=list)

    @property
    def record(self) -> Record:
        """The only record."""
        assert len(self.records) == 1, self.records
        return self.records[0]


class Started:
    """A process that was started under a label and waits, by itself, for input."""

    def __init__(self, enforcer: Enforcer, pid: int, results: int, feed: int, said: int) -> None:
        self._enforcer, self.pid = enforcer, pid
        self._results, self._feed, self._said = results, feed, said

    def await_word(self) -> None:
        """Return when the process has written a byte to its standard output."""
        assert os.read(self._said, 1), "the process ended early"

    def finish(self) -> Attempt:
        """Give the process its byte of input and wait for its end."""
        with contextlib.suppress(BrokenPipeError):  # it may not have waited
            os.write(self._feed, b"!")
        return self._enforcer._finish(self.pid, self._results, (self._feed, self._said))


class Enforcer:
    """One loaded instance. Policy number n of the last ``enforce`` has bit n in labels."""

    def __init__(self, loaded: Session, sink: Lines) -> None:
        self.session, self._sink = loaded, sink

    def enforce(self, *texts: str) -> None:
        """Put these policies in force, instead of what was, for the mounts as they are now."""
        self.session.policies = parsed(texts)
        self.session.refresh()

    def sweep(self) -> None:
        """Label the processes that run already, as at a load for the host."""
        self.session.engine.sweep()

    def all_policies(self) -> int:
        """The label of a process that all policies hold for."""
        return (1 << len(self.session.policies)) - 1

    def label(self, pid: int) -> int:
        """The policies that a process's label names, as bits."""
        label = self.session.engine.labels.get(pid)
        return label.mask if label else 0

    def drain(self) -> list[Record]:
        """The decisions recorded since the last call."""
        while self.session.collector.collect():
            pass
        lines, self._sink.lines = self._sink.lines, []
        records = [json.loads(line) for line in lines]
        return [one for one in records if "verdict" in one]

    def attempt(
        self, call: Callable[..., object], *arguments: object, label: int | None = -1
    ) -> Attempt:
        """Call in a process of its own under ``label``: policies as bits, -1 for all of
        them, None for no label at all.

        The process's errno is the OSError's that the call raises, or the exit
        status of what it executes. It is the call's business to return JSON.
        """
        started = self.start(call, *arguments, label=label)
        return started.finish()

    def start(
        self, call: Callable[..., object], *arguments: object, label: int | None = -1
    ) -> Started:
        """Begin as ``attempt`` does; ends by ``finish``."""
        self.drain()
        stdin, feed = os.pipe()
        said, stdout = os.pipe()
        go, gone = os.pipe()
        results, result = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(call, arguments, go, result, (stdin, stdout))
        for fd in (stdin, stdout, go, result):
            os.close(fd)
        if label is not None:
            mask = self.all_policies() if label < 0 else label
            self.session.engine.labels.set(pid, Label(mask))
        os.write(gone, b"!")
        os.close(gone)
        return Started(self, pid, results, feed, said)

    def _finish(self, pid: int, results: int, close: tuple[int, ...]) -> Attempt:
        with open(results, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(pid, 0)
        for fd in close:
            os.close(fd)
        code = os.waitstatus_to_exitcode(status)
        records = self.drain()
        if not told:
            return Attempt(pid, code, None, records)
        answer = json.loads(told)
        assert "bug" not in answer, answer["bug"]
        return Attempt(pid, answer["errno"], answer["value"], records)


@contextlib.contextmanager
def loaded(name: str, merging: Merging = EVERY) -> Iterator[Enforcer]:
    """An instance without rules, taken off at the end; this process itself is exempt.

    By default each event is sent at once.
    """
    sink = Lines()
    begun = session.start(
        parsed([policy()]),
        name,
        True,
        {"lines": sink},
        exempt=True,
        later=parsed([EVERYTHING]),
        merging=merging,
    )
    try:
        yield Enforcer(begun, sink)
    finally:
        begun.engine.labels.set(os.getpid(), Label(0))
        pins.remove(begun.engine.instance)
        begun.finish("the tests ended", enforcing=False)


def _child(
    call: Callable[..., object],
    arguments: tuple[object, ...],
    go: int,
    result: int,
    streams: tuple[int, int],
) -> None:
    """Never returns. What the call needs is open before the label is there."""
    answer: dict[str, object] = {"errno": 0, "value": None}
    try:
        os.dup2(streams[0], 0)
        os.dup2(streams[1], 1)
        os.read(go, 1)
        try:
            answer["value"] = call(*arguments)
        except OSError as error:
            answer["errno"] = error.errno
        os.write(result, json.dumps(answer).encode())
    except BaseException:
        os.write(result, json.dumps({"bug": traceback.format_exc()}).encode())
    finally:
        os._exit(0)


def drive(name: str, *arguments: str | Path) -> None:
    """Become a driver; for ``attempt``. Its exit status is its errno."""
    path = str(DRIVERS / name)
    os.execv(path, [path, *map(str, arguments)])  # noqa: S606 - the exec is the test


def opened(path: str | bytes | Path, flags: int = os.O_RDONLY) -> None:
    """Open and close."""
    os.close(os.open(path, flags, 0o600))


def own_name() -> dict[str, str]:
    """What records say of a process that is this one's copy."""
    comm = Path("/proc/self/comm").read_text().rstrip("\n")
    return {"exe": os.readlink("/proc/self/exe"), "comm": comm}


def expect(
    record: Record,
    *,
    path: str | Path | bytes,
    verbs: Sequence[str] = ("read",),
    verdict: str = "denied",
    policy: str = "p",
    mode: str = "enforce",
    file: str = FILE,
    rule: str | None = "it",
    line: int = FIRST_RULE_LINE,
    reason: str = "policy",
    flags: Sequence[str] = (),
    others: Sequence[str] = (),
    pid: int | None = None,
    exe: str | None = None,
    comm: str | None = None,
) -> None:
    """Assert that a record says just this; ``pid``, ``exe`` and ``comm`` only if given."""
    raw = os.fsencode(path)
    shown = {"path": raw.decode("utf-8", "replace")}
    if raw.decode("utf-8", "replace").encode() != raw:
        shown["path_hex"] = raw.hex()
    said = {key: record["object"][key] for key in ("path", "path_hex") if key in record["object"]}
    assert said == shown
    assert (record["verdict"], record["reason"]) == (verdict, reason), record
    assert record["error"] == ("EACCES" if verdict == "denied" else None)
    assert record["verbs"] == list(verbs)
    assert (record["policy"]["name"], record["policy"]["mode"]) == (policy, mode)
    found = record["rule"]
    assert (found["id"], found["file"], found["line"]) == (rule, file, line)
    assert record["flags"] == list(flags)
    assert record["others"] == list(others)
    process = record["process"]
    wanted = {"pid": pid, "exe": exe, "comm": comm}
    for key, value in wanted.items():
        assert value is None or process[key] == value, (key, process)


def prove(
    enforcer: Enforcer,
    act: Callable[..., object],
    path: str | Path,
    neighbour: str | Path,
    *,
    patterns: Sequence[str] = (),
    verbs: Sequence[str] = ("read",),
    seen_as: str | Path | bytes | None = None,
    **process: str,
) -> Attempt:
    """A denial of ``act(path)`` with its twins; returns the denied attempt.

    Without a label it succeeds and leaves no record; under the policy in mode
    audit it succeeds and leaves one; under the policy it fails and leaves one,
    and a neighbour is not touched. ``patterns`` deny all verbs (by default just
    the path); ``seen_as`` is the path in the record; ``process``: what else it says.
    """
    denying = rule("deny", "[read, write, list]", *(patterns or (literal(path),)))
    enforcer.enforce(policy(denying), policy(denying, name="q", mode="audit"))
    free = enforcer.attempt(act, path, label=None)
    assert (free.errno, free.records) == (0, [])
    watched = enforcer.attempt(act, path, label=0b10)
    assert watched.errno == 0
    shown = path if seen_as is None else seen_as
    expect(
        watched.record,
        path=shown,
        verbs=verbs,
        verdict="would-deny",
        policy="q",
        mode="audit",
        file="1.yaml",
        **process,
    )
    beside = enforcer.attempt(act, neighbour, label=0b01)
    assert (beside.errno, beside.records) == (0, [])
    denied = enforcer.attempt(act, path, label=0b01)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=shown, verbs=verbs, **process)
    return denied
