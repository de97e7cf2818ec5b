# SPDX-License-Identifier: Apache-2.0
"""What the host knows of a process: right after exec, reuse and death; bounded; never raising."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.audit import identity as module
from guard.audit.cgroups import Cgroups
from guard.audit.identity import ProcessCache
from guard.audit.names import Names
from guard.audit.objects import ANCESTORS, Target
from guard.audit.render_json import NO_IDENTITY, JsonRenderer
from tests.audit.records import recorded
from tests.audit.samples import ORIGIN, wire_event
from tests.audit.test_schema import VALIDATOR

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
ID = "0123456789abcdef" * 4


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A made-up /proc, /sys/fs/cgroup and /etc/passwd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.time = Time()
        for name in ("proc", "cgroup/system.slice/nginx.service"):
            (root / name).mkdir(parents=True)
        (root / "passwd").write_text("root:x:0:0::/:\nweb:x:33:33::/:\n")
        self.group = (root / "cgroup/system.slice/nginx.service").stat().st_ino

    def process(
        self, pid: int, parent: int, ticks: int, comm: bytes = b"sh", exe: bytes | None = b"/bin/sh"
    ) -> None:
        """A process as proc(5) shows it."""
        place = os.fsencode(self.root / f"proc/{pid}")
        os.makedirs(place, exist_ok=True)
        fields = b" ".join(b"%d" % number for number in [parent, *[0] * 17, ticks, 0])
        with open(place + b"/stat", "wb") as file:
            file.write(b"%d (%b) S %b\n" % (pid, comm, fields))
        if os.path.lexists(place + b"/exe"):
            os.unlink(place + b"/exe")
        if exe is not None:
            os.symlink(exe, place + b"/exe")

    def cache(self) -> ProcessCache:
        users, groups = (Names(self.root / "passwd", clock=self.time) for _ in range(2))
        groups_of = Cgroups(self.root / "cgroup", self.root / "proc", self.time)
        return ProcessCache(users, groups, groups_of, self.root / "proc", self.time)

    def look(self, cache: ProcessCache, **values: int) -> dict[str, Any]:
        given = {
            "pid": 100,
            "start_ns": 50 * TICK + 7,
            "parent": 9,
            "uid": 33,
            "gid": 0,
            "cgroup": self.group,
            "exe_device": 1,
            "exe_inode": 2,
            **values,
        }
        return dict(json.loads(b"{" + cache.fragment(**given) + b"}"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_names_unit_and_ancestors(host: Host) -> None:
    host.process(9, 1, 40, b"bash) (x", b"/usr/bin/bash")
    host.process(1, 0, 3, b"systemd", b"/usr/lib/systemd/systemd")
    found = host.look(host.cache())
    assert found == {
        "user": "web",
        "group": "root",
        "cgroup_path": "/system.slice/nginx.service",
        "unit": "nginx.service",
        "user_unit": None,
        "container": None,
        "ancestors": [
            {
                "pid": 9,
                "start_ns": str(40 * TICK),
                "exe": "/usr/bin/bash",
                "comm": "bash) (x",
            },
            {
                "pid": 1,
                "start_ns": str(3 * TICK),
                "exe": "/usr/lib/systemd/systemd",
                "comm": "systemd",
            },
        ],
    }


def test_a_parents_pid_that_was_used_again_is_not_its_parent(host: Host) -> None:
    host.process(9, 1, 51)
    assert host.look(host.cache())["ancestors"] == []


def test_a_grandparents_pid_that_was_used_again_ends_the_chain(host: Host) -> None:
    host.process(9, 8, 40)
    host.process(8, 1, 41)
    assert [one["pid"] for one in host.look(host.cache())["ancestors"]] == [9]


def test_a_parent_that_began_within_the_same_tick_is_one(host: Host) -> None:
    host.process(9, 0, 50)
    assert [one["pid"] for one in host.look(host.cache())["ancestors"]] == [9]


def test_a_kernel_thread_has_no_executable(host: Host) -> None:
    host.process(9, 0, 40, b"kthreadd", None)
    assert host.look(host.cache())["ancestors"][0]["exe"] is None


def test_an_ancestors_long_path_loses_its_beginning(host: Host) -> None:
    host.process(9, 0, 40, exe=b"/" + b"/".join([b"x" * 100] * 20))
    (found,) = host.look(host.cache())["ancestors"]
    assert found["exe"] == "/".join(["x" * 100] * 5)


def test_a_chain_that_goes_in_a_circle_has_an_end(host: Host) -> None:
    host.process(9, 9, 40)
    assert len(host.look(host.cache())["ancestors"]) == ANCESTORS


def test_a_process_with_nothing_left_has_what_the_event_tells(host: Host) -> None:
    found = host.look(host.cache(), parent=77, cgroup=2**60, uid=4711)
    assert found["ancestors"] == []
    assert (found["user"], found["cgroup_path"], found["unit"]) == (None, None, None)


def test_an_exec_is_looked_up_anew(host: Host) -> None:
    cache = host.cache()
    host.process(9, 0, 40, exe=b"/bin/old")
    assert host.look(cache)["ancestors"][0]["exe"] == "/bin/old"
    host.process(9, 0, 40, exe=b"/bin/new")
    host.time.now += 2
    assert host.look(cache)["ancestors"][0]["exe"] == "/bin/old"  # the same process
    assert host.look(cache, exe_inode=3)["ancestors"][0]["exe"] == "/bin/new"


@pytest.mark.parametrize("name", ["pid", "start_ns", "exe_device", "exe_inode"])
def test_another_process_never_gets_the_first_ones_piece(host: Host, name: str) -> None:
    cache = host.cache()
    host.process(9, 0, 40)
    host.look(cache)
    host.process(9, 0, 41)
    (found,) = host.look(cache, **{name: 60 * TICK})["ancestors"]
    assert found["start_ns"] == str(41 * TICK)
    assert host.look(cache, parent=8)["ancestors"] == []


def test_new_ids_and_another_cgroup_are_looked_up(host: Host) -> None:
    cache = host.cache()
    assert host.look(cache)["user"] == "web"
    assert host.look(cache, uid=0)["user"] == "root"
    above = (host.root / "cgroup/system.slice").stat().st_ino
    assert host.look(cache, cgroup=above)["unit"] == "system.slice"


def test_a_container_is_told(host: Host) -> None:
    group = host.root / f"cgroup/docker/{ID}"
    group.mkdir(parents=True)
    assert host.look(host.cache(), cgroup=group.stat().st_ino)["container"] == {
        "id": ID,
        "runtime": "docker",
        "pod": None,
        "delegated": False,
    }


def test_a_name_that_becomes_known_changes_the_version_and_the_piece(host: Host) -> None:
    cache = host.cache()
    assert host.look(cache, uid=7)["user"] is None
    version = cache.version
    (host.root / "passwd").write_text("late:x:7:7::/:\n")
    host.time.now += 2
    host.look(cache, uid=8)
    assert cache.version > version
    assert host.look(cache, uid=7)["user"] == "late"


def test_a_storm_of_processes_costs_a_bounded_number_of_lookups(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKUPS", 3)
    host.process(9, 0, 40)
    cache = host.cache()
    for pid in range(200, 203):
        assert host.look(cache, pid=pid)["ancestors"] != []
    missed = host.look(cache, pid=300)
    assert (missed["ancestors"], missed["user"]) == (None, "web")
    assert missed["unit"] == "nginx.service"  # known already
    # Later it is told in full: to whoever keeps pieces too, by the version.
    version = cache.version
    cache.settle()
    assert cache.version == version + 1
    host.time.now += 2
    assert len(host.look(cache, pid=300)["ancestors"]) == 1
    cache.settle()
    assert cache.version == version + 1


def test_memory_is_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZE", 50)
    monkeypatch.setattr(module, "LOOKUPS", 10**9)
    host.process(9, 0, 40)
    cache = host.cache()
    for pid in range(1000):
        host.look(cache, pid=pid)
    assert len(cache._pieces) <= 100


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=40),
    st.binary(min_size=1, max_size=40).filter(lambda one: b"\0" not in one),
    st.binary(max_size=30),
)
def test_hostile_names_make_valid_json_and_lose_no_byte(
    host: Host, comm: bytes, exe: bytes, stat: bytes
) -> None:
    host.process(9, 8, 40, comm, exe)
    place = host.root / "proc/8"
    place.mkdir(exist_ok=True)
    (place / "stat").write_bytes(stat)
    piece = host.cache().fragment(100, 50 * TICK, 9, 33, 0, host.group, 1, 2)
    assert piece.isascii() and b"\n" not in piece
    (found, *_) = json.loads(b"{" + piece + b"}")["ancestors"]
    for name, raw in (("comm", comm), ("exe", exe)):
        exact = found.get(name + "_hex")
        assert (bytes.fromhex(exact) if exact else found[name].encode()) == raw


def test_a_target_is_told_unless_its_pid_is_anothers_by_now(host: Host) -> None:
    host.process(77, 1, 40, exe=b"/usr/sbin/sshd")
    cache = host.cache()
    assert cache.target(77, 50 * TICK) == Target(77, 40 * TICK, b"/usr/sbin/sshd")
    assert cache.target(77, 39 * TICK) == Target(77, None, None)
    assert cache.target(78, 50 * TICK) == Target(78, None, None)


@pytest.mark.parametrize("numbers", [(0,) * 8, (2**32 - 1, 2**64 - 1) * 4])
def test_whatever_the_event_says_there_is_a_piece(host: Host, numbers: tuple[int, ...]) -> None:
    json.loads(b"{" + host.cache().fragment(*numbers) + b"}")


def test_this_very_process_has_its_real_parent() -> None:
    nobody = Names(Path("/etc/passwd"))
    cache = ProcessCache(nobody, Names(Path("/etc/group")), None)
    own = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start = (int(own[19]) + 1) * TICK - 1
    piece = cache.fragment(os.getpid(), start, os.getppid(), os.getuid(), os.getgid(), 1, 1, 1)
    found = json.loads(b"{" + piece + b"}")
    assert found["ancestors"][0]["pid"] == os.getppid()
    assert found["ancestors"][0]["exe"] == os.readlink(f"/proc/{os.getppid()}/exe")
    if os.getuid() == 0:
        assert found["user"] == "root"


def test_pieces_go_into_records_as_the_schema_says(host: Host) -> None:
    host.process(1, 0, 3)
    renderer = JsonRenderer(ORIGIN, host.cache())
    record = json.loads(renderer.line(recorded(wire_event(cgroup=host.group))))
    VALIDATOR.validate(record)
    assert record["process"]["unit"] == "nginx.service"
    assert [one["pid"] for one in record["process"]["ancestors"]] == [1]


def test_a_renderer_lets_go_of_pieces_that_say_more_now(host: Host) -> None:
    cache = host.cache()
    renderer = JsonRenderer(ORIGIN, cache)
    event = recorded(wire_event(uid=7))
    assert json.loads(renderer.line(event))["process"]["user"] is None
    (host.root / "passwd").write_text("late:x:7:7::/:\n")
    host.time.now += 2
    host.look(cache, uid=8)
    assert json.loads(renderer.line(event))["process"]["user"] == "late"


def test_what_nobody_looks_up_has_the_same_members(host: Host) -> None:
    assert json.loads(b"{" + NO_IDENTITY + b"}").keys() == host.look(host.cache()).keys()
