# SPDX-License-Identifier: Apache-2.0
"""What records need to know about a generation: which rules a class id stands for,
and where the host mounts a device.

Serialisable, so that another process can explain the events of tables that it
did not load. Knows nothing of events and of how records look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from guard.plan.aliases import Alias, Start
from guard.plan.host import HostPlan, host_name
from guard.plan.units import SUBJECT, Ref, rule_verbs, section_rules
from guard.policy.model import Effect, KernelRule, Rule
from guard.wire.layout import Section

_VERSION = 3


CONTENTS = len(Section)
"""Place in a policy's lines of the one about its executables' contents."""


@dataclass(frozen=True, slots=True)
class IndexedPolicy:
    """One policy, at its bit. ``lines`` are those of its sections, in the order of enum
    guard_section; a section that it does not have has the document's line. Then the
    line that says what executables may hold, or the subject's.
    """

    name: str
    mode: str
    file: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IndexedRule:
    """One rule. ``section`` is its number in enum guard_section; ``verbs`` has a bit per
    verb, in the kernel section per operation; ``line`` is the rule's in ``file``.
    """

    policy: int
    section: int
    id: str
    deny: bool
    verbs: int
    audit: bool
    file: str
    line: int
    why: str | None
    tags: tuple[str, ...]


class Asked(NamedTuple):
    """What was to be decided, as in struct guard_event: the section, the bits of the
    verbs (of the operation, in the kernel section), the classes met.
    """

    section: int
    verbs: int
    class_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one policy decided: a rule, or its section's default (``rule`` is None)."""

    policy: IndexedPolicy
    rule: IndexedRule | None


@dataclass(frozen=True, slots=True)
class PlanIndex:
    """One generation's names. ``classes[id]`` are numbers of ``rules``."""

    policies: tuple[IndexedPolicy, ...]
    rules: tuple[IndexedRule, ...]
    classes: tuple[tuple[int, ...], ...]
    devices: dict[int, Start] = field(hash=False)

    def host_path(self, device: int, path: bytes) -> bytes | None:
        """The host's name of a path inside a device; None if the host gives it none."""
        return host_name(self.devices.get(device, ()), path)

    def explain(self, asked: Asked, denied: int, by_rule: int) -> list[Cause]:
        """For each policy in ``denied``, in the order of bits, the deny rule or the default.

        ``by_rule`` is as in struct guard_event. Raises LookupError for a policy or
        class of another generation, and where no rule of the classes can have denied.
        """
        return [
            Cause(policy, self._rule(bit, asked, "deny") if by_rule >> bit & 1 else None)
            for bit, policy in self._members(denied)
        ]

    def explain_audited(self, asked: Asked, audited: int) -> list[Cause]:
        """For each policy in ``audited``, a matching rule that wants a record.

        Raises LookupError as ``explain`` does.
        """
        return [
            Cause(policy, self._rule(bit, asked, "audit")) for bit, policy in self._members(audited)
        ]

    def _rule(self, bit: int, asked: Asked, wanted: str) -> IndexedRule:
        for rule in self._matched(asked):
            if (
                rule.policy == bit
                and rule.section == asked.section
                and rule.verbs & asked.verbs
                and (rule.deny if wanted == "deny" else rule.audit)
            ):
                return rule
        raise LookupError(
            f"no {wanted} rule of {self.policies[bit].name} in classes {list(asked.class_ids)}"
        )

    def _members(self, mask: int) -> list[tuple[int, IndexedPolicy]]:
        if mask >> len(self.policies):
            raise LookupError(f"policies {mask:#x}, and there are {len(self.policies)}")
        return [(bit, one) for bit, one in enumerate(self.policies) if mask >> bit & 1]

    def _matched(self, asked: Asked) -> Iterable[IndexedRule]:
        if asked.section == Section.KERNEL:
            return self.rules  # operations on the kernel have no classes
        return [self.rules[number] for one in asked.class_ids for number in self.classes[one]]

    def to_json(self) -> str:
        """Compact JSON. Paths that are not UTF-8 keep their bytes as lone surrogates."""
        return json.dumps(
            {
                "version": _VERSION,
                "policies": [list(asdict(one).values()) for one in self.policies],
                "rules": [list(asdict(one).values()) for one in self.rules],
                "classes": self.classes,
                "devices": {
                    str(device): [[_text(one.root), _text(one.mountpoint)] for one in names]
                    for device, names in self.devices.items()
                },
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str) -> PlanIndex:
        """The index that ``to_json`` wrote. Raises ValueError for anything else."""
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(f"a plan index of version {value['version']}")
            return PlanIndex(
                tuple(
                    IndexedPolicy(name, mode, file, tuple(lines))
                    for name, mode, file, lines in value["policies"]
                ),
                tuple(_rule([*one[:-1], tuple(one[-1])]) for one in value["rules"]),
                tuple(tuple(one) for one in value["classes"]),
                {
                    int(device): tuple(Alias(_bytes(root), _bytes(at)) for root, at in names)
                    for device, names in value["devices"].items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a plan index") from error


def index_plan(host_plan: HostPlan) -> PlanIndex:
    """The index of a host plan."""
    plan = host_plan.plan
    policies: list[IndexedPolicy] = []
    rules: list[IndexedRule] = []
    numbers: dict[Ref, int] = {}
    for bit, policy in enumerate(plan.policies):
        sections = policy.sections
        said = next(iter(policy.subject.contents), policy.subject)
        lines = tuple(one.span.line for one in (*(section or policy for section in sections), said))
        policies.append(IndexedPolicy(policy.name, policy.mode.value, policy.source, lines))
        for section in Section:
            for index, rule in enumerate(section_rules(policy, section)):
                numbers[Ref(bit, index, section)] = len(rules)
                rules.append(_indexed(bit, section, rule))
    classes = tuple(
        # Classes of the subjects' automata are no objects' and hold no rules.
        tuple(numbers[ref] for ref in refs if ref.rule != SUBJECT)
        for refs in plan.classes
    )
    devices = {one.device: one.names for one in host_plan.devices}
    return PlanIndex(tuple(policies), tuple(rules), classes, devices)


def _rule(members: list[Any]) -> IndexedRule:
    return IndexedRule(*members)


def _indexed(bit: int, section: Section, rule: Rule) -> IndexedRule:
    verbs = rule.ops if isinstance(rule, KernelRule) else rule_verbs(rule)
    return IndexedRule(
        bit,
        int(section),
        rule.id,
        rule.effect is Effect.DENY,
        sum(1 << verb for verb in verbs),
        rule.audit,
        rule.span.file,
        rule.span.line,
        rule.why,
        rule.tags,
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
