# SPDX-License-Identifier: Apache-2.0
"""Policies with an ingress section, from text, for the tests."""

from __future__ import annotations

from guard.daemon import ingress_state
from guard.daemon.ingress_state import State
from guard.policy import read
from guard.policy.findings import Findings
from guard.policy.ingress import IngressSection
from guard.policy.model import Mode, Policy, Subject
from guard.policy.nodes import Mapping, Scalar
from guard.policy.parse_ingress import ingress_section
from guard.policy.values import Field, Values
from tests.ingress_front.lab import HOST_IF


def judged(body: str) -> tuple[IngressSection | None, Findings, list[Scalar]]:
    """An ingress section's text, without its key: the section, the findings, the ids noted."""
    found: list[object] = []
    findings = Findings(found)  # type: ignore[arg-type]
    text = "ingress:\n" + "".join(f"  {line}\n" for line in body.splitlines())
    source = read.decode(text.encode(), "p.yaml", findings)
    assert source is not None
    (root,) = read.documents(source, findings)
    ids: list[Scalar] = []
    section = None
    if isinstance(root, Mapping):
        ((key, value),) = root.entries
        section = ingress_section(Field(key, value), Values(findings), ids.append)
    findings.found = found  # type: ignore[attr-defined]
    return section, findings, ids


def section(
    *rules: str, default: str = "drop", more: str = "", on: str = HOST_IF
) -> IngressSection:
    """A section with these rules, given as flow mappings; ``more``: further lines."""
    lines = [f"interfaces: [{on}]", f"default: {default}", *more.splitlines()]
    lines += [*(["rules:"] if rules else []), *(f"  - {rule}" for rule in rules)]
    made, findings, _ = judged("\n".join(lines))
    assert made is not None and not findings.errors, findings.found  # type: ignore[attr-defined]
    return made


def state(*rules: str, mode: str = "enforce", **more: str) -> State:
    """The state that such a policy asks for; set files are relative to /."""
    made = section(*rules, **more)
    subject = Subject((), True, False, made.span)
    policy = Policy("p", Mode(mode), subject, None, "/p.yaml", made.span, ingress=made)
    return ingress_state.of_policy(policy)
