# SPDX-License-Identifier: Apache-2.0
"""A filter's life: replaced under traffic, left alone, taken over, its interfaces come and go."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from guard.daemon import confirm, ingress
from guard.daemon.ingress import Filter
from guard.errors import GuardError
from guard.kernel import ingress_control
from guard.kernel.libbpf import Libbpf
from guard.kernel.netlink import interfaces
from guard.plan.set_file import columns
from guard.policy.ingress import Prefix
from tests.ingress_front.conftest import Running
from tests.ingress_front.lab import HOST_IF, PEER_4, PEER_IF
from tests.ingress_front.policies import state
from tests.ingress_front.streams import counted, listener, stream

pytestmark = pytest.mark.netns

PASSES = "{id: pass, allow: udp, port: 9000}"
DROPS = "{id: drop, deny: udp, port: 9001}"
ROUNDS = 1000


def test_a_thousand_policies_replace_one_another_without_a_leak_or_a_false_drop(
    host: Running,
) -> None:
    host.put(state(PASSES, DROPS))
    others = [
        state(PASSES, DROPS, *(f"{{allow: tcp, port: {n}}}" for n in range(1, 9))),
        state(DROPS, PASSES, "{id: x, deny: all, from: 198.51.100.0/24}", default="allow"),
        state("{id: pass, allow: udp, port: 9000-9001}", "{id: drop, deny: all, port: 9001}"),
    ]
    passing, dropping = listener(host, 9000), listener(host, 9001)
    before = host.counts()

    def swap(found: Filter) -> int:
        first = found.state.generation
        for number in range(ROUNDS):
            found.replace(others[number % len(others)])
        return found.state.generation - first

    with stream(host):
        assert host.with_filter(swap) == ROUNDS
    counts = {name: count - before.get(name, 0) for name, count in host.counts().items()}
    assert counted(dropping) == 0
    received = counted(passing)
    # Every packet was counted by its rule, over all generations, and reached the program.
    assert received == counts["pass"]
    assert abs(counts["drop"] - counts["pass"]) <= 1
    assert counts["no_tables"] == 0
    assert received > 1000


def test_counters_of_a_rule_outlive_policies_and_larger_programs(host: Running) -> None:
    host.put(state(PASSES, "{id: web, allow: tcp, port: 80}"))
    before = host.counts()["web"]
    assert host.connects(80)

    def grow(found: Filter) -> tuple[int, int]:
        old = found.kernel.constants.bits
        wanted = state(
            "{id: web, allow: tcp, port: 80}",
            '{deny: all, from: "@many"}',
            more="sets: {many: []}",
        )
        many = columns([Prefix(4, 0x20000000 + n * 8, 32) for n in range(200_000)])
        found.replace(replace(wanted, sets={"many": many}))
        return old, found.kernel.constants.bits

    old, new = host.with_filter(grow)
    assert new > old
    assert host.connects(80)
    assert not host.connects(81)
    assert host.counts()["web"] >= before + 8
    host.put(state("{id: web, allow: tcp, port: 80}"))
    assert not host.connects(81)


def test_a_policy_that_cannot_be_put_in_force_leaves_the_old_one(host: Running) -> None:
    host.put(state("{id: web, allow: tcp, port: 80}"))

    def fail(wanted: object) -> str:
        def inside(found: Filter) -> str:
            with pytest.raises(GuardError) as caught:
                found.replace(wanted)  # type: ignore[arg-type]
            return str(caught.value)

        return host.with_filter(inside)

    assert fail(state("{allow: tcp, port: 81}", on=f"{HOST_IF}, gi7")).startswith(
        "no interface 'gi7' on this host"
    )
    assert fail(state("{allow: tcp, port: 81}", on=f"{HOST_IF}, lo")).startswith(
        "lo does not take the filter in native mode"
    )
    assert fail(state("{redirect: tcp, to-interface: gone0}")).startswith("no interface 'gone0'")
    too_many = [f"{{id: l{n}, allow: udp, port: {n}, limit: {{rate: 1/s}}}}" for n in range(1, 70)]
    assert fail(state(*too_many)).startswith("an ingress section has room for 64 limit rules")
    assert host.connects(80)
    assert not host.connects(81)
    assert host.lab.host.call(interfaces)["lo"].programs == ()


def test_nobody_attends_and_the_filter_stays(host: Running) -> None:
    host.put(state("{id: web, allow: tcp, port: 80}"))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        host.lab.host.enter()
        found = ingress.adopt(Libbpf(), ingress.require_running())
        found.apply(found.state)
        os.write(writer, b"!")
        signal.pause()
    os.read(reader, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    assert host.connects(80)
    assert not host.connects(81)
    # And another takes it over as it is.
    assert host.with_filter(lambda found: found.missing()) == []


@pytest.fixture
def second(host: Running) -> Iterator[Callable[[], None]]:
    """Makes a second interface on the host, gi1."""
    address = ("10.79.0.1", "10.79.0.2")

    def make() -> None:
        host.lab.wire("gi1", "gp1", *address)

    yield make
    host.put(state("{id: web, allow: tcp, port: 80}"))
    host.lab.host.run("ip", "link", "del", "gi1", check=False)


def test_an_interface_that_goes_and_comes_back_is_filtered_again(
    host: Running, second: Callable[[], None]
) -> None:
    second()
    host.put(state("{id: web, allow: tcp, port: 80}", on=f"{HOST_IF}, gi1"))
    assert not host.connects(81, "10.79.0.1")
    host.lab.host.run("ip", "link", "del", "gi1")
    assert host.with_filter(lambda found: found.follow()) == ["interface gi1 is gone"]
    assert host.with_filter(ingress.degraded) == ["interface gi1 is not filtered"]
    assert not host.connects(81)
    second()
    assert host.with_filter(lambda found: found.follow()) == ["interface gi1 is back and filtered"]
    assert host.with_filter(ingress.degraded) == []
    assert host.connects(80, "10.79.0.1")
    assert not host.connects(81, "10.79.0.1")


def test_an_interface_that_comes_back_but_takes_no_filter_is_told(
    host: Running, second: Callable[[], None]
) -> None:
    second()
    host.put(state("{id: web, allow: tcp, port: 80}", on=f"{HOST_IF}, gi1"))
    host.lab.host.run("ip", "link", "del", "gi1")
    host.with_filter(lambda found: found.follow())
    host.lab.mtu = 9000
    second()
    host.lab.mtu = 1500
    (told,) = host.with_filter(lambda found: found.follow())
    assert told.startswith("interface gi1 is there and NOT filtered: gi1 does not take the filter")
    assert host.with_filter(ingress.degraded) == ["interface gi1 is not filtered"]
    assert not host.connects(81)


def test_another_program_runs_after_the_filter(host: Running) -> None:
    host.put(state("{id: web, allow: tcp, port: 80}"))

    def chain(on: bool) -> Callable[[Filter], None]:
        def inside(found: Filter) -> None:
            # A part of the filter stands for another program: it drops what is no rejection.
            program = found.kernel.programs["guard_ingress_reply"] if on else None
            found.kernel.set_next(program)
            found.apply(replace(found.state, next_program="other" if on else None))

        return inside

    host.with_filter(chain(True))
    assert not host.connects(80)
    host.with_filter(chain(False))
    assert host.connects(80)


def test_a_policy_that_is_not_confirmed_gives_way_to_the_one_before(host: Running) -> None:
    host.put(state("{id: web, allow: tcp, port: 80}"))

    deadline = confirm.now() + 4

    def probation(found: Filter) -> None:
        confirm.begin(found.libbpf, found.kernel.instance, found.state, deadline)
        found.replace(replace(state("{id: web, allow: tcp, port: 81}"), deadline=deadline))

    host.with_filter(probation)
    # On a slow machine the time may be up by now.
    assert host.connects(81) or confirm.now() >= deadline
    told = host.guard("run", "--confirm", "5s", "/none")
    assert told.returncode == 3
    patience = time.monotonic() + 60
    while not host.connects(80):
        assert time.monotonic() < patience
    assert not host.connects(81)
    done = host.guard("confirm")
    assert done.returncode == 3
    assert done.stderr.startswith("guard: no ingress policy waits for confirmation\n")


def test_a_confirmed_policy_stays(host: Running) -> None:
    host.put(state("{id: web, allow: tcp, port: 80}"))

    def probation(found: Filter) -> None:
        deadline = confirm.now() + 600
        confirm.begin(found.libbpf, found.kernel.instance, found.state, deadline)
        found.replace(replace(state("{id: web, allow: tcp, port: 81}"), deadline=deadline))

    host.with_filter(probation)
    assert host.guard("confirm").stdout == "confirmed: the ingress policy stays in force\n"

    def waits(found: Filter) -> tuple[object, float, bool]:
        pending = confirm.pending(found.libbpf, found.kernel.instance)
        return pending, found.state.deadline, ingress_control.is_on_trial(found.kernel)

    assert host.with_filter(waits) == (None, 0.0, False)
    assert host.connects(81)


def test_the_lab_has_the_interfaces_that_the_tests_name(host: Running) -> None:
    assert PEER_IF in host.lab.peer.run("ip", "link").stdout
    assert PEER_4 in host.lab.peer.run("ip", "addr").stdout
