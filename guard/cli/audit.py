# SPDX-License-Identifier: Apache-2.0
"""`guard audit`: reads the audit trail and judges it. The work is in audit_*.py."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

EPILOG = """examples:
  guard audit cat --verdict denied --since 1h      what was denied in the last hour
  guard audit cat -f --policy nginx                as it comes
  guard audit verify --key audit.key.pub           has anybody changed the trail?

Without FILE the spool in /var/lib/guard/spool is read; FILE is a spool's
directory, a log of records, or - for standard input.
exit code: 0 done, 1 verify found a flaw or grep no record, 2 usage, 3 cannot read"""

_MODULES = {
    "cat": ("audit_show", "print records"),
    "grep": ("audit_show", "print records in which a text stands"),
    "stats": ("audit_show", "count records"),
    "export": ("audit_show", "print records in the form of a SIEM"),
    "verify": ("audit_verify", "find what was removed, changed, moved or cut off"),
    "keygen": ("audit_keygen", "make a key for signed checkpoints"),
}


class Action(Protocol):
    """What a module of an action offers."""

    def add_arguments(self, parser: argparse.ArgumentParser, action: str, /) -> None:
        """Declare the action's arguments."""

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do it; the result is the exit code."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", help="what to do; each has its own --help"
    )
    for name, (_, summary) in _MODULES.items():
        one = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )
        _module(name).add_arguments(one, name)


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    return _module(arguments.action).run(arguments)


def _module(action: str) -> Action:
    return cast(Action, importlib.import_module(f"guard.cli.{_MODULES[action][0]}"))
