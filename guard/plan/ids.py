# SPDX-License-Identifier: Apache-2.0
"""Users and groups that subjects name, as the host numbers them, and their hash table.

The names' numbers are given: nothing here asks the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guard.plan.errors import PlanError
from guard.policy.model import Pattern, Policy
from guard.wire.layout import IdKind, Limit

Key = tuple[IdKind, int]
"""A kind, and the number of a user or group in the initial user namespace."""


@dataclass(frozen=True, slots=True)
class HostNames:
    """The host's users and groups by name, those that policies name at least."""

    users: Mapping[str, int]
    groups: Mapping[str, int]


NOBODY = HostNames({}, {})
"""A host without names: numbers alone are known."""


def wanted_names(policies: Sequence[Policy]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of users and of groups that policies' subjects have, numbers left out."""
    return (
        _names([policy.subject.users for policy in policies]),
        _names([policy.subject.groups for policy in policies]),
    )


def _names(lists: Sequence[Sequence[Pattern]]) -> frozenset[str]:
    return frozenset(each.text for one in lists for each in one if not each.text.isdecimal())


def resolve(policies: Sequence[Policy], names: HostNames) -> dict[Key, int]:
    """For each user and group, the policies whose subject it is, as bits.

    Raises PlanError for a name that the host does not have, and for too many ids.
    """
    found: dict[Key, int] = {}
    for bit, policy in enumerate(policies):
        for kind, members, known in (
            (IdKind.USER, policy.subject.users, names.users),
            (IdKind.GROUP, policy.subject.groups, names.groups),
        ):
            for each in members:
                key = kind, _number(each, known, kind)
                found[key] = found.get(key, 0) | 1 << bit
    _require_room(len(found))
    return found


def require_few(policies: Sequence[Policy]) -> None:
    """Raise PlanError for more users and groups than the tables hold, counted by name.

    A name and a number may be one user; whoever knows the host counts again.
    """
    kinds = (
        {each.text for policy in policies for each in policy.subject.users},
        {each.text for policy in policies for each in policy.subject.groups},
    )
    _require_room(sum(map(len, kinds)))


def _require_room(count: int) -> None:
    if count > Limit.IDS:
        raise PlanError(
            f"{count} users and groups are subjects, and the tables hold"
            f" {Limit.IDS.value} (GUARD_LIMIT_IDS)",
            help="make a group of users that share a policy",
        )


def _number(name: Pattern, known: Mapping[str, int], kind: IdKind) -> int:
    if name.text.isdecimal():
        return int(name.text)
    number = known.get(name.text)
    if number is None:
        word = kind.name.lower()
        raise PlanError(
            f"this host has no {word} {name.text!r}",
            name.span,
            help=f"a policy for a {word} that does not exist would hold for nobody;"
            f" make the {word} first, or name it by number",
        )
    return number


def id_slot(number: int, multiplier: int) -> int:
    """The first slot that the kernel looks at for an id."""
    return ((number * multiplier & 0xFFFFFFFF) >> 16) % Limit.ID_SLOTS
