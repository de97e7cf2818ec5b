# SPDX-License-Identifier: Apache-2.0
"""Renames, forks and preemption beside an open change no verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit.decode import Event
from guard.policy.model import Effect, Policy
from guard.wire.layout import PathVerb, Reason
from tests.kernel.lab import Lab, Openers, Tally, compile_program, host_plan, loaded
from tests.plan.make import policy, rule

pytestmark = pytest.mark.kernel

READ = [PathVerb.READ]
SECONDS = 4.0
"""How long racers are let run: a bound on work of which no verdict depends."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with loaded("races") as lab:
        yield lab


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program("openers", tmp_path_factory.mktemp("program"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("denied", "allowed", "spun", "deep"):
        (tmp_path / name).write_text("x")
    return tmp_path


def about(place: Path, default: Effect, **paths: list[str]) -> Policy:
    rules = [
        rule(Effect[effect.upper()], READ, [f"{place}/{one}" for one in globs], line=line)
        for line, (effect, globs) in enumerate(paths.items(), 1)
    ]
    return policy(*rules, default=default, exe=["/nowhere"])


def run_for(lab: Lab, openers: Openers, seconds: float) -> tuple[list[Tally], list[Event]]:
    """Let them run and read what they leave in the ring meanwhile."""
    lab.label(openers.pid, 1)
    openers.go()
    events: list[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        events += lab.events()
    tallies = openers.stop()
    return tallies, events + lab.events()


def test_renames_elsewhere_neither_deny_nor_let_through(
    lab: Lab, program: Path, place: Path
) -> None:
    lab.put(host_plan([about(place, Effect.ALLOW, deny=["denied"])]))
    watch = f"{place}/denied:{place}/allowed"
    roles = (f"watch:0:{watch}", f"watch:1:{watch}", f"rename:-:{place}/spun:{place}/spun2")
    with Openers(program, *roles) as openers:
        (first, second, third, fourth, renames), events = run_for(lab, openers, SECONDS)
    print(f"{renames.opened} renames, {[one.attempts for one in (first, second, third, fourth)]}")
    assert renames.opened == renames.attempts > 100
    for denied, allowed in ((first, second), (third, fourth)):
        assert denied.denied == denied.attempts > 0
        assert allowed.opened == allowed.attempts > 0, {Reason(one.reason) for one in events}


# Depths and names of the two differ, so that a walk which sees half a rename finds a third path.
NAMES = ("one/two/three/short", "other/another-name-that-is-long-enough-to-be-kept-elsewhere")


def move(place: Path) -> tuple[str, str]:
    paths = tuple(place / name for name in NAMES)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    paths[0].write_text("x")
    return str(paths[0]), str(paths[1])


def test_a_file_moved_between_two_denied_names_is_never_opened(
    lab: Lab, program: Path, place: Path
) -> None:
    first, second = move(place)
    lab.put(host_plan([about(place, Effect.ALLOW, deny=list(NAMES))]))
    watch = f"watch:0:{first}:{second}", f"watch:1:{second}:{first}"
    with Openers(program, *watch, f"rename:-:{first}:{second}") as openers:
        (*watched, renames), _ = run_for(lab, openers, SECONDS)
    print(f"{renames.opened} renames, {watched}")
    assert renames.opened == renames.attempts > 100
    assert sum(one.denied for one in watched) > 0
    for one in watched:
        assert one.opened == one.other == 0, "a leak"


def test_a_file_moved_between_two_allowed_names_is_never_denied(
    lab: Lab, program: Path, place: Path
) -> None:
    first, second = move(place)
    lab.put(host_plan([about(place, Effect.DENY, allow=list(NAMES))]))
    watch = f"watch:0:{first}:{second}", f"watch:1:{second}:{first}"
    with Openers(program, *watch, f"rename:-:{first}:{second}") as openers:
        (*watched, renames), events = run_for(lab, openers, SECONDS)
    print(f"{renames.opened} renames, {watched}")
    assert renames.opened == renames.attempts > 100
    assert sum(one.opened for one in watched) > 0
    for one in watched:
        said = {(Reason(each.reason).name, each.path) for each in events}
        assert one.denied == one.other == 0, f"a false denial: {said}"


def test_a_file_moved_between_denied_and_allowed_gets_either_verdict_and_no_other(
    lab: Lab, program: Path, place: Path
) -> None:
    first, second = move(place)
    lab.put(host_plan([about(place, Effect.ALLOW, deny=[NAMES[0]])]))
    watch = f"watch:0:{first}:{second}", f"watch:1:{second}:{first}"
    with Openers(program, *watch, f"rename:-:{first}:{second}") as openers:
        (*watched, renames), events = run_for(lab, openers, SECONDS)
    print(f"{renames.opened} renames, {watched}")
    assert sum(one.denied for one in watched) > 0
    assert sum(one.opened for one in watched) > 0
    for one in watched:
        assert one.other == 0
    assert {Reason(one.reason) for one in events} == {Reason.POLICY}


def test_two_thousand_children_are_all_denied(lab: Lab, program: Path, place: Path) -> None:
    lab.put(host_plan([about(place, Effect.ALLOW, deny=["denied"])]))
    roles = [f"storm:-:1000:{place}/denied"] * 2
    with Openers(program, *roles, f"storm:-:50:{place}/allowed") as openers:
        lab.label(openers.pid, 1)
        openers.go()
        one, two, twin = openers.stop()
    lab.events()
    for tally in (one, two):
        assert (tally.attempts, tally.denied) == (1000, 1000), tally
    assert (twin.attempts, twin.opened) == (50, 50), twin


def test_threads_that_preempt_each_other_on_one_processor_are_all_denied(
    lab: Lab, program: Path, place: Path
) -> None:
    deep = place.joinpath(*["directory"] * 30)
    deep.mkdir(parents=True)
    (deep / "denied").write_text("x")
    (deep / "allowed").write_text("x")
    lab.put(host_plan([about(place, Effect.ALLOW, deny=["denied", "**/directory/denied"])]))
    roles = (
        f"threads:0:6:{place}/denied",
        f"threads:0:6:{deep}/denied",
        f"threads:0:2:{deep}/allowed",
        f"threads:0:2:{place}/allowed",
    )
    with Openers(program, *roles) as openers:
        (*denied, first, second), _ = run_for(lab, openers, SECONDS)
    print(f"{denied} {first} {second}")
    for tally in denied:
        assert tally.denied == tally.attempts > 0, "a leak"
    for tally in (first, second):
        assert tally.opened == tally.attempts > 0, "a false denial"
