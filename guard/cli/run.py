# SPDX-License-Identifier: Apache-2.0
"""`guard run`: enforce policies in the foreground, for the host or for one command."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from guard.audit.oplog import make_logger
from guard.audit.sink_file import FileSink, StdoutSink
from guard.audit.sinks import Sink
from guard.cli import spool_options
from guard.cli.check import print_findings
from guard.cli.exits import Exit
from guard.cli.inputs import read_inputs
from guard.daemon import adopt, control, loop, session
from guard.daemon.hostplan import PlanRefused
from guard.daemon.reload import Reread
from guard.daemon.session import Session
from guard.errors import GuardError
from guard.kernel.pins import HOST
from guard.kernel.repeats import DEFAULT, Merging
from guard.kernel.unload import unload
from guard.plan.bits import is_retired
from guard.policy.codes import Severity
from guard.policy.load import Loaded
from guard.policy.model import Policy, Subject

TAKES_COMMAND = True
"""What follows ``--`` is a command of its own."""

# A directory's name in bpffs, which has no dots; '_' begins the hidden ones (kernel/pins.py).
_NAME_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_STDERR = 2

EPILOG = """examples:
  guard run policies/                      enforce until interrupted, then take it off
  guard run --persist policies/            leave it enforced; the next `guard run` takes it over
  guard run nginx.yaml -- ./start-nginx    the policies hold for this command's processes only
  guard run --confirm 30s edge.yaml        its ingress filter is undone unless guard confirm is said
