# SPDX-License-Identifier: Apache-2.0
"""Drafts to YAML in guard's canonical form. Knows no source format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from guard.convert.model import Draft, DraftPolicy, shown
from guard.policy.canonical import canonical

_SECTIONS = ("file", "exec", "net", "kernel")


def emit(policies: Sequence[DraftPolicy]) -> str:
    """The text of a policy file that says what the drafts say."""
    return "---\n".join("\n".join(_policy(each)) + "\n" for each in policies)


def formed(text: str) -> str:
    """The text as `guard fmt` leaves it. Raises NotFormatted."""
    return canonical(text.encode())


def gates(policy: DraftPolicy) -> bool:
    """Whether a draft decides anything."""
    return any(_rules(policy, section) is not None for section in _SECTIONS)


def _policy(policy: DraftPolicy) -> Iterator[str]:
    key, values = policy.subject
    yield f"# {shown(policy.comment)}"
    yield "version: 1"
    yield f"name: {_text(policy.name)}"
    yield f"mode: {policy.mode}"
    yield "subject:"
    yield f"  {key}: {_list(values) if values else 'true'}"
    if policy.inherit and key == "exe":
        yield "  inherit: true"
    for section in _SECTIONS:
        rules = _rules(policy, section)
        if rules is None:
            continue
        yield f"{section}:"
        yield f"  default: {policy.defaults[section]}"
        if rules:
            yield "  rules:"
        for rule in rules:
            yield from _rule(rule)


def _rules(policy: DraftPolicy, section: str) -> list[Draft] | None:
    """A section's rules that change something, each once; None where the section does nothing."""
    default = policy.defaults.get(section)
    if default is None:
        return None
    found: dict[object, Draft] = {}
    for rule in policy.rules:
        if rule.section != section:
            continue
        if default == "allow" and rule.effect == "allow" and not rule.audit:
            continue
        keys = frozenset((key, frozenset(values)) for key, values in rule.keys)
        found.setdefault(
            (rule.effect, frozenset(rule.words), keys, rule.audit, rule.kill, rule.errno), rule
        )
    if default == "allow" and not found:
        return None
    return list(found.values())


def _rule(rule: Draft) -> Iterator[str]:
    yield f"    # {shown(rule.comment)}"
    yield f"    - {rule.effect}: {_list(rule.words)}"
    for key, values in rule.keys:
        yield f"      {key}: {_list(values)}"
    if rule.audit:
        yield "      audit: true"
    if rule.kill:
        yield "      kill: true"
    if rule.errno:
        yield f"      errno: {rule.errno}"
    if rule.why:
        yield f"      why: {_text(rule.why)}"
    if rule.tags:
        yield f"      tags: {_list(rule.tags)}"


def _list(values: Sequence[str]) -> str:
    once = list(dict.fromkeys(values))
    return _text(once[0]) if len(once) == 1 else "[" + ", ".join(map(_text, once)) + "]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
