# SPDX-License-Identifier: Apache-2.0
"""Pins appear and go as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import pins

MOUNTED = "30 1 0:27 / /sys/fs/bpf rw shared:9 - bpf bpf rw,mode=700\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "guard"


def filled(root: Path, name: str) -> pins.Instance:
    hidden = pins.begin(name, root)
    for path in (hidden.map("m"), hidden.link("l"), hidden.program("p")):
        Path(path).touch()
    return hidden


def test_an_instance_is_visible_only_when_it_is_published(root: Path) -> None:
    hidden = filled(root, "run-1")
    assert hidden.name == "run-1"
    assert pins.instances(root) == ()
    assert pins.unfinished(root) == (hidden,)
    shown = pins.publish(hidden)
    assert pins.instances(root) == (shown,)
    assert pins.unfinished(root) == ()
    assert (shown.name, shown.links()) == ("run-1", ("l",))
    assert Path(shown.map("m")).exists() and not hidden.directory.exists()


def test_removing_takes_everything_and_says_whether_there_was_anything(root: Path) -> None:
    shown = pins.publish(filled(root, "a"))
    assert pins.remove(shown)
    assert not shown.directory.exists()
    assert not pins.remove(shown)


def test_removing_one_instance_leaves_the_other(root: Path) -> None:
    one, other = (pins.publish(filled(root, name)) for name in ("one", "other"))
    pins.remove(one)
    assert pins.instances(root) == (other,)
    assert other.links() == ("l",)


def test_links_go_before_the_maps_that_their_programs_use(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = pins.publish(filled(root, "a"))
    order: list[str] = []
    unlink = Path.unlink

    def noted(self: Path, missing_ok: bool = False) -> None:
        order.append(self.parent.name)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", noted)
    pins.remove(shown)
    assert order == ["links", "programs", "maps"]


def test_a_half_removed_instance_can_be_removed(root: Path) -> None:
    shown = pins.publish(filled(root, "a"))
    Path(shown.link("l")).unlink()
    (shown.directory / "links").rmdir()
    assert pins.remove(shown)
    assert pins.instances(root) == ()


def test_a_loaded_name_is_taken_and_an_unfinished_one_is_not(root: Path) -> None:
    hidden = filled(root, "a")
    again = pins.begin("a", root)
    assert again == hidden
    assert not Path(again.map("m")).exists()
    pins.publish(again)
    with pytest.raises(HostError, match="'a' is already loaded"):
        pins.begin("a", root)


def test_where_nothing_was_ever_loaded_there_are_no_instances(root: Path) -> None:
    assert pins.instances(root) == pins.unfinished(root) == ()


def test_a_bpf_file_system_must_be_mounted_at_its_place() -> None:
    pins.require_bpffs(MOUNTED)
    elsewhere = MOUNTED.replace("/bpf ", "/b ")
    for other in (MOUNTED.replace(" - bpf bpf", " - tmpfs tmpfs"), elsewhere, ""):
        with pytest.raises(HostError, match="is mounted at /sys/fs/bpf") as caught:
            pins.require_bpffs(other)
        assert caught.value.remedy == "mount -t bpf bpf /sys/fs/bpf"
