# SPDX-License-Identifier: Apache-2.0
"""Control groups' ids become paths that are proved by the id."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit import cgroups as module
from guard.audit.cgroups import Cgroups, cgroup2_root


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "cgroup/system.slice/nginx.service").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    return tmp_path


def in_group(tree: Path, pid: int, text: str) -> None:
    (tree / f"proc/{pid}").mkdir(exist_ok=True)
    (tree / f"proc/{pid}/cgroup").write_text(text)


def inode(tree: Path, path: str) -> int:
    return (tree / f"cgroup{path}").stat().st_ino


def test_a_living_process_tells_its_group(tree: Path) -> None:
    in_group(tree, 7, "12:cpu:/old\n0::/system.slice/nginx.service\n")
    groups = Cgroups(tree / "cgroup", tree / "proc", Time())
    found = groups.path(inode(tree, "/system.slice/nginx.service"), 7)
    assert found == b"/system.slice/nginx.service"


def test_a_process_that_has_moved_on_does_not_mislead(tree: Path) -> None:
    in_group(tree, 7, "0::/system.slice\n")
    groups = Cgroups(tree / "cgroup", tree / "proc", Time())
    found = groups.path(inode(tree, "/system.slice/nginx.service"), 7)
    assert found == b"/system.slice/nginx.service"


def test_the_group_of_a_process_that_is_gone_is_searched(tree: Path) -> None:
    groups = Cgroups(tree / "cgroup", tree / "proc", Time())
    assert groups.path(inode(tree, "/system.slice/nginx.service"), 7) == (
        b"/system.slice/nginx.service"
    )
    assert groups.path(inode(tree, "/"), 7) == b"/"


def test_a_group_that_is_gone_is_searched_once(tree: Path) -> None:
    time = Time()
    groups = Cgroups(tree / "cgroup", tree / "proc", time)
    assert groups.path(2**60, 7) is None
    assert groups.is_gone(2**60)
    time.now += 1e6
    (tree / "cgroup/new.slice").mkdir()
    assert groups.path(2**60, 7) is None


def test_searches_rest_in_between(tree: Path) -> None:
    time = Time()
    groups = Cgroups(tree / "cgroup", tree / "proc", time)
    groups.path(2**60, 7)
    (tree / "cgroup/new.slice").mkdir()
    new = inode(tree, "/new.slice")
    assert groups.path(new, 7) is None
    assert not groups.is_gone(new)
    time.now += 10
    assert groups.path(new, 7) == b"/new.slice"


def test_a_search_has_an_end(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCH_LIMIT", 10)
    last = tree / "cgroup"
    for number in range(40):
        last = last / f"g{number}"
        last.mkdir()
    groups = Cgroups(tree / "cgroup", tree / "proc", Time())
    assert groups.path(last.stat().st_ino, 7) is None


@pytest.mark.parametrize(
    "text", ["", "0::\n", "0::/../..\n", "0::/gone\n", "garbage", "0::/\x00\n"]
)
def test_what_proc_says_is_not_believed_without_proof(tree: Path, text: str) -> None:
    in_group(tree, 7, text)
    groups = Cgroups(tree / "cgroup", tree / "proc", Time())
    assert groups.path(2**60, 7) is None


def test_a_host_without_the_hierarchy_has_no_paths(tmp_path: Path) -> None:
    assert Cgroups(tmp_path / "none", tmp_path, Time()).path(1, 7) is None


def test_the_hierarchy_is_found_where_it_is_mounted() -> None:
    line = "30 24 0:26 {root} {at} rw,nosuid shared:4 - cgroup2 cgroup2 rw"
    whole = line.format(root="/", at="/sys/fs/cgroup/unified")
    assert cgroup2_root(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{whole}\n") == (
        Path("/sys/fs/cgroup/unified")
    )
    assert cgroup2_root(line.format(root="/docker/x", at="/sys/fs/cgroup")) is None
    assert cgroup2_root("") is None
