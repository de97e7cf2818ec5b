# SPDX-License-Identifier: Apache-2.0
"""`guard completion SHELL`: completion for bash, zsh and fish, made from the parsers.

What the commands accept is read from the very parsers that read it, so the
scripts cannot fall behind. The scripts' own syntax is in completion_scripts.
"""

from __future__ import annotations

import argparse

from guard.cli.completion_scripts import SCRIPTS, Argument, Choices, Words
from guard.cli.exits import Exit
from guard.policy.codes import Code

# What an argument takes, by the word that stands for it in --help.
_FILES = frozenset(("PATH", "FILE", "OLD", "NEW"))
_WORDS = {"CODE": tuple(code.number for code in Code)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard completion`."""
    parser.description = "Print a script that completes guard's command line in a shell."
    parser.epilog = (
        "examples:\n"
        "  guard completion bash > /etc/bash_completion.d/guard\n"
        "  guard completion zsh > /usr/local/share/zsh/site-functions/_guard\n"
        "  guard completion fish > /etc/fish/completions/guard.fish\n\n"
        "for this shell only:\n"
        "  source <(guard completion bash)"
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="SHELL", help="bash, zsh or fish")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[arguments.shell](words()), end="")
    return Exit.CLEAN


def words() -> tuple[Words, ...]:
    """Every command with what may stand after it."""
    from guard.cli.main import COMMANDS, command_parser  # noqa: PLC0415 - it imports commands

    found = []
    for name, command in COMMANDS.items():
        module, parser = command_parser(name)
        # argparse shows its arguments in no other way.
        actions, expand = parser._actions, parser._get_formatter()._expand_help  # noqa: SLF001
        arguments = tuple(_argument(each, expand(each)) for each in actions)
        takes_command = getattr(module, "TAKES_COMMAND", False)
        found.append(Words(name, command.summary, arguments, takes_command))
    return tuple(found)


def _argument(action: argparse.Action, told: str) -> Argument:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    choices: Choices
    if action.nargs == 0:
        choices = None
    elif action.choices is not None:
        choices = tuple(map(str, action.choices))
    elif metavar in _FILES:
        choices = "files"
    else:
        choices = _WORDS.get(metavar, ())
    if told == argparse.SUPPRESS:  # only help has no room for it
        told = ""
    many = action.nargs in ("+", "*")
    return Argument(tuple(action.option_strings), metavar, told, choices, many)
