# SPDX-License-Identifier: Apache-2.0
"""The `guard` command: finds the module of a command, runs it, and turns what
goes wrong into an exit code and a sentence.

A command's module is imported only when it is the one asked for, so that
`guard check` starts quickly and needs nothing that it does not use. Each offers
``add_arguments(parser)`` and ``run(arguments) -> int``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

from guard.cli.exits import Exit
from guard.errors import GuardError
from guard.version import VERSION


class Command(NamedTuple):
    """A command: the module that has it, and what it does in one line."""

    module: str
    summary: str
    ingress: bool = False
    """Only about the ingress filter: the overview names these together."""


class CommandModule(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments; may set the parser's description and epilog."""

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do the job; the result is the exit code."""


COMMANDS: dict[str, Command] = {
    "check": Command("guard.cli.check", "judge policies: no root, no kernel, nothing loaded"),
    "test": Command("guard.cli.test", "run the tests that policies hold"),
    "diff": Command("guard.cli.diff", "what a change of policies allows or denies"),
    "why": Command("guard.cli.why", "which policies and rules decide one operation"),
    "fmt": Command("guard.cli.fmt", "policies in canonical form, comments kept"),
    "convert": Command("guard.cli.convert", "policies of other products as guard's"),
    "explain": Command("guard.cli.explain", "what a finding's code means, with examples"),
    "schema": Command("guard.cli.schema", "the JSON Schema of policies or audit records"),
    "completion": Command("guard.cli.completion", "completion of this command line in a shell"),
    "run": Command("guard.cli.run", "enforce policies, for the host or for one command"),
    "ship": Command("guard.cli.ship", "deliver the spool's records to the sinks of a SIEM"),
    "audit": Command("guard.cli.audit", "read the audit trail, and find out who changed it"),
    "status": Command("guard.cli.status", "what is loaded, and whether it really denies"),
    "reload": Command("guard.cli.reload", "have a running guard read its policies again"),
    "doctor": Command("guard.cli.doctor", "what this kernel can do, and what is missing"),
    "confirm": Command("guard.cli.confirm", "keep an ingress policy that is on probation", True),
    "set": Command("guard.cli.set", "change the address sets of the ingress filter in force", True),
    "ingress": Command(
        "guard.cli.ingress", "the ingress filter in force, and who it refuses", True
    ),
    "events": Command("guard.cli.events", "the ingress filter's records, as they come", True),
    "flows": Command(
        "guard.cli.flows", "return traffic that the ingress filter would let in", True
    ),
    "pcap": Command("guard.cli.pcap", "what an ingress policy would do with a capture", True),
    "unload": Command("guard.cli.unload", "take everything off the kernel again"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the result is the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except GuardError as error:
        print(f"guard: {error}", file=sys.stderr)
        if error.remedy is not None:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        return Exit.UNABLE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; Python must not flush into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNABLE
    except Exception:  # the outermost frame: anything here is a bug, and says so
        return _report_bug()


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse itself would import shutil on every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """The terminal's width: COLUMNS, or what standard output tells, or 80."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def command_parser(name: str) -> tuple[CommandModule, argparse.ArgumentParser]:
    """A command's module, imported now, and the parser of its arguments."""
    command = COMMANDS[name]
    parser = argparse.ArgumentParser(
        prog=f"guard {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    module = cast(CommandModule, importlib.import_module(command.module))
    module.add_arguments(parser)
    return module, parser


def _dispatch(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        module, parser = command_parser(words[0])
        own, command_line = words[1:], None
        if getattr(module, "TAKES_COMMAND", False) and "--" in own:
            at = own.index("--")
            own, command_line = own[:at], own[at + 1 :]
        arguments = parser.parse_args(own)
        arguments.command = command_line
        if getattr(module, "CHANGES_GUARD", False):
            from guard.cli import controls  # noqa: PLC0415 - for these commands only

            return controls.recorded(words[0], own, lambda: module.run(arguments))
        return module.run(arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(), file=sys.stdout if words else sys.stderr)
        return Exit.CLEAN if words else Exit.USAGE
    if words[0] in ("-V", "--version"):
        print(f"guard {VERSION}")
        return Exit.CLEAN
    return _unknown(words[0])


def _overview() -> str:
    width = max(map(len, COMMANDS))
    shown = {name: command for name, command in COMMANDS.items() if not command.ingress}
    lines = [f"  {name:{width}}  {command.summary}" for name, command in shown.items()]
    packets = ", ".join(name for name in COMMANDS if name not in shown)
    lines.append(f"of the ingress filter: {packets}")
    return "\n".join(
        [
            "usage: guard COMMAND [ARGUMENT ...]",
            "",
            "Hardens a Linux host by declarative policies, enforced in the kernel by BPF.",
            "",
            "commands:",
            *lines,
            "",
            "guard COMMAND --help tells more; for example: guard check policies/",
        ]
    )


def _unknown(word: str) -> int:
    from difflib import get_close_matches  # noqa: PLC0415 - for this message only

    close = get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean 'guard {close[0]}'?" if close else "guard --help lists the commands"
    print(f"guard: no command {word!a}; {hint}", file=sys.stderr)
    return Exit.USAGE


def _report_bug() -> int:
    import traceback  # noqa: PLC0415 - for bugs only

    traceback.print_exc()
    print(
        f"\nguard: this is a bug in guard {VERSION}, not in what you did."
        " Please report the lines above.",
        file=sys.stderr,
    )
    return Exit.BUG


if __name__ == "__main__":
    sys.exit(main())
