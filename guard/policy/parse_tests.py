# SPDX-License-Identifier: Apache-2.0
"""The tests of a policy: nodes to the model. Runs none of them."""

from __future__ import annotations

from collections.abc import Collection

from guard.policy import limits, operations
from guard.policy.codes import Code
from guard.policy.diagnostic import Fix, quoted
from guard.policy.model import Operation, Test
from guard.policy.nodes import Node
from guard.policy.operations import Complaint
from guard.policy.parse_sections import items
from guard.policy.values import Field, Values
from guard.policy.vocabulary import EFFECTS, TEST


def tests(field: Field, values: Values, ids: Collection[str] | None) -> tuple[Test, ...]:
    """The tests that have no error. ``ids`` are the rules', None where they are not known."""
    found = (_test(item, values, ids) for item in items(field, "tests", "test", values))
    return tuple(test for test in found if test is not None)


def _test(item: Node, values: Values, ids: Collection[str] | None) -> Test | None:
    fields = values.mapping(item, TEST, None)
    if fields is None:
        return None
    done = _operation(fields["do"].value, values) if "do" in fields else None
    expect = values.word(fields["expect"].value, "expect", EFFECTS) if "expect" in fields else None
    rule = _rule(fields["rule"].value, values, ids) if "rule" in fields else None
    if done is None or expect is None:
        return None
    operation, text = done
    return Test(operation, text, expect, rule, item.span)


def _operation(node: Node, values: Values) -> tuple[Operation, str] | None:
    scalar = values.text(node, "do", limits.PATTERN_LENGTH)
    if scalar is None:
        return None
    found = operations.operation(scalar.text, values.findings.suggest)
    if not isinstance(found, Complaint):
        return found, scalar.text
    place = scalar.part(found.start, found.end)
    values.findings.add(
        found.code,
        found.message,
        place,
        found.label,
        help=found.help,
        fix=Fix(place, found.replacement) if found.replacement else None,
    )
    return None


def _rule(node: Node, values: Values, ids: Collection[str] | None) -> str | None:
    scalar = values.name(node, "rule")
    if scalar is None:
        return None
    if ids is not None and scalar.text not in ids:
        close = values.findings.suggest(scalar.text, ids)
        values.findings.add(
            Code.UNKNOWN_RULE,
            f"this policy has no rule {quoted(scalar.text)}",
            scalar.span,
            "no such rule",
            help=f"did you mean '{close}'?"
            if close
            else "a rule without an id of its own is called by section and number, as file.1",
            fix=values.findings.edit(scalar.span, scalar.text, close, ids),
        )
    return scalar.text
