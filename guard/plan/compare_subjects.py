# SPDX-License-Identifier: Apache-2.0
"""Two versions of one policy's subject: a task that is no longer one, and one that is only now.

Executables and control groups are walked over all paths there can be. Users and
groups are compared by their words: who `www-data` is only a host knows, so a
name and its number are taken for different ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        witness = _walk((policy,), (other,), kind)
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
        witness = _walk((policy,), (), kind)
        return None if witness is None else (witness, outside)
    return min(accounts(policy.subject)).encode(), outside


def covers(policy: Policy, other: Policy) -> bool:
    """Whether every task of ``other`` is certainly the subject of ``policy``; what such a task
    executes later is not looked at.
    """
    kind = subject_kind(policy.subject)
    if kind == "host":
        return True
    return subject_kind(other.subject) == kind and _only(other, policy) is None


def member(policy: Policy, other: Policy) -> tuple[str, bytes] | None:
    """A task that is certainly the subject of both, by its kind; None if none is known."""
    if subject_kind(policy.subject) == "host":
        policy, other = other, policy
    kind = subject_kind(policy.subject)
    if kind in ("host", "user", "group"):
        both = accounts(policy.subject)
        if subject_kind(other.subject) != "host":
            both &= accounts(other.subject) if subject_kind(other.subject) == kind else frozenset()
        if kind == "host":
            return kind, _ANYBODY
        return (kind, min(both).encode()) if both else None
    if subject_kind(other.subject) not in ("host", kind):
        return None
    beside = None if subject_kind(other.subject) == "host" else other
    found = _walk((policy,) if beside is None else (policy, beside), (), kind)
    return None if found is None else (kind, found)


def accounts(subject: Subject) -> frozenset[str]:
    """The users or groups of a subject, as they are written."""
    return frozenset(each.text for each in (*subject.users, *subject.groups))


def _outside(policy: Policy, kind: str) -> str | None:
    """How a task is not the subject of a policy; None if every task is."""
    if kind in ("user", "group"):
        return f"of another {kind} than {', '.join(sorted(accounts(policy.subject)))}"
    found = _walk((), (policy,), kind)
    if found is None:
        return None
    shown = found.decode("utf-8", "backslashreplace")
    return f"whose executable is {shown}" if kind == "exe" else f"in the control group {shown}"


def _walk(inside: Sequence[Policy], outside: Sequence[Policy], kind: str) -> bytes | None:
    """A shortest path that is the subject of the first, and not of the others."""
    sides = [*inside, *outside]
    wanted = [True] * len(inside) + [False] * len(outside)
    plans = [build_plan([policy]) for policy in sides]
    product = Product([(plan, _start(plan, kind)) for plan in plans])
    for states, key in product.reachable():
        covered = [
            bool(state_row(plan, state, 0)[0]) for plan, state in zip(plans, states, strict=True)
        ]
        if covered != wanted:
            continue
        path = product.path(key)
        if path == b"/" and kind == "exe":  # a directory, and no executable
            continue
        applies = subject_applies if kind == "exe" else cgroup_applies
        if [applies(policy, path) for policy in sides] != wanted:
            raise Disagreement(f"{kind} {path!r} is not what tables say")
        return path
    return None


def _start(plan: Plan, kind: str) -> int:
    return plan.starts[0].subject if kind == "exe" else plan.cgroups
