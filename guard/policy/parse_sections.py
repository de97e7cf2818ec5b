# SPDX-License-Identifier: Apache-2.0
"""The sections of a policy and of the fragments that it includes: nodes to the model.

A section's rules are the policy's own, in their order, then those of its
fragments, in the order in which they are included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from guard.policy.codes import Code
from guard.policy.model import (
    Effect,
    KernelRule,
    KernelSection,
    NetRule,
    NetSection,
    PathRule,
    PathSection,
)
from guard.policy.nodes import Broken, Node
from guard.policy.nodes import Sequence as SequenceNode
from guard.policy.parse_rules import Fields, Reading, exec_rule, file_rule, kernel_rule, verbs
from guard.policy.source import Span
from guard.policy.values import Field, Values, described, is_null
from guard.policy.vocabulary import (
    EFFECTS,
    EXEC,
    EXEC_PART,
    FILE,
    FILE_PART,
    KERNEL,
    KERNEL_PART,
    NET,
    NET_PART,
    Shape,
)
from guard.policy.words import KERNEL as KERNEL_WORDS

_T = TypeVar("_T")

PARTS = {"file": FILE_PART, "exec": EXEC_PART, "net": NET_PART, "kernel": KERNEL_PART}
"""The sections that a fragment may have rules for."""


class Sections:
    """Reads one policy's sections, with the entries of the fragments that it includes."""

    def __init__(self, fields: Fields, fragments: Sequence[Fields], reading: Reading) -> None:
        self._fields = fields
        self._fragments = fragments
        self._reading = reading
        self._values = reading.values

    def file(self) -> PathSection | None:
        """The file section; None where there is none, or it cannot be read."""
        return self._paths("file", FILE, file_rule)

    def exec(self) -> PathSection | None:
        """The exec section."""
        return self._paths("exec", EXEC, exec_rule)

    def net(self) -> NetSection | None:
        """The net section."""
        from guard.policy.parse_net import net_rule  # noqa: PLC0415 - many policies have none

        head = self._head("net", NET)
        rules: tuple[NetRule, ...] = self._rules("net", head, net_rule)
        default = self._default(head)
        return NetSection(default, rules, head[1]) if head and default else None

    def kernel(self) -> KernelSection | None:
        """The kernel section; ``deny`` in place of rules is one rule under default: allow."""
        head = self._head("kernel", KERNEL)
        own: list[KernelRule] = []
        default = self._default(head)
        if head is not None and "deny" in head[0]:
            field = head[0]["deny"]
            ops = verbs(field, KERNEL_WORDS, self._values)
            own = [KernelRule(id="kernel.1", effect=Effect.DENY, span=field.key.span, ops=ops)]
            self._reading.ids.setdefault("kernel.1", None)
            default = Effect.ALLOW
        rules: tuple[KernelRule, ...] = self._rules("kernel", head, kernel_rule, own)
        return KernelSection(default, rules, head[1]) if head and default else None

    def alone(self, fields: Fields) -> None:
        """Judge the rules of a fragment that no policy includes here."""
        from guard.policy.parse_net import net_rule  # noqa: PLC0415 - as above

        readers: dict[str, Callable[[Node, int, Reading], object]] = {
            "file": file_rule,
            "exec": exec_rule,
            "net": net_rule,
            "kernel": kernel_rule,
        }
        for name, shape in PARTS.items():
            if name in fields:
                part = fields[name]
                entries = self._values.mapping(part.value, shape, part.key.span)
                if entries is not None:
                    self._rules(name, (entries, part.value.span), readers[name])

    def _paths(
        self, name: str, shape: Shape, read: Callable[[Node, int, Reading], PathRule | None]
    ) -> PathSection | None:
        head = self._head(name, shape)
        rules: tuple[PathRule, ...] = self._rules(name, head, read)
        default = self._default(head)
        return PathSection(default, rules, head[1]) if head and default else None

    def _head(self, name: str, shape: Shape) -> tuple[Fields, Span] | None:
        if name not in self._fields:
            return None
        field = self._fields[name]
        fields = self._values.mapping(field.value, shape, field.key.span)
        return None if fields is None else (fields, field.value.span)

    def _default(self, head: tuple[Fields, Span] | None) -> Effect | None:
        if head is None or "default" not in head[0]:
            return None
        return self._values.word(head[0]["default"].value, "default", EFFECTS)

    def _rules(
        self,
        name: str,
        head: tuple[Fields, Span] | None,
        read: Callable[[Node, int, Reading], _T | None],
        own: Sequence[_T] = (),
    ) -> tuple[_T, ...]:
        found = list(own)
        number = len(found)
        for field in self._lists(name, head):
            for item in items(field, "rules", "rule", self._values):
                number += 1
                rule = read(item, number, self._reading)
                if rule is not None:
                    found.append(rule)
        return tuple(found)

    def _lists(self, name: str, head: tuple[Fields, Span] | None) -> list[Field]:
        lists = []
        if head is not None and "rules" in head[0]:
            lists.append(head[0]["rules"])
        for fragment in self._fragments:
            if name not in fragment:
                continue
            part = fragment[name]
            if name not in self._fields:
                self._values.findings.add(
                    Code.INCLUDE_FAILED,
                    f"this fragment has rules for the {name} section, which the policy that"
                    " includes it has not",
                    part.key.span,
                    help=f"give the policy a {name} section with its default",
                )
                continue
            fields = self._values.mapping(part.value, PARTS[name], part.key.span)
            if fields is not None and "rules" in fields:
                lists.append(fields["rules"])
        return lists


def items(field: Field, word: str, one: str, values: Values) -> Sequence[Node]:
    """The entries of a list that is not empty: rules, tests, fragments."""
    node = field.value
    if not isinstance(node, SequenceNode):
        if not isinstance(node, Broken):
            values.findings.add(
                Code.EMPTY_VALUE if is_null(node) else Code.WRONG_KIND,
                f"{word} is a list: each {one} starts with '- '",
                field.key.span if is_null(node) else node.span,
                "nothing follows" if is_null(node) else f"this is {described(node)}",
            )
        return ()
    if not node.items:
        values.findings.add(
            Code.EMPTY_VALUE,
            f"{word} is an empty list",
            node.span,
            help=f"leave the key out when there are no {one}s",
        )
    return node.items
