# SPDX-License-Identifier: Apache-2.0
"""The kernel section: each operation denied with its twins, targets, defaults, errno, kill."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

import pytest

from guard.daemon import canary
from tests.kernel.harness import TREE, Enforcer, Record
from tests.kernel.operations import OPERATIONS

pytestmark = pytest.mark.kernel

REFUSED = (errno.EPERM, errno.EACCES)


def kernel(*rules: str, default: str = "allow", name: str = "p", mode: str = "enforce") -> str:
    """A policy with a kernel section alone."""
    lines = ["version: 1", f"name: {name}", f"mode: {mode}", f"subject: {TREE}", "kernel:"]
    lines += [f"  default: {default}", *(["  rules:"] if rules else [])]
    return "\n".join([*lines, *(f"    - {rule}" for rule in rules)]) + "\n"


def told(record: Record) -> tuple[object, ...]:
    """Event, verdict, errno, policy and rule of a record."""
    rule = record["rule"]
    return (
        record["event"],
        record["verdict"],
        record["error"],
        record["policy"]["name"],
        rule["id"] if rule else None,
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_denied_operation(name: str, enforcer: Enforcer) -> None:
    word, call = OPERATIONS[name]
    deny = f"{{id: it, deny: [{word}]}}"
    others = sorted({other for other, _ in OPERATIONS.values()} - {word})
    enforcer.enforce(
        kernel(deny),
        kernel(deny, name="q", mode="audit"),
        kernel(f"{{id: rest, deny: [{', '.join(others)}]}}", name="r", mode="audit"),
    )
    free = enforcer.attempt(call, label=None)
    assert free.errno not in REFUSED and free.records == []
    watched = enforcer.attempt(call, label=0b010)
    assert watched.errno == free.errno
    assert (f"kernel.{word}", "would-deny", None, "q", "it") in [
        told(one) for one in watched.records
    ]
    denied = enforcer.attempt(call, label=0b001)
    assert denied.errno in REFUSED
    assert told(denied.records[0]) == (f"kernel.{word}", "denied", "EPERM", "p", "it")


@pytest.mark.parametrize("name", ["umount", "bpf", "userns", "cap_sys_chroot"])
def test_what_is_not_named_is_not_touched(name: str, enforcer: Enforcer) -> None:
    word, call = OPERATIONS[name]
    others = sorted({other for other, _ in OPERATIONS.values()} - {word, "chroot"})
    enforcer.enforce(kernel(f"{{deny: [{', '.join(others)}]}}"))
    attempt = enforcer.attempt(call)
    assert attempt.errno not in REFUSED and attempt.records == []


def test_a_default_denies_every_operation_but_what_is_allowed(enforcer: Enforcer) -> None:
    enforcer.enforce(kernel("{id: some, allow: [chroot, cap_sys_chroot]}", default="deny"))
    assert enforcer.attempt(OPERATIONS["chroot"][1]).errno == 0
    denied = enforcer.attempt(OPERATIONS["userns"][1])
    assert denied.errno == errno.EPERM
    assert told(denied.records[0]) == ("kernel.userns", "denied", "EPERM", "p", None)


def test_a_rule_may_choose_the_errno(enforcer: Enforcer) -> None:
    enforcer.enforce(kernel("{id: it, deny: [chroot], errno: EACCES}"))
    denied = enforcer.attempt(OPERATIONS["chroot"][1])
    assert denied.errno == errno.EACCES
    assert told(denied.records[0]) == ("kernel.chroot", "denied", "EACCES", "p", "it")


def test_an_operation_that_is_audited_is_allowed_and_recorded(enforcer: Enforcer) -> None:
    enforcer.enforce(kernel("{id: it, allow: [chroot], audit: true}"))
    attempt = enforcer.attempt(OPERATIONS["chroot"][1])
    assert attempt.errno == 0
    assert [told(one) for one in attempt.records] == [("kernel.chroot", "allowed", None, "p", "it")]


def test_a_rule_may_end_the_process(enforcer: Enforcer) -> None:
    enforcer.enforce(
        kernel("{id: it, deny: [chroot], kill: true}"),
        kernel("{id: it, deny: [chroot], kill: true}", name="q", mode="audit"),
    )
    watched = enforcer.attempt(OPERATIONS["chroot"][1], label=0b10)
    assert watched.errno == 0
    killed = enforcer.attempt(OPERATIONS["chroot"][1], label=0b01)
    assert killed.errno == -signal.SIGKILL
    assert told(killed.records[0]) == ("kernel.chroot", "denied", "EPERM", "p", "it")


def _signal_child() -> None:
    """A child of one's own is under the same policies."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _look_into_child() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        with open(f"/proc/{pid}/mem", "rb"):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("call", [_signal_child, _look_into_child])
def test_processes_under_the_same_policy_are_its_own_business(
    call: Callable[[], None], enforcer: Enforcer
) -> None:
    enforcer.enforce(kernel("{deny: [signal, ptrace]}"))
    attempt = enforcer.attempt(call)
    assert (attempt.errno, attempt.records) == (0, [])


def test_a_record_names_the_process_that_was_to_be_signalled(enforcer: Enforcer) -> None:
    enforcer.enforce(kernel("{id: it, deny: [signal]}"))
    denied = enforcer.attempt(OPERATIONS["signal"][1])
    assert denied.records[0]["object"]["target"]["pid"] == os.getpid()


def test_every_hook_catches_its_canary(enforcer: Enforcer) -> None:
    session = enforcer.session
    found = {one.hook: one.problem for one in session.canaries()}
    attached = {gate.hook for gate in session.engine.gates}
    assert {hook: problem for hook, problem in found.items() if problem} == {}
    assert set(found) == attached - canary.UNTESTABLE
