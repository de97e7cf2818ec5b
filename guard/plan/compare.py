# SPDX-License-Identifier: Apache-2.0
"""Two versions of policies: what became allowed or denied, each with an example.

Policies are compared by name, each by itself, and exactly: today, and on every
day on which a rule of either version expires. Ingress has a comparison of its
own (guard.plan.compare_ingress).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence

from guard.plan.changes import OperationChange, PolicyChange, SubjectChange, direction
from guard.plan.compare_operations import operation_changes
from guard.plan.compare_subjects import subject_changes
from guard.plan.units import section_rules
from guard.policy.model import Mode, Policy, Subject
from guard.wire.layout import Section

Change = OperationChange | SubjectChange | PolicyChange


def compare(old: Sequence[Policy], new: Sequence[Policy]) -> list[Change]:
    """All changes but those of ingress, by policy in the order of ``new``, then those that
    are gone. Rules that have expired by now are taken to be gone from both.

    Raises PlanError, TooLarge, and Disagreement, which is a bug.
    """
    before = {policy.name: policy for policy in old}
    after = {policy.name: policy for policy in new}
    found: list[Change] = []
    for name in dict.fromkeys((*after, *before)):
        was, now = before.get(name), after.get(name)
        found += _whole(name, was, now)
        if was is not None and now is not None:
            found += subject_changes(was, now)
        found += _operations(name, was, now)
    return found


def _whole(name: str, old: Policy | None, new: Policy | None) -> Iterator[PolicyChange]:
    if old is None or new is None:
        what = "this policy is gone" if new is None else "this policy is new"
        loosens = new is None
        yield PolicyChange(name, direction(loosens), what)
        return
    if old.mode is not new.mode:
        what = f"mode: {old.mode.value} became {new.mode.value}"
        yield PolicyChange(name, direction(new.mode is Mode.AUDIT), what)
    # A host-wide policy has no need to be inherited: it applies to every task.
    was, now = old.subject.inherit or old.subject.host, new.subject.inherit or new.subject.host
    if was != now:
        what = f"what its tasks execute {'stays' if now else 'no longer stays'} under it"
        yield PolicyChange(name, direction(was), what)
    yield from _contents(name, old.subject, new.subject)


def _contents(name: str, old: Subject, new: Subject) -> Iterator[PolicyChange]:
    """What the subject's executables may hold: anything, where no sha256 is given."""
    was, now = ({each.text for each in subject.contents} for subject in (old, new))
    if bool(was) is not bool(now):
        other = "other contents than their sha256 are"
        what = f"executables with {other} {'no longer started' if now else 'started now'}"
        yield PolicyChange(name, direction(not now), what)
        return
    for loosens, some in ((False, was - now), (True, now - was)):
        for each in sorted(some):
            what = f"an executable with sha256 {each} is {'' if loosens else 'no longer '}started"
            yield PolicyChange(name, direction(loosens), what)


def _operations(name: str, old: Policy | None, new: Policy | None) -> Iterator[OperationChange]:
    told: set[object] = set()
    for day in (None, *sorted(_days(old) | _days(new))):
        for change in operation_changes(name, _as_of(old, day), _as_of(new, day)):
            reason = _reason(change)
            if reason not in told:
                told.add(reason)
                yield dataclasses.replace(change, since=day)


def _days(policy: Policy | None) -> set[dt.date]:
    """The first days on which some rule no longer has an effect."""
    if policy is None:
        return set()
    return {
        rule.expires + dt.timedelta(days=1)
        for section in Section
        for rule in section_rules(policy, section)
        if rule.expires is not None and rule.expires < dt.date.max
    }


def _as_of(policy: Policy | None, day: dt.date | None) -> Policy | None:
    """A policy as it is on a day to come: without the rules that have expired by then."""
    if policy is None or day is None:
        return policy

    def left(section: Section) -> tuple[object, ...]:
        return tuple(
            rule
            for rule in section_rules(policy, section)
            if rule.expires is None or rule.expires >= day
        )

    kept = {
        key: dataclasses.replace(found, rules=left(section))  # type: ignore[arg-type]
        for key, section, found in (
            ("file", Section.FILE, policy.file),
            ("exec", Section.EXEC, policy.exec),
            ("net", Section.NET, policy.net),
            ("kernel", Section.KERNEL, policy.kernel),
        )
        if found is not None
    }
    return dataclasses.replace(policy, **kept)  # type: ignore[arg-type]


def _reason(change: OperationChange) -> object:
    """What is told once, though it goes on for several days."""
    verb = getattr(change.operation, "verb", change.operation)
    ids = [
        (each.allowed, each.default, tuple(rule.id for rule in each.deciding)) if each else None
        for each in (change.old, change.new)
    ]
    return type(change.operation), verb, change.nameless, *ids
