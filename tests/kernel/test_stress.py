# SPDX-License-Identifier: Apache-2.0
"""Too many processes, denials and too little memory: verdicts stay right, counts add up, and
who is under no policy goes on working.

Small by default; GUARD_STRESS=1 (make stress) is the real thing. Renames beside opens are in
test_races.py, full rings in test_events.py, deep paths in test_file_open.py.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.policy.model import Effect
from guard.wire.layout import PathVerb
from tests.kernel.lab import Lab, Openers, Tally, compile_program, host_plan, loaded
from tests.plan.make import policy, rule

pytestmark = [pytest.mark.kernel, pytest.mark.long]

FULL = os.environ.get("GUARD_STRESS") == "1"
PROCESSES = 10_000 if FULL else 400
BOMB, BOMB_LIMIT = (10_000, 1_000) if FULL else (400, 60)
DENIALS = 100_000 if FULL else 6_000
RING = 1 << 20
"""Bytes of each ring: less than what a flood leaves, so that it must be read or overflows."""

GROUPS = Path("/sys/fs/cgroup")
MEMORY_MB = 24
OPENS_UNDER_PRESSURE = 2_000 if FULL else 300


@dataclass
class Place:
    """An instance, its denied file and the neighbour, and the programs."""

    lab: Lab
    denied: Path
    allowed: Path
    crowd: Path
    openers: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    top = tmp_path_factory.mktemp("stress")
    for name in ("denied", "allowed"):
        (top / name).write_text("x")
    programs = [compile_program(name, top) for name in ("crowd", "openers")]
    with loaded("stress", ring_bytes=RING) as lab:
        deny = rule(Effect.DENY, [PathVerb.READ], str(top / "denied"))
        lab.put(host_plan([policy(deny, default=Effect.ALLOW, exe=["/nowhere"])]))
        yield Place(lab, top / "denied", top / "allowed", *programs)


@contextmanager
def control_group(name: str, **limits: int) -> Iterator[Path]:
    """A control group with these limits, KIND_max; gone at the end, with whom it holds."""
    kinds = {limit.partition("_")[0] for limit in limits}
    (GROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{kind}" for kind in kinds))
    group = GROUPS / name
    group.mkdir()
    try:
        for limit, value in limits.items():
            (group / limit.replace("_", ".")).write_text(str(value))
        yield group
    finally:
        left = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
        for pid in left:
            (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


class Crowd:
    """A running crowd (lab/crowd.c), under the policy and in a control group if asked."""

    def __init__(self, place: Place, what: str, number: int, group: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [place.crowd, what, str(number), place.denied, place.allowed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin and self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"
        if group is not None:
            (group / "cgroup.procs").write_text(str(self._process.pid))
        place.lab.label(self._process.pid, 1)
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        """Whether it has not come to its end."""
        return self._process.poll() is None

    def counts(self) -> tuple[Tally, Tally, int]:
        """When it ended: of the denied file, of its neighbour, and forks that failed."""
        output, _ = self._process.communicate()
        assert self._process.returncode == 0
        found = [int(word) for word in output.split()]
        one, two = (Tally(a, b, c, 0, d) for a, b, c, d in (found[:4], found[4:8]))
        return one, two, found[8]


def sums(lab: Lab) -> tuple[int, int, int]:
    """Attempts, dropped and denied of all processors."""
    counters = lab.counters()
    return (
        sum(one.attempts for one in counters),
        sum(one.dropped for one in counters),
        sum(one.denied for one in counters),
    )


def bystander(place: Place) -> None:
    """What somebody without a policy does: it must just work, denied file included."""
    done = subprocess.run(
        ["cat", place.denied, place.allowed], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "xx"), done


def watch(place: Place, crowd: Crowd) -> int:
    """Read the ring and be a bystander until the crowd has ended; how many events came."""
    events = 0
    while crowd.running:
        events += len(place.lab.events())
        bystander(place)
    return events + len(place.lab.events())


@pytest.fixture
def settled(place: Place) -> Place:
    """With nothing of earlier tests in the rings."""
    place.lab.events()
    return place


def check(place: Place, what: str, number: int, group: Path | None = None) -> tuple[Tally, int]:
    """Run a crowd to its end: what was denied is all that was tried and is counted as often;
    every record was read or counted as lost. Returns what became of the denied file, and
    how many forks failed.
    """
    attempts, dropped, refused = sums(place.lab)
    crowd = Crowd(place, what, number, group)
    events = watch(place, crowd)
    denied, allowed, failed = crowd.counts()
    after = sums(place.lab)
    print(f"{what}: {denied} {allowed}, {failed} forks failed, {events} events read")
    assert denied.denied == denied.attempts, "a leak"
    assert allowed.opened == allowed.attempts > 0, "a false denial"
    assert after[2] - refused == denied.denied
    assert after[0] - attempts == denied.denied
    assert events + after[1] - dropped == denied.denied
    return denied, failed


def test_so_many_processes_at_once_are_each_denied(settled: Place) -> None:
    denied, failed = check(settled, "together", PROCESSES)
    assert denied.attempts == PROCESSES - failed
    assert failed == 0, "fewer lived at once than this test says"


def test_a_fork_bomb_is_denied_all_along(settled: Place) -> None:
    with control_group("guard-bomb", pids_max=BOMB_LIMIT) as group:
        denied, failed = check(settled, "bomb", BOMB, group)
    assert denied.attempts >= BOMB
    assert failed > 0, "it never came to its limit"


def test_so_many_denials_as_fast_as_can_be_are_all_counted(settled: Place) -> None:
    denied, _ = check(settled, "flood", DENIALS)
    assert denied.attempts == DENIALS


def test_without_memory_nothing_is_let_through(settled: Place) -> None:
    """Openers share a control group with what fills it: some opens fail, none leaks."""
    place = settled
    pressed = f"{place.denied}:{place.allowed}"
    storm = f"storm:-:{OPENS_UNDER_PRESSURE}:{place.denied}"
    with control_group("guard-memory", memory_max=MEMORY_MB << 20) as group:
        with Openers(place.openers, f"watch:-:{pressed}", storm) as openers:
            (group / "cgroup.procs").write_text(str(openers.pid))
            hog = subprocess.Popen(
                [place.crowd, "hog", str(MEMORY_MB * 2)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            (group / "cgroup.procs").write_text(str(hog.pid))
            assert hog.stdin
            hog.stdin.write(b"\n")
            hog.stdin.flush()
            place.lab.label(openers.pid, 1)
            openers.go()
            bystander(place)
            denied, allowed, stormed = openers.stop()
            hog.communicate(b"!")
        stat = (group / "memory.events").read_text().split()
    killed = int(stat[stat.index("oom_kill") + 1])
    print(f"memory: {denied} {allowed} {stormed}, {killed} killed for memory")
    assert killed > 0, "there was memory enough"
    for tally in (denied, stormed):
        assert tally.opened == 0, "a leak"
        assert tally.denied + tally.other == tally.attempts
    assert denied.denied > 0 and stormed.denied > 0
    assert allowed.denied == 0, "a false denial"
    place.lab.events()
