# SPDX-License-Identifier: Apache-2.0
"""`guard run` for policies with an ingress section: the filter, its probation, its attendance.

Policies that gate processes as well are enforced by a second process of the
same command: the filter needs none of the hooks that they need.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from guard.audit.clock import Clock
from guard.audit.lifecycle import Lifecycle
from guard.audit.origin import read_origin
from guard.audit.sink_file import FileSink, StdoutSink
from guard.audit.sinks import Sink
from guard.audit.spool_files import DENIALS
from guard.cli import spool_options
from guard.cli.exits import Exit
from guard.cli.inputs import read_inputs
from guard.daemon import ingress_run, loop, way_in
from guard.daemon.ingress_run import Attendance
from guard.daemon.ingress_sets import parse_seconds
from guard.daemon.ingress_state import State
from guard.daemon.stream import open_trail
from guard.errors import GuardError
from guard.policy.codes import Severity
from guard.policy.diagnostic import printable
from guard.policy.model import Policy

# A probation shorter than a login, or longer than anyone waits, is a slip.
SHORTEST, LONGEST = 5, 3600


def run_ingress(
    arguments: argparse.Namespace,
    policies: Sequence[Policy],
    filters: Sequence[Policy],
    command: list[str] | None,
    gates: Callable[[argparse.Namespace, list[Policy], list[str] | None], int],
) -> int:
    """Do the job; the result is the exit code. ``gates`` enforces on processes."""
    if command:
        return _refuse("an ingress section is for the host, not for a command", Exit.USAGE)
    if not filters:
        return _refuse("--confirm is for ingress sections, and no policy has one", Exit.USAGE)
    if len(filters) > 1:
        names = " and ".join(f"{one.name} ({one.span})" for one in filters[:2])
        return _refuse(
            f"a host has one ingress section, and here are {len(filters)}: {names}", Exit.FINDINGS
        )
    seconds = None
    if arguments.confirm is not None:
        seconds = parse_seconds(arguments.confirm)
        if seconds is None or not SHORTEST <= seconds <= LONGEST:
            return _refuse(
                f"--confirm takes a time from {SHORTEST}s to {LONGEST // 60}m,"
                f" not {arguments.confirm!a}",
                Exit.USAGE,
            )
    loop.hold_signals()
    gating = [one for one in policies if one.file or one.exec or one.net or one.kernel]
    if gating:
        return _beside(arguments, filters[0], seconds, lambda: gates(arguments, gating, None))
    return _filter(arguments, filters[0], seconds, lambda: None)


def _filter(
    arguments: argparse.Namespace,
    policy: Policy,
    seconds: int | None,
    ready: Callable[[], None],
) -> int:
    trail = None
    sink: Sink
    spooled = spool_options.spooled(arguments)
    if spooled is not None:
        clock = Clock()
        lifecycle = Lifecycle(read_origin(f"ingress-spool@{clock.boot_ns()}"), clock)
        trail = open_trail(spooled, lifecycle)
        sink = trail.sink(DENIALS)
    else:
        sink = FileSink(Path(arguments.log)) if arguments.log else StdoutSink()
    begun = ingress_run.begin(policy, sink, seconds, warn=_warn(seconds), trail=trail)
    begun.reread = lambda: _reread(arguments.files)
    ready()
    return _serve(begun, arguments.persist, seconds)


def _reread(files: Sequence[str]) -> Policy:
    """The policy with the ingress section as its file is now. Raises GuardError."""
    inputs = read_inputs(files)
    if inputs.problems:
        raise GuardError(inputs.problems[0])
    loaded = inputs.load()
    for found in loaded.diagnostics:
        if found.severity is Severity.ERROR:
            raise GuardError(f"{found.span}: {found.message}")
    having = [policy for policy in loaded.policies if policy.ingress is not None]
    if len(having) != 1:
        raise GuardError(
            f"{len(having)} policies have an ingress section now, and one is wanted",
            remedy="`guard unload ingress` takes the filter off",
        )
    return having[0]


def _beside(
    arguments: argparse.Namespace,
    policy: Policy,
    seconds: int | None,
    gates: Callable[[], int],
) -> int:
    """The filter in a process beside the gates: first the filter, and with the gates it ends."""
    out, into = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        code: int = Exit.BUG
        try:
            own = argparse.Namespace(**vars(arguments))
            # A log, and a spool, has one writer: the gates' records go to the one that was named.
            own.log = f"{arguments.log}.ingress" if arguments.log else None
            if arguments.spool:
                own.spool = arguments.spool.with_name(f"{arguments.spool.name}.ingress")
            code = _filter(own, policy, seconds, lambda: _say_ready(into))
        except GuardError as error:
            remedy = f"\n  remedy: {error.remedy}" if error.remedy else ""
            print(f"guard: {error}{remedy}", file=sys.stderr)
            code = Exit.UNABLE
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        if stream.read(1) != b"!":
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        return gates()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _say_ready(into: int) -> None:
    os.write(into, b"!")
    os.close(into)


def _refuse(problem: str, code: Exit) -> int:
    print(f"guard run: {printable(problem)}", file=sys.stderr)
    return code


def _warn(seconds: int | None) -> ingress_run.Before:
    """Tells, before anything changes, when the way in would be shut."""

    def tell(state: State) -> None:
        peer = way_in.session_peer(os.environ, os.getpid())
        if peer is None or state.mode == "audit":
            return
        shut = way_in.shut(state.section, state.sets, peer)
        if shut is None:
            return
        print(f"guard: warning: this locks you out: {shut}", file=sys.stderr)
        if seconds is None:
            print(
                "  remedy: let your address in, or try it with `--confirm 30s`,"
                " which undoes it unless you confirm",
                file=sys.stderr,
            )

    return tell


def _serve(begun: Attendance, persist: bool, seconds: int | None) -> int:
    for sentence in (*begun.modes, *begun.told):
        print(f"guard: {sentence}", file=sys.stderr)
    if seconds is not None:
        print(
            f"guard: undone in {seconds} s unless you say `guard confirm`,"
            " best from a new connection",
            file=sys.stderr,
        )
    sys.stderr.flush()
    number, reason = begun.serve()
    begun.end(persist, signal.Signals(number).name if number else reason)
    if number:
        return Exit.CLEAN
    print(f"guard: {reason}", file=sys.stderr)
    return Exit.CLEAN if "attends" in reason or "unloaded" in reason else Exit.FINDINGS
