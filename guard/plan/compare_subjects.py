# SPDX-License-Identifier: Apache-2.0
"""Two versions of one policy's subject: a task that is no longer one, and one that is only now.

Executables and control groups are walked over all paths there can be. Users and
groups are compared by their words: who `www-data` is only a host knows, so a
name and its number are taken for different ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.analysis.evaluate import cgroup_applies, subject_applies
from guard.plan.agree import Disagreement
from guard.plan.build import build_plan
from guard.plan.changes import SubjectChange, direction
from guard.plan.plan import Plan, state_row
from guard.plan.product import Product
from guard.policy.model import Policy, Subject

_ANYBODY = b""


def subject_changes(old: Policy, new: Policy) -> Iterator[SubjectChange]:
    """At most one task that went, and one that came. Raises Disagreement, which is a bug."""
    if _words(old.subject) == _words(new.subject):
        return
    for was, now, loosens in ((old, new, True), (new, old, False)):
        found = _only(was, now)
        if found is not None:
            witness, outside = found
            kind = subject_kind(was.subject)
            yield SubjectChange(was.name, direction(loosens), kind, witness, outside)


def subject_kind(subject: Subject) -> str:
    """What tells whether a task is the subject; a unit is a control group's name."""
    if subject.host:
        return "host"
    if subject.users:
        return "user"
    if subject.groups:
        return "group"
    return "exe" if subject.exe else "cgroup"


def _words(subject: Subject) -> object:
    return subject.host, *(
        frozenset(each.text for each in some)
        for some in (
            subject.exe,
            subject.units,
            subject.cgroups,
            subject.users,
            subject.groups,
        )
    )


def _only(policy: Policy, other: Policy) -> tuple[bytes, str] | None:
    """A task that is the subject of one policy and not of the other; None if there is none."""
    kind, against = subject_kind(policy.subject), subject_kind(other.subject)
    if against == "host":
        return None
    if kind == against and kind in ("exe", "cgroup"):
        witness = _walk(policy, other, kind)
        return None if witness is None else (witness, "")
    if kind == against:
        left = sorted(accounts(policy.subject) - accounts(other.subject))
        return (left[0].encode(), "") if left else None
    outside = _outside(other, against)
    if outside is None:
        return None
    if kind == "host":
        return _ANYBODY, outside
    if kind in ("exe", "cgroup"):
        witness = _walk(policy, None, kind)
        return None if witness is None else (witness, outside)
    return min(accounts(policy.subject)).encode(), outside


def accounts(subject: Subject) -> frozenset[str]:
    """The users or groups of a subject, as they are written."""
    return frozenset(each.text for each in (*subject.users, *subject.groups))


def _outside(policy: Policy, kind: str) -> str | None:
    """How a task is not the subject of a policy; None if every task is."""
    if kind in ("user", "group"):
        return f"of another {kind} than {', '.join(sorted(accounts(policy.subject)))}"
    found = _walk(None, policy, kind)
    if found is None:
        return None
    shown = found.decode("utf-8", "backslashreplace")
    return f"whose executable is {shown}" if kind == "exe" else f"in the control group {shown}"


def _walk(inside: Policy | None, outside: Policy | None, kind: str) -> bytes | None:
    """A shortest path that is the subject of the one, and is not of the other."""
    sides = [policy for policy in (inside, outside) if policy is not None]
    plans = [build_plan([policy]) for policy in sides]
    product = Product([(plan, _start(plan, kind)) for plan in plans])
    for states, key in product.reachable():
        covered = [
            bool(state_row(plan, state, 0)[0]) for plan, state in zip(plans, states, strict=True)
        ]
        if covered != [policy is inside for policy in sides]:
            continue
        path = product.path(key)
        if path == b"/" and kind == "exe":  # a directory, and no executable
            continue
        applies = subject_applies if kind == "exe" else cgroup_applies
        if [applies(policy, path) for policy in sides] != covered:
            raise Disagreement(f"{kind} {path!r} is not what tables say")
        return path
    return None


def _start(plan: Plan, kind: str) -> int:
    return plan.starts[0].subject if kind == "exe" else plan.cgroups
