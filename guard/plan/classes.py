# SPDX-License-Identifier: Apache-2.0
"""Which rules of a section match together: what its automata tell apart, without tables.

A class may be one that nothing reaches. Rules that could not add to the others
of a class may be missing from it (guard.plan.domination).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.plan.aliases import ANONYMOUS, HOST
from guard.plan.automaton import Automaton
from guard.plan.build import read_all
from guard.plan.byteclasses import byte_classes
from guard.plan.grouping import group, single
from guard.plan.units import net_units, path_units
from guard.policy.model import Policy
from guard.wire.layout import NetVerb, Section


@dataclass(frozen=True, slots=True)
class Together:
    """Rules of one section, by their places in it, that match together. ``verbs`` are those
    that such objects have."""

    rules: frozenset[int]
    verbs: frozenset[int]


_NAMED = frozenset(map(int, (NetVerb.BIND, NetVerb.CONNECT, NetVerb.SEND)))
_EVERY = frozenset(range(32))


def together(policy: Policy, section: Section) -> list[Together]:
    """All classes of a policy's section that holds rules on paths or sockets.

    The policy has no other section with rules. Raises PlanError.
    """
    paths, operations = path_units([policy]), net_units([policy])
    read = read_all([*paths, *operations])
    of_bytes = byte_classes(glob for globs in read.values() for glob in globs)
    found: set[Together] = set()
    for automaton in group(paths, read, of_bytes, (HOST, ANONYMOUS)):
        verbs = _NAMED if section is Section.NET else _EVERY
        found.update(Together(rules, verbs) for rules in _classes(automaton))
    if operations:
        automaton = single(operations, read, of_bytes, (HOST,))
        found.update(Together(rules, _EVERY) for rules in _classes(automaton))
    return list(found)


def _classes(automaton: Automaton) -> Iterator[frozenset[int]]:
    for matched in {matched for matched, _, _ in automaton.minimal.rich.values()}:
        if matched:
            yield frozenset(automaton.refs[number].rule for number in matched)
