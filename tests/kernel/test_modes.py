# SPDX-License-Identifier: Apache-2.0
"""Several policies on one process: all must allow, and one record tells who did not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.kernel.harness import DEFAULT_LINE, Enforcer, expect, literal, opened, policy, rule

pytestmark = pytest.mark.kernel


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with three files."""
    for name in ("first", "second", "third"):
        (tmp_path / name).touch()
    return tmp_path


def test_every_policy_must_allow(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(
        policy(rule("deny", "read", literal(files / "first"))),
        policy(rule("deny", "read", literal(files / "second"), id="its"), name="q"),
    )
    first = enforcer.attempt(opened, files / "first")
    second = enforcer.attempt(opened, files / "second")
    assert first.errno == second.errno == errno.EACCES
    expect(first.record, path=files / "first")
    expect(second.record, path=files / "second", policy="q", file="1.yaml", rule="its")
    third = enforcer.attempt(opened, files / "third")
    assert (third.errno, third.records) == (0, [])


def test_an_allow_of_one_policy_does_not_lift_the_deny_of_another(
    files: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(
        policy(rule("allow", "read", literal(files / "first")), default="deny"),
        policy(rule("deny", "read", literal(files) + "/**"), name="q"),
    )
    denied = enforcer.attempt(opened, files / "first")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=files / "first", policy="q", file="1.yaml")
    both = enforcer.attempt(opened, files / "second")
    assert both.errno == errno.EACCES
    expect(both.record, path=files / "second", rule=None, line=DEFAULT_LINE, others=("q",))


def test_only_the_policies_of_the_process_count(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(
        policy(rule("deny", "read", literal(files / "first"))),
        policy(rule("deny", "read", literal(files / "second")), name="q"),
    )
    for label, wanted in ((0b01, [13, 0]), (0b10, [0, 13]), (0b11, [13, 13]), (0, [0, 0])):
        got = [
            enforcer.attempt(opened, files / name, label=label).errno
            for name in ("first", "second")
        ]
        assert got == wanted


@pytest.mark.parametrize("order", [("enforce", "audit"), ("audit", "enforce")])
def test_a_denial_is_told_once_by_the_policy_that_enforces_it(
    order: tuple[str, str], files: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(
        *(
            policy(rule("deny", "read", literal(files / "first")), name=mode, mode=mode)
            for mode in order
        )
    )
    denied = enforcer.attempt(opened, files / "first")
    assert denied.errno == errno.EACCES
    at = order.index("enforce")
    file = "policy.yaml" if at == 0 else "1.yaml"
    assert denied.record["policy"]["name"] == "enforce"
    assert denied.record["rule"]["file"] == file
    assert denied.record["verdict"] == "denied"
    assert denied.record["others"] == ["audit"]


def test_only_audit_mode_policies_deny_nothing(files: Path, enforcer: Enforcer) -> None:
    denying = rule("deny", "[read, write]", literal(files / "first"))
    enforcer.enforce(
        policy(denying, mode="audit"), policy(denying, name="q", mode="audit", default="deny")
    )
    watched = enforcer.attempt(opened, files / "first", os.O_RDWR)
    assert watched.errno == 0
    expect(
        watched.record,
        path=files / "first",
        verbs=("read", "write"),
        verdict="would-deny",
        mode="audit",
        others=("q",),
    )
    default = enforcer.attempt(opened, files / "second")
    assert default.errno == 0
    expect(
        default.record,
        path=files / "second",
        verdict="would-deny",
        policy="q",
        mode="audit",
        file="1.yaml",
        rule=None,
        line=DEFAULT_LINE,
    )


def test_an_audited_allow_beside_a_denial_makes_one_record(files: Path, enforcer: Enforcer) -> None:
    watch = rule("allow", "read", literal(files / "first"), more="audit: true")
    enforcer.enforce(
        policy(watch), policy(rule("deny", "read", literal(files / "first")), name="q")
    )
    denied = enforcer.attempt(opened, files / "first")
    expect(denied.record, path=files / "first", policy="q", file="1.yaml")
    allowed = enforcer.attempt(opened, files / "first", label=0b01)
    assert allowed.errno == 0
    expect(allowed.record, path=files / "first", verdict="allowed")


def test_sixty_four_policies_hold_together(files: Path, enforcer: Enforcer) -> None:
    names = [files / f"n{number}" for number in range(64)]
    for name in names:
        name.touch()
    enforcer.enforce(
        *(
            policy(rule("deny", "read", literal(name)), name=name.name, mode="enforce")
            for name in names
        )
    )
    for number in (0, 31, 32, 62, 63):
        denied = enforcer.attempt(opened, names[number])
        assert denied.errno == errno.EACCES
        assert denied.record["policy"]["name"] == f"n{number}"
        assert denied.record["others"] == []


def test_a_new_generation_replaces_the_old_one_whole(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(policy(rule("deny", "read", literal(files / "first"))))
    old = enforcer.attempt(opened, files / "first")
    enforcer.enforce(policy(rule("deny", "read", literal(files / "second"))))
    assert enforcer.attempt(opened, files / "first").errno == 0
    new = enforcer.attempt(opened, files / "second")
    generations = [one.record["policy"]["generation"] for one in (old, new)]
    assert generations[1] == generations[0] + 1


def test_records_are_numbered_without_holes(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(policy(rule("deny", "read", literal(files) + "/*")))

    def several() -> None:
        for _ in range(50):
            for name in ("first", "second", "third"):
                try:
                    opened(files / name)
                except PermissionError:
                    continue
                raise AssertionError("not denied")

    records = enforcer.attempt(several).records
    assert len(records) == 150
    for cpu in {record["cpu"] for record in records}:
        numbers = [record["seq"] for record in records if record["cpu"] == cpu]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    times = [record["time"] for record in records]
    assert times == sorted(times)
