# SPDX-License-Identifier: Apache-2.0
"""Repeated events: the first at once, the others counted, exactly, whoever collects them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.kernel import repeats
from guard.kernel.repeats import Merging
from tests.kernel.harness import Enforcer, Record, literal, loaded, policy, rule

pytestmark = pytest.mark.kernel

MANY = 10_000

# Kinds of event that are followed at once (SLOTS, lsm/repeat.bpf.c).
SLOTS = 1024


def denied_opens(times: int, *paths: str) -> int:
    """Open each path so often; how many were denied."""
    denied = 0
    for _ in range(times):
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY))
            except PermissionError:
                denied += 1
    return denied


def stood_for(records: list[Record]) -> int:
    """How many operations the records are about."""
    return sum(1 + one["suppressed"] for one in records)


def flushed(enforcer: Enforcer) -> list[Record]:
    """What comes after the kernel was asked for what it counted."""
    assert enforcer.session.repeats is not None
    enforcer.session.repeats.flush()
    return enforcer.drain()


@pytest.fixture(scope="module")
def merged() -> Iterator[Enforcer]:
    with loaded("repeats", Merging(rate=0)) as enforcer:
        yield enforcer


@pytest.fixture
def enforcer(merged: Enforcer) -> Enforcer:
    """The instance of this module, with nothing counted and no slot taken."""
    for _ in range(2):
        flushed(merged)
    return merged


@pytest.fixture
def secret(enforcer: Enforcer, files: Path) -> Path:
    """Files below it may not be read."""
    enforcer.enforce(policy(rule("deny", "[read]", f"{literal(files)}/**")))
    return files / "top" / "secret"


def test_the_first_denial_is_a_record_at_once_and_all_others_one_more(
    enforcer: Enforcer, secret: Path
) -> None:
    done = enforcer.attempt(denied_opens, MANY, str(secret))
    assert done.value == MANY
    assert [one["suppressed"] for one in done.records] == [0]
    again = flushed(enforcer)
    assert [one["suppressed"] for one in again] == [MANY - 2]
    first, last = done.records[0], again[0]
    for member in ("object", "process", "policy", "rule", "verdict", "errno"):
        assert first.get(member) == last.get(member), member
    assert flushed(enforcer) == []


def test_another_object_task_verb_or_generation_is_another_kind(
    enforcer: Enforcer, secret: Path
) -> None:
    def both(path: str) -> int:
        for flags in (os.O_RDONLY, os.O_RDWR):
            with contextlib.suppress(PermissionError):
                os.open(path, flags)
        return denied_opens(2, path, f"{path[:-6]}other")

    kinds = [enforcer.attempt(both, str(secret)) for _ in range(2)]
    enforcer.session.refresh()
    kinds.append(enforcer.attempt(both, str(secret)))
    for done in kinds:
        # Read secret, read and write it, read the other: one record each.
        assert len(done.records) == 3
        assert [one["suppressed"] for one in done.records] == [0, 0, 0]
    again = flushed(enforcer)
    assert sorted(one["suppressed"] for one in again) == [0, 0, 0, 1, 1, 1]
    assert stood_for(again) + 9 == 3 * 6


def test_a_path_too_long_for_a_short_event_is_counted_too(enforcer: Enforcer, files: Path) -> None:
    deep = files / "top"
    for at in range(6):
        deep = deep / (str(at) * 120)
    deep.mkdir(parents=True)
    (deep / "secret").write_text("x")
    enforcer.enforce(policy(rule("deny", "[read]", f"{literal(files)}/**")))
    done = enforcer.attempt(denied_opens, 100, str(deep / "secret"))
    assert [one["suppressed"] for one in done.records] == [0]
    assert done.record["object"]["path"] == str(deep / "secret")
    again = flushed(enforcer)
    assert [one["suppressed"] for one in again] == [98]
    assert again[0]["object"]["inode"] == done.record["object"]["inode"]
    assert again[0]["object"]["path"].endswith("/secret")
    assert "path-cut" in again[0]["flags"]


def test_what_was_counted_waits_for_the_next_collector(enforcer: Enforcer, secret: Path) -> None:
    done = enforcer.attempt(denied_opens, MANY, str(secret))
    assert stood_for(done.records) == 1
    session = enforcer.session
    # Another process's view of the pins: nothing of what was counted is in this process.
    another = repeats.attend(session.engine.libbpf, session.engine.instance)
    try:
        another.flush()
    finally:
        another.close()
    assert stood_for(enforcer.drain()) == MANY - 1


def test_a_full_ring_keeps_the_count(enforcer: Enforcer, files: Path, secret: Path) -> None:
    before = sums(enforcer)
    done = enforcer.attempt(denied_opens, MANY, str(secret))

    def flood(directory: str, names: int) -> int:
        # Each a kind of its own, and none read meanwhile: more than the ring holds.
        for at in range(names):
            with contextlib.suppress(PermissionError):
                os.open(f"{directory}/{at}", os.O_RDONLY | os.O_CREAT)
        return names

    enforcer.enforce(
        policy(
            rule("deny", "[read]", f"{literal(files)}/**"),
            rule("deny", "[create]", f"{literal(files)}/**", id="names"),
        )
    )
    names = enforcer.session.engine.ring_bytes // 1024
    records = done.records + enforcer.attempt(flood, str(files / "top"), names).records
    for _ in range(3):
        records += flushed(enforcer)
    attempts, dropped, denied = (
        after - was for after, was in zip(sums(enforcer), before, strict=True)
    )
    assert denied == MANY + names
    assert stood_for(records) + dropped == denied
    assert attempts == len(records) + dropped


def test_what_finds_no_slot_is_sent(enforcer: Enforcer, secret: Path) -> None:
    names = [str(secret.with_name(f"n{at}")) for at in range(2 * SLOTS)]
    for name in names:
        Path(name).touch()
    done = enforcer.attempt(denied_opens, 2, *names)
    assert done.value == 2 * len(names)
    # At most as many were counted as there are slots.
    assert len(done.records) >= 2 * len(names) - SLOTS
    assert stood_for(done.records + flushed(enforcer)) == 2 * len(names)


def test_audited_operations_are_merged_too_and_allowed_ones_make_no_record(
    enforcer: Enforcer, files: Path
) -> None:
    enforcer.enforce(
        policy(rule("deny", "[read]", literal(files / "top" / "secret")), mode="audit")
    )
    paths = [str(files / "top" / name) for name in ("secret", "other")]
    done = enforcer.attempt(denied_opens, 100, *paths)
    assert done.value == 0
    records = done.records + flushed(enforcer)
    assert {one["verdict"] for one in records} == {"would-deny"}
    assert [one["suppressed"] for one in records] == [0, 98]


def test_sockets_and_operations_on_the_kernel_are_merged(enforcer: Enforcer) -> None:
    enforcer.enforce(
        "version: 1\nname: p\nmode: enforce\nsubject: {exe: /none/such, inherit: true}\n"
        "net:\n  default: allow\n  rules:\n    - {id: it, deny: [create], family: [packet]}\n"
    )

    def sockets() -> int:
        for _ in range(50):
            with contextlib.suppress(PermissionError):
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        return 50

    done = enforcer.attempt(sockets)
    records = done.records + flushed(enforcer)
    assert [one["suppressed"] for one in records] == [0, 48]


def sums(enforcer: Enforcer) -> tuple[int, int, int]:
    """Attempts, dropped and denied of all processors."""
    counters = enforcer.session.counters()
    return (
        sum(one.attempts for one in counters),
        sum(one.dropped for one in counters),
        sum(one.denied for one in counters),
    )


def test_a_policy_that_is_past_its_rate_is_counted_by_name(files: Path) -> None:
    with loaded("limits", Merging(merge=False, rate=1)) as enforcer:
        enforcer.enforce(
            policy(rule("deny", "[read]", literal(files / "top" / "secret")), name="noisy"),
            policy(rule("deny", "[read]", literal(files / "top" / "other")), name="quiet"),
        )
        secret, other = (str(files / "top" / name) for name in ("secret", "other"))
        done = enforcer.attempt(denied_opens, 500, secret)
        calm = enforcer.attempt(denied_opens, 1, other)
        assert [one["policy"]["name"] for one in calm.records] == ["quiet"], "a bucket of its own"
        assert enforcer.session.repeats is not None
        limited = enforcer.session.repeats.limited()
        assert len(done.records) + limited[(0, True)] == 500
        assert limited.keys() == {(0, True)}
        enforcer.session.settle()
        told = [json.loads(line) for line in enforcer._sink.lines]
        lost = [one["lost"] for one in told if one["event"] == "audit.lost"]
        assert [(one["cause"], one["count"], one["detail"]) for one in lost] == [
            ("rate-limited", limited[(0, True)], "policy noisy: denials")
        ]
        assert enforcer.session.repeats.limited() == {}, "told once"