Audit records go to standard output as lines of JSON, to --log FILE, or chained to --spool DIR.
With a command its own exit status is passed on. Of records also, see the manual:
--key FILE, --spool-size SIZE, --spool-age TIME, --spool-sync WHEN, --no-merge, --rate N."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "guard run [OPTION...] FILE... [-- COMMAND...]"
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="policies, or directories of them")
    parser.add_argument(
        "--persist", action="store_true", help="stay enforced after guard ends, until guard unload"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--log", metavar="FILE", help="append audit records to FILE")
    spool_options.add_arguments(parser, output)
    parser.add_argument(
        "--confirm",
        metavar="TIME",
        help="undo the ingress filter unless confirmed in this time",
    )
    parser.add_argument(
        "--allow-degraded",
        action="store_true",
        help="also where it can be passed by: see guard doctor",
    )
    parser.add_argument("--no-merge", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, default=DEFAULT.rate, help=argparse.SUPPRESS)
    parser.add_argument("--name", help="the instance's name in guard status (host, or run-PID)")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    command: list[str] | None = arguments.command
    if command == []:
        print("guard run: no command after --", file=sys.stderr)
        return Exit.USAGE
    if command and arguments.persist:
        print("guard run: --persist is for the host, not for a command", file=sys.stderr)
        return Exit.USAGE
    if option := spool_options.misplaced(arguments):
        print(f"guard run: {option} is about a --spool, and none is named", file=sys.stderr)
        return Exit.USAGE
    if arguments.name is not None and not _NAME_FORM.fullmatch(arguments.name):
        print(
            "guard run: --name takes letters, digits, '_' and '-', the first a letter or digit",
            file=sys.stderr,
        )
        return Exit.USAGE
    if arguments.rate < 0:
        print("guard run: --rate is a number of records, or 0 for no limit", file=sys.stderr)
        return Exit.USAGE
    loaded = _load(arguments.files)
    if loaded is None:
        return Exit.UNABLE
    if not loaded.usable:
        print_findings(loaded, sys.stderr)
        print("guard: nothing was loaded", file=sys.stderr)
        return Exit.FINDINGS
    policies = list(loaded.policies)
    filters = [policy for policy in policies if policy.ingress is not None]
    if filters or arguments.confirm is not None:
        from guard.cli.run_ingress import run_ingress  # noqa: PLC0415 - for policies that filter

        return run_ingress(arguments, policies, filters, command, _run_gates)
    return _run_gates(arguments, policies, command)


def _run_gates(
    arguments: argparse.Namespace, policies: list[Policy], command: list[str] | None
) -> int:
    """Enforce what processes may do."""
    if command:
        policies = [_for_tree(policy) for policy in policies]
    name = arguments.name or (f"run-{os.getpid()}" if command else HOST)
    sink: Sink = FileSink(Path(arguments.log)) if arguments.log else StdoutSink()
    spooled = spool_options.spooled(arguments)
    merging = Merging(not arguments.no_merge, arguments.rate)
    loop.hold_signals()
    try:
        sinks: dict[str, Sink] = {} if spooled else {"log": sink}
        session.require_root()
        standing = None if command else adopt.standing(name)
        if standing is not None:
            begun = adopt.adopt(
                standing, policies, sinks, arguments.allow_degraded, spooled, merging
            )
        else:
            begun = session.start(
                policies,
                name,
                bool(command),
                sinks,
                exempt=not command,
                allow_degraded=arguments.allow_degraded,
                spooled=spooled,
                merging=merging,
            )
    except PlanRefused as error:
        _refuse(error, standing is not None)
        return Exit.FINDINGS
    if command:
        return _run_command(begun, command)
    return _run_host(begun, arguments.persist, lambda: _reread(arguments.files))


def _reread(files: Sequence[str]) -> tuple[Policy, ...]:
    """The policies as their files are now. Raises GuardError where they may not be enforced."""
    inputs = read_inputs(files)
    if inputs.problems:
        raise GuardError(inputs.problems[0])
    loaded = inputs.load()
    errors = [each for each in loaded.diagnostics if each.severity is Severity.ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more: guard check tells)" if len(errors) > 1 else ""
        raise GuardError(f"{errors[0].span}: {errors[0].message}{more}")
    # The ingress filter's attendant reads its own section again.
    return tuple(one for one in loaded.policies if one.file or one.exec or one.net or one.kernel)


def _load(files: Sequence[str]) -> Loaded | None:
    inputs = read_inputs(files)
    for problem in inputs.problems:
        print(f"guard: {problem}", file=sys.stderr)
    return None if inputs.problems else inputs.load()


def _for_tree(policy: Policy) -> Policy:
    """The policy for one command's tree, whatever subject it names for the host."""
    subject = Subject(exe=(), host=False, inherit=True, span=policy.subject.span)
    return dataclasses.replace(policy, subject=subject)


def _refuse(error: PlanRefused, adopting: bool) -> None:
    where = f"{error.cause.span}: " if error.cause.span else ""
    print(f"guard: {where}{error}", file=sys.stderr)
    if error.remedy:
        print(f"  remedy: {error.remedy}", file=sys.stderr)
    kept = "what is loaded stays in force" if adopting else "nothing was loaded"
    print(f"guard: {kept}", file=sys.stderr)


def _run_host(begun: Session, persist: bool, reread: Reread) -> int:
    _require_canaries(begun)
    begun.reloadable = True
    begun.redescribe()
    count = sum(not is_retired(policy) for policy in begun.policies)
    took = f" (took over {begun.engine.instance.name!r})" if begun.adopted else ""
    print(
        f"guard: enforcing {count} {'policy' if count == 1 else 'policies'}{took}; "
        f"every hook's canary was caught",
        file=sys.stderr,
    )
    if begun.degraded:
        print(
            "guard: degraded: bpf is not among this kernel's LSMs, and calls can pass guard by",
            file=sys.stderr,
        )
    log = make_logger(StdoutSink(_STDERR))
    with contextlib.ExitStack() as held:
        listener = None
        try:
            listener = held.enter_context(control.Listener(begun.engine.instance.name, _user))
        except OSError as error:
            log.error("what commands do to guard is not recorded", because=str(error))
        number = loop.serve(begun, None, log, reread, listener)
    _end(begun, signal.Signals(number).name, keep=persist)
    return Exit.CLEAN


def _user(uid: int) -> bytes | None:
    # Every other user is let in by root first, and a directory server is nobody to wait for.
    return b"root" if uid == 0 else None


def _require_canaries(begun: Session) -> None:
    """Raise GuardError unless every hook really acts; what was loaded for this is taken off."""
    problems = [one for one in begun.canaries() if one.problem is not None]
    if problems:
        _end(begun, "canary failed", keep=begun.adopted)
        left = "what was there is still there" if begun.adopted else "nothing was left loaded"
        listed = "; ".join(f"{one.hook.name.lower()}: {one.problem}" for one in problems)
        raise GuardError(
            f"the kernel took the programs but does not enforce them ({listed})",
            remedy=f"see `guard doctor`; {left}",
        )


def _run_command(begun: Session, command: list[str]) -> int:
    _require_canaries(begun)
    go_out, go_in = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _become(command, go_out, go_in)
    os.close(go_out)
    try:
        begun.label(pid)
        os.write(go_in, b"!")
    finally:
        os.close(go_in)
    log = make_logger(StdoutSink(_STDERR), "warning")
    while number := loop.serve(begun, pid, log):
        # An interrupt from the terminal reaches the command by itself.
        if number != signal.SIGINT:
            os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    _end(begun, "command ended", keep=False)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(command: list[str], go_out: int, go_in: int) -> None:
    """In the child: wait for the label, then be the command. Never returns."""
    os.close(go_in)
    if os.read(go_out, 1) != b"!":
        os._exit(Exit.UNABLE)
    loop.release_signals()
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    except FileNotFoundError:
        code = 127  # what a shell gives: POSIX, Exit Status for Commands
    except OSError:
        code = 126
    os.write(2, f"guard: cannot execute {command[0]!a}\n".encode())
    os._exit(code)


def _end(begun: Session, because: str, keep: bool) -> None:
    if not keep:
        unload(begun.engine.libbpf, begun.engine.instance)
    begun.finish(because, enforcing=keep)
