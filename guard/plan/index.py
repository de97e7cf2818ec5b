# SPDX-License-Identifier: Apache-2.0
"""What records need to know about a generation: which rules a class id stands for,
and where the host mounts a device.

Serialisable, so that another process can explain the events of tables that it
did not load. Knows nothing of events and of how records look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from guard.plan.aliases import Alias, Start
from guard.plan.host import HostPlan, host_name
from guard.plan.units import SUBJECT
from guard.policy.model import Effect

_VERSION = 1


@dataclass(frozen=True, slots=True)
class IndexedPolicy:
    """One policy, at its bit. ``default`` and ``line`` are its file section's; without
    one they are None and the document's line.
    """

    name: str
    mode: str
    file: str
    line: int
    default: str | None


@dataclass(frozen=True, slots=True)
class IndexedRule:
    """One file rule. ``verbs`` has a bit per verb; ``line`` is the rule's in ``file``."""

    policy: int
    id: str
    deny: bool
    verbs: int
    audit: bool
    file: str
    line: int
    why: str | None


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

    def explain(
        self, denied: int, by_rule: int, class_ids: Sequence[int], verbs: int
    ) -> list[Cause]:
        """For each policy in ``denied``, in the order of bits, the deny rule or the default.

        ``by_rule``, ``class_ids`` and ``verbs`` (a bit per verb) are as in struct
        guard_event. Raises LookupError for a policy or class of another generation,
        and where no rule of the classes can have denied.
        """
        found: list[Cause] = []
        for bit, policy in self._members(denied):
            if not by_rule >> bit & 1:
                found.append(Cause(policy, None))
                continue
            rules = [
                rule
                for rule in self._matched(class_ids)
                if rule.policy == bit and rule.deny and rule.verbs & verbs
            ]
            if not rules:
                raise LookupError(f"no deny rule of {policy.name} in classes {list(class_ids)}")
            found.append(Cause(policy, rules[0]))
        return found

    def explain_audited(self, audited: int, class_ids: Sequence[int], verbs: int) -> list[Cause]:
        """For each policy in ``audited``, a matching rule that wants a record.

        Raises LookupError as ``explain`` does.
        """
        found: list[Cause] = []
        for bit, policy in self._members(audited):
            rules = [
                rule
                for rule in self._matched(class_ids)
                if rule.policy == bit and rule.audit and rule.verbs & verbs
            ]
            if not rules:
                raise LookupError(f"no audit rule of {policy.name} in classes {list(class_ids)}")
            found.append(Cause(policy, rules[0]))
        return found

    def _members(self, mask: int) -> list[tuple[int, IndexedPolicy]]:
        if mask >> len(self.policies):
            raise LookupError(f"policies {mask:#x}, and there are {len(self.policies)}")
        return [(bit, one) for bit, one in enumerate(self.policies) if mask >> bit & 1]

    def _matched(self, class_ids: Sequence[int]) -> list[IndexedRule]:
        return [self.rules[number] for one in class_ids for number in self.classes[one]]

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
                tuple(IndexedPolicy(*one) for one in value["policies"]),
                tuple(IndexedRule(*one) for one in value["rules"]),
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
    first: list[int] = []
    for bit, policy in enumerate(plan.policies):
        section = policy.file
        first.append(len(rules))
        policies.append(
            IndexedPolicy(
                policy.name,
                policy.mode.value,
                policy.source,
                (section or policy).span.line,
                section.default.value if section else None,
            )
        )
        for rule in section.rules if section else ():
            verbs = sum(1 << verb for verb in rule.verbs)
            deny = rule.effect is Effect.DENY
            rules.append(
                IndexedRule(
                    bit, rule.id, deny, verbs, rule.audit, rule.span.file, rule.span.line, rule.why
                )
            )
    classes = tuple(
        # A class of the subject automaton is of executables and holds no rules.
        tuple(first[ref.policy] + ref.rule for ref in refs if ref.rule != SUBJECT)
        for refs in plan.classes
    )
    devices = {one.device: one.names for one in host_plan.devices}
    return PlanIndex(tuple(policies), tuple(rules), classes, devices)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
