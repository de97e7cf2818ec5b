# SPDX-License-Identifier: Apache-2.0
"""`guard diff OLD NEW`: what a change of policies allows or denies, with examples."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from guard.analysis.evaluate import Decision
from guard.analysis.ingress_regions import TooMany
from guard.cli.exits import Exit
from guard.cli.usable import refused, usable_policies
from guard.plan.agree import operation_section
from guard.plan.changes import Direction, OperationChange, SubjectChange
from guard.plan.compare import Change, compare
from guard.plan.errors import PlanError
from guard.plan.product import TooLarge
from guard.plan.trial import reason
from guard.policy.diagnostic import printable
from guard.policy.model import PathOperation, Policy, Rule
from guard.policy.operation_text import words

_EPILOG = """\
examples:
  guard diff old.yaml new.yaml                     every change, with an example
  guard diff --fail-on loosen main/ branch/        for a pull request's checks
  git show main:web.yaml | guard diff - web.yaml   against another commit

Policies are compared by name, each by itself, over all paths, operations and
packets there can be: no line means that no decision changed, today or later.

exit code: 0 compared, 1 --fail-on is met or a policy is refused, 2 usage, 3 unreadable"""

_FAILS = {
    "loosen": {Direction.LOOSENS},
    "tighten": {Direction.TIGHTENS},
    "any": set(Direction),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard diff`."""
    parser.description = "What became allowed or denied between two versions of policies."
    parser.epilog = _EPILOG
    parser.add_argument("old", metavar="OLD", help="a policy file, a directory of them, or -")
    parser.add_argument("new", metavar="NEW", help="the same, as it is now")
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.add_argument("--fail-on", choices=tuple(_FAILS), help="exit with 1 on such a change")


def run(arguments: argparse.Namespace) -> int:
    """Compare, print, and tell by the exit code."""
    old = usable_policies([arguments.old])
    if isinstance(old, Exit):
        return old
    new = usable_policies([arguments.new])
    if isinstance(new, Exit):
        return new
    try:
        found = [(each.direction, _as_text(each), _as_json(each)) for each in compare(old, new)]
        if any(policy.ingress is not None for policy in (*old, *new)):
            found += _ingress(old, new)
    except PlanError as error:
        return refused(error)
    except (TooLarge, TooMany):
        print("guard: these versions are too large to be compared exactly", file=sys.stderr)
        return Exit.UNABLE
    if arguments.json:
        print(json.dumps({"format": 1, "changes": [told for _, _, told in found]}, indent=2))
    else:
        for _, lines, _ in found:
            print("\n".join(map(printable, lines)))
        print(_sum([each for each, _, _ in found]))
    wanted = _FAILS.get(arguments.fail_on, set())
    return Exit.FINDINGS if any(each in wanted for each, _, _ in found) else Exit.CLEAN


_Told = tuple[Direction, list[str], dict[str, object]]
"""A change's direction, its lines for people, and its JSON."""


def _ingress(old: Sequence[Policy], new: Sequence[Policy]) -> list[_Told]:
    from guard.cli import diff_ingress  # noqa: PLC0415 - few policies have the section

    return [
        (each.direction, diff_ingress.as_text(each), diff_ingress.as_json(each))
        for each in diff_ingress.ingress_changes(old, new)
    ]


def _sum(directions: Sequence[Direction]) -> str:
    loosened = sum(each is Direction.LOOSENS for each in directions)
    if not directions:
        return "no decision changed"
    return f"{loosened} loosened, {len(directions) - loosened} tightened"


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _as_text(change: Change) -> list[str]:
    head = f"{change.name}: {change.direction.value}: "
    if isinstance(change, SubjectChange):
        gone = change.direction is Direction.LOOSENS
        return [f"{head}the policy {'no longer' if gone else 'now'} applies to {_task(change)}"]
    if not isinstance(change, OperationChange):
        return [head + change.what]
    now = "allowed" if _allowed(change.new) else "denied"
    when = "now" if change.since is None else f"from {change.since}"
    return [
        f"{head}{_operation(change)} is {now} {when}",
        f"  before: {_side(change.old)}",
        f"  now:    {_side(change.new)}",
    ]


def _task(change: SubjectChange) -> str:
    shown = _shown(change.witness)
    task = {
        "host": "every task",
        "exe": shown,
        "cgroup": f"the control group {shown}",
        "user": f"the user {shown}",
        "group": f"the group {shown}",
    }[change.kind]
    if not change.outside:
        return task
    return f"tasks {change.outside}" if change.kind == "host" else f"{task}, {change.outside}"


def _operation(change: OperationChange) -> str:
    if change.nameless:
        verb = words(change.operation).split()[0]
        return f"{verb} of files on a device that the host has not mounted"
    return words(change.operation)


def _allowed(decision: Decision | None) -> bool:
    return decision is None or decision.allowed


def _side(decision: Decision | None) -> str:
    if decision is None:
        return "allowed: no such policy"
    return f"{'allowed' if decision.allowed else 'denied'} by {reason(decision)}"


def _as_json(change: Change) -> dict[str, object]:
    made: dict[str, object] = {"policy": change.name, "direction": change.direction.value}
    if isinstance(change, SubjectChange):
        made["kind"] = "subject"
        if change.kind != "host":
            made[change.kind] = _shown(change.witness)
        return made | ({"outside": change.outside} if change.outside else {})
    if not isinstance(change, OperationChange):
        return made | {"kind": "policy", "what": change.what}
    operation = change.operation
    made["kind"] = operation_section(operation).name.lower()
    made["operation"] = _operation(change)
    if isinstance(operation, PathOperation):
        made["verb"] = operation.verb.name.lower()
        made["path"] = None if change.nameless else _shown(os.fsencode(operation.path))
    if change.since is not None:
        made["since"] = change.since.isoformat()
    return made | {"old": _decision_json(change.old), "new": _decision_json(change.new)}


def _decision_json(decision: Decision | None) -> dict[str, object] | None:
    if decision is None:
        return None
    return {
        "allowed": decision.allowed,
        "default": decision.default,
        "rules": [_rule_json(rule) for rule in decision.deciding],
    }


def _rule_json(rule: Rule) -> dict[str, object]:
    return {"id": rule.id, "file": rule.span.file, "line": rule.span.line}
