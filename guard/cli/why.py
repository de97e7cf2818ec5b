# SPDX-License-Identifier: Apache-2.0
"""`guard why`: what policies say about one operation, and which rules say it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator

from guard.analysis.evaluate import Decision
from guard.cli.exits import Exit
from guard.cli.usable import refused, usable_policies
from guard.plan.errors import PlanError
from guard.plan.trial import reason
from guard.plan.why import Answer, ask, matching_pattern
from guard.policy.diagnostic import printable
from guard.policy.findings import Findings
from guard.policy.forms import OBJECT_FORM
from guard.policy.model import Operation, PathOperation, PathRule, Pattern, Policy, Rule
from guard.policy.operations import Complaint, operation

_EPILOG = """\
examples:
  guard why policies/ "read /etc/shadow"
  guard why policies/ "read /etc/shadow" --as /usr/sbin/nginx
  guard why web.yaml "write /var/log/nginx/access.log" --json
  guard why edge.yaml "packet tcp 198.51.100.7:4321 > :22"

Without --as, the task is taken to be under every policy that is given. Paths are
canonical: symbolic links are not followed, and the files need not exist.

exit code: 0 answered, whatever the verdict, 1 a policy is refused, 2 usage,
3 a file could not be read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard why`."""
    parser.usage = "guard why [-h] [--as EXE] [--json] PATH [PATH ...] OPERATION"
    parser.description = "Which policies and rules decide one operation, and how."
    parser.epilog = _EPILOG
    parser.add_argument(
        "words",
        nargs="+",
        metavar="PATH",
        help='policy files or directories of them; then a verb and a path, as "read /etc/shadow"',
    )
    parser.add_argument("--as", dest="exe", metavar="EXE", help="the task's executable")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Answer. The exit code does not tell the verdict."""
    *paths, words = arguments.words
    if not paths:
        return _usage('give policies, then the operation, such as "read /etc/shadow"')
    if words.startswith("packet "):
        return _packet(paths, words, arguments)
    done = operation(words, Findings([]).suggest)
    if isinstance(done, Complaint):
        return _usage(f"{done.message}{f'; {done.help}' if done.help else ''}")
    exe: str | None = arguments.exe
    if exe is not None and not re.fullmatch(OBJECT_FORM, exe):
        return _usage(f"--as takes an executable's absolute path without symbolic links, not {exe}")
    policies = usable_policies(paths)
    if isinstance(policies, Exit):
        return policies
    try:
        answer = ask(policies, done, exe)
    except PlanError as error:
        return refused(error)
    if arguments.json:
        print(json.dumps(_as_json(answer, done, words, exe), indent=2))
    else:
        print("\n".join(map(printable, _as_text(answer, done, words, exe))))
    return Exit.CLEAN


def _packet(paths: list[str], words: str, arguments: argparse.Namespace) -> int:
    from guard.cli.why_packet import why_packet  # noqa: PLC0415 - for packets only

    policies = usable_policies(paths)
    return policies if isinstance(policies, Exit) else why_packet(policies, words, arguments)


def _usage(problem: str) -> Exit:
    print(f"guard why: {printable(problem)}", file=sys.stderr)
    return Exit.USAGE


def _as_text(answer: Answer, done: Operation, words: str, exe: str | None) -> Iterator[str]:
    who = f"as {exe}" if exe is not None else "under every policy given"
    yield f"{words} {who}: {answer.verdict.value}"
    if not answer.decisions:
        yield "  no policy has this executable for its subject"
    for decision in answer.decisions:
        yield ""
        yield from _decision_lines(decision, done, exe)
    if answer.inherited:
        yield ""
        names = ", ".join(policy.name for policy in answer.inherited)
        yield f"also, where the task inherited them: {names}"
    if answer.steps:
        yield ""
        yield "in the kernel's tables:"
    for step in answer.steps:
        masks = (("allow", step.allow), ("deny", step.deny), ("record", step.audit))
        told = [f"{word} {', '.join(answer.names(mask))}" for word, mask in masks if mask]
        yield (
            f"  automaton {step.group}: class {step.class_id}, row {step.row}:"
            f" {'; '.join(told) or 'no rule'}"
        )


def _decision_lines(decision: Decision, done: Operation, exe: str | None) -> Iterator[str]:
    policy = decision.policy
    word = "allowed" if decision.allowed else "denied"
    yield f"{policy.name} ({policy.mode.value}): {word}"
    yield f"  subject     {_subject(policy, exe)}"
    if decision.section is None:
        yield f"  decided by  nothing: {reason(decision)}"
        return
    default = f"default: {decision.section.default.value} ({decision.section.span})"
    if decision.default:
        yield f"  decided by  {default}, for no rule matches"
    for rule in decision.deciding:
        yield f"  decided by  {_rule(rule, done)}"
        if rule.why is not None:
            yield f"              why: {rule.why}"
    others = [rule for rule in decision.rules if rule not in decision.deciding]
    for rule in others:
        yield f"  beaten      {_rule(rule, done)}"
    if not decision.default:
        yield f"  not used    {default}"
    if decision.audit:
        yield "  recorded    also when allowed: a matching rule has audit: true"


def _subject(policy: Policy, exe: str | None) -> str:
    place = f"({policy.subject.span})"
    kind, patterns = _selected(policy)
    if kind == "host":
        return f"the whole host {place}"
    shown = ", ".join(pattern.text for pattern in patterns)
    return f"{kind} {shown} {place}{'' if exe is not None else ', taken to be the task'}"


def _selected(policy: Policy) -> tuple[str, tuple[Pattern, ...]]:
    """The key that a subject is given by, and what stands there."""
    who = policy.subject
    given = (
        ("exe", who.exe),
        ("unit", who.units),
        ("cgroup", who.cgroups),
        ("user", who.users),
        ("group", who.groups),
    )
    return next(((kind, patterns) for kind, patterns in given if patterns), ("host", ()))


def _rule(rule: Rule, done: Operation) -> str:
    pattern = _pattern(rule, done)
    if pattern is None:
        return f"{rule.effect.value} rule {rule.id} ({rule.span})"
    return f"{rule.effect.value} rule {rule.id}: {pattern.text} ({pattern.span})"


def _pattern(rule: Rule, done: Operation) -> Pattern | None:
    """The pattern that made a rule match, of rules on paths."""
    if isinstance(rule, PathRule) and isinstance(done, PathOperation):
        return matching_pattern(rule, done.path)
    return None


def _as_json(answer: Answer, done: Operation, words: str, exe: str | None) -> dict[str, object]:
    return {
        "format": 1,
        "operation": words,
        "verb": words.partition(" ")[0],
        "path": done.path if isinstance(done, PathOperation) else None,
        "as": exe,
        "verdict": answer.verdict.name.lower(),
        "policies": [_decision_json(decision, done) for decision in answer.decisions],
        "inherited": [policy.name for policy in answer.inherited],
        "tables": [
            {
                "automaton": step.group,
                "class": step.class_id,
                "row": step.row,
                "allow": answer.names(step.allow),
                "deny": answer.names(step.deny),
                "audit": answer.names(step.audit),
            }
            for step in answer.steps
        ],
    }


def _decision_json(decision: Decision, done: Operation) -> dict[str, object]:
    policy = decision.policy
    return {
        "name": policy.name,
        "file": policy.source,
        "mode": policy.mode.value,
        "subject": _selected(policy)[0],
        "allowed": decision.allowed,
        "default": decision.section.default.value if decision.section is not None else None,
        "default_used": decision.default and decision.section is not None,
        "audit": decision.audit,
        "deciding": [rule.id for rule in decision.deciding],
        "matching": [
            {
                "id": rule.id,
                "effect": rule.effect.value,
                "file": rule.span.file,
                "line": rule.span.line,
                "pattern": pattern.text if (pattern := _pattern(rule, done)) else None,
                "why": rule.why,
            }
            for rule in decision.rules
        ],
    }
