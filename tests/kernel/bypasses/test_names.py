# SPDX-License-Identifier: Apache-2.0
"""Bypasses by names and by changes that open nothing: each row of rows.py with its twins."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, opened, rule
from tests.kernel.namecalls import EXCHANGE, link_descriptor, renameat2
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel


def fresh(place: Path) -> None:
    """P, a neighbour that is as P but for the policy, and an attacker's file."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("P", "Q", "evil"):
        (place / name).write_text(name)
        (place / name).chmod(0o600)


def linked(old: Path, new: Path) -> None:
    os.link(old, new)


def linked_by_descriptor(old: Path, new: Path) -> None:
    link_descriptor(os.open(old, os.O_PATH), new)


@pytest.mark.parametrize("way", [linked, linked_by_descriptor])
def test_b01_a_hard_link(
    way: Callable[[Path, Path], None], tmp_path: Path, enforcer: Enforcer
) -> None:
    """The rule is about reading alone: it is enough."""
    prove_changes(
        enforcer,
        rule("deny", "read", literal(tmp_path / "P")),
        lambda: fresh(tmp_path),
        lambda: way(tmp_path / "P", tmp_path / "x"),
        lambda: way(tmp_path / "Q", tmp_path / "x"),
        path=tmp_path / "P",
        to=tmp_path / "x",
        verbs=("link",),
        reason="widens",
        rule=None,
    )


RENAMES: dict[str, tuple[Callable[[Path, str], None], tuple[str, ...], bool]] = {
    "away": (lambda at, name: os.rename(at / name, at / "y"), ("rename",), True),
    "onto it": (lambda at, name: os.rename(at / "evil", at / name), ("create", "delete"), False),
    "an exchange": (
        lambda at, name: renameat2(at / "evil", at / name, EXCHANGE),
        ("create", "delete"),
        False,
    ),
}


@pytest.mark.parametrize("way", RENAMES)
def test_b03_renames(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    act, verbs, away = RENAMES[way]
    verb = "rename" if away else "delete"
    prove_changes(
        enforcer,
        rule("deny", verb, literal(tmp_path / "P")),
        lambda: fresh(tmp_path),
        lambda: act(tmp_path, "P"),
        lambda: act(tmp_path, "Q"),
        path=tmp_path / "P",
        to=tmp_path / "y" if away else None,
        verbs=verbs,
    )
    assert (tmp_path / "P").read_text() == "P"


def test_b05_a_parent_is_renamed(tmp_path: Path, enforcer: Enforcer) -> None:
    def anew() -> None:
        fresh(tmp_path)
        for name in ("a", "free"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "P").touch()

    prove_changes(
        enforcer,
        rule("deny", "read", literal(tmp_path / "a" / "P")),
        anew,
        lambda: os.rename(tmp_path / "a", tmp_path / "b"),
        lambda: os.rename(tmp_path / "free", tmp_path / "b"),
        path=tmp_path / "a",
        to=tmp_path / "b",
        verbs=("rename",),
        reason="subtree",
        rule=None,
    )


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncate": (lambda path: os.truncate(path, 1), "write"),
    "O_TRUNC": (lambda path: opened(path, os.O_WRONLY | os.O_TRUNC), "write"),
    "chmod": (lambda path: path.chmod(0o640), "setattr"),
    "chown": (lambda path: os.chown(path, 1, 1), "setattr"),
    "setxattr": (lambda path: os.setxattr(path, "trusted.x", b"1"), "setattr"),
    "utimes": (lambda path: os.utime(path, (1, 1)), "setattr"),
}


@pytest.mark.parametrize("way", CHANGES)
def test_b25_changes_without_opening(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    act, verb = CHANGES[way]
    prove_changes(
        enforcer,
        rule("deny", verb, literal(tmp_path / "P")),
        lambda: fresh(tmp_path),
        lambda: act(tmp_path / "P"),
        lambda: act(tmp_path / "Q"),
        path=tmp_path / "P",
        verbs=(verb,),
    )
    assert (tmp_path / "P").read_text() == "P"


def test_b26_deletion(tmp_path: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "delete", literal(tmp_path / "P")),
        lambda: fresh(tmp_path),
        lambda: os.unlink(tmp_path / "P"),
        lambda: os.unlink(tmp_path / "Q"),
        path=tmp_path / "P",
        verbs=("delete",),
    )
    assert (tmp_path / "P").exists()


NEW: dict[str, tuple[Callable[[Path], object], str]] = {
    "touch": (lambda path: opened(path, os.O_WRONLY | os.O_CREAT), "create"),
    "ln": (lambda path: os.link(path.parent / "evil", path), "create"),
    "ln -s": (lambda path: os.symlink("evil", path), "create"),
    "mv": (lambda path: os.rename(path.parent / "evil", path), "create"),
    "mkdir": (os.mkdir, "create"),
    "mkfifo": (os.mkfifo, "mkfifo"),
    "mknod": (lambda path: os.mknod(path, stat.S_IFCHR, os.makedev(1, 3)), "mkdev"),
}


@pytest.mark.parametrize("way", NEW)
def test_b27_an_absent_name(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    act, verb = NEW[way]
    prove_changes(
        enforcer,
        rule("deny", "[create, mkdev, mkfifo, mksock]", literal(tmp_path / "absent")),
        lambda: fresh(tmp_path),
        lambda: act(tmp_path / "absent"),
        lambda: act(tmp_path / "other"),
        path=tmp_path / "absent",
        verbs=(verb,),
    )
    assert not os.path.lexists(tmp_path / "absent")
