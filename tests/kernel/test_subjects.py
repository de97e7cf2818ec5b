# SPDX-License-Identifier: Apache-2.0
"""Whom a policy applies to: control groups, units, users and groups, as they change."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import Enforcer

pytestmark = pytest.mark.kernel

GROUPS = Path("/sys/fs/cgroup")
UID, GID = 4711, 4712


def policy(subject: str) -> str:
    """A policy for a subject that denies chroot."""
    return (
        f"version: 1\nname: p\nmode: enforce\nsubject: {subject}\n"
        "kernel:\n  default: allow\n  rules:\n    - {id: it, deny: [chroot]}\n"
    )


def chroot() -> None:
    """Needs no more than the capability, which every process here keeps."""
    os.chroot("/")


@pytest.fixture
def tree() -> Iterator[str]:
    """A control group that is this test's own, as a path in the v2 tree."""
    if not (GROUPS / "cgroup.procs").exists():
        calls.mount("none", GROUPS, "cgroup2")
    name = f"guard-test-{os.getpid()}"
    (GROUPS / name).mkdir()
    yield f"/{name}"
    for directory, _, _ in sorted(os.walk(GROUPS / name), reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def enter(group: str) -> None:
    """Move into a control group, made if it is not there."""
    (GROUPS / group.lstrip("/")).mkdir(parents=True, exist_ok=True)
    (GROUPS / group.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))


def chroot_in(*groups: str) -> list[int]:
    """What chroot comes to in one control group after another."""
    found = []
    for group in groups:
        enter(group)
        found.append(outcome())
    enter("/")
    return found


def outcome() -> int:
    """chroot's errno, 0 where it succeeds."""
    try:
        chroot()
    except OSError as error:
        return error.errno or -1
    return 0


def test_a_control_group_and_all_below_it_are_the_subject(enforcer: Enforcer, tree: str) -> None:
    enforcer.enforce(policy(f"{{cgroup: {tree}/in}}"))
    places = (f"{tree}/in", f"{tree}/in/deep/deeper", f"{tree}/inside", tree)
    attempt = enforcer.attempt(chroot_in, *places, label=None)
    assert attempt.value == [errno.EPERM, errno.EPERM, 0, 0]
    assert [one["rule"]["id"] for one in attempt.records] == ["it", "it"]


def test_a_move_counts_from_the_next_operation_on(enforcer: Enforcer, tree: str) -> None:
    enforcer.enforce(policy(f"{{cgroup: '{tree}/[ab]'}}"))
    attempt = enforcer.attempt(
        chroot_in, f"{tree}/a", f"{tree}/c", f"{tree}/b", f"{tree}/c", label=None
    )
    assert attempt.value == [errno.EPERM, 0, errno.EPERM, 0]


def test_a_unit_is_a_group_of_its_name_wherever_it_is(enforcer: Enforcer, tree: str) -> None:
    enforcer.enforce(policy("{unit: 'web@*.service'}"))
    attempt = enforcer.attempt(
        chroot_in,
        f"{tree}/web@1.service",
        f"{tree}/some.slice/web@2.service/payload",
        f"{tree}/web.service",
        f"{tree}/xweb@1.service",
        label=None,
    )
    assert attempt.value == [errno.EPERM, errno.EPERM, 0, 0]


def test_a_group_too_deep_to_be_told_is_taken_for_a_subject(enforcer: Enforcer, tree: str) -> None:
    enforcer.enforce(policy("{cgroup: /none/such}"))
    deep = tree + "/d" * 30
    attempt = enforcer.attempt(chroot_in, tree, deep, label=None)
    assert attempt.value == [0, errno.EPERM]


def test_a_group_with_a_long_name_is_told_to_its_end(enforcer: Enforcer, tree: str) -> None:
    name = "n" * 200
    enforcer.enforce(policy(f"{{cgroup: '{tree}/{name}x'}}"))
    attempt = enforcer.attempt(chroot_in, f"{tree}/{name}x", f"{tree}/{name}y", label=None)
    assert attempt.value == [errno.EPERM, 0]


def keeping_capabilities(become: Callable[[], None]) -> int:
    """chroot's errno after a change of ids that keeps the effective user root's."""
    os.setgroups([])
    become()
    return outcome()


IDS: dict[str, tuple[str, Callable[[], None]]] = {
    "real user": ("user", lambda: os.setresuid(UID, 0, 0)),
    "saved user": ("user", lambda: os.setresuid(0, 0, UID)),
    "real group": ("group", lambda: os.setresgid(GID, 0, 0)),
    "effective group": ("group", lambda: os.setresgid(0, GID, 0)),
    "saved group": ("group", lambda: os.setresgid(0, 0, GID)),
    "supplementary group": ("group", lambda: os.setgroups([1, GID, 99999])),
}


@pytest.mark.parametrize("which", IDS)
def test_a_user_or_group_is_the_subject_by_any_of_its_ids(which: str, enforcer: Enforcer) -> None:
    kind, become = IDS[which]
    number = UID if kind == "user" else GID
    enforcer.enforce(policy(f"{{{kind}: {number}}}"))
    before = enforcer.attempt(keeping_capabilities, lambda: None, label=None)
    assert (before.value, before.records) == (0, [])
    after = enforcer.attempt(keeping_capabilities, become, label=None)
    assert after.value == errno.EPERM
    assert [one["rule"]["id"] for one in after.records] == ["it"]
    enforcer.enforce(policy(f"{{{kind}: {number + 100}}}"))
    other = enforcer.attempt(keeping_capabilities, become, label=None)
    assert (other.value, other.records) == (0, [])


def test_a_user_may_be_named(enforcer: Enforcer) -> None:
    enforcer.enforce(policy("{user: root}"))
    assert enforcer.attempt(outcome, label=None).value == errno.EPERM
    enforcer.enforce(policy("{user: daemon}"))
    assert enforcer.attempt(outcome, label=None).value == 0
