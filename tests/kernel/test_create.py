# SPDX-License-Identifier: Apache-2.0
"""New names and names taken away: create by every way, delete of files and directories."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, opened, policy, rule
from tests.kernel.namecalls import link_descriptor
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def made_by_open(path: Path) -> None:
    opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def linked_without_a_name(path: Path) -> None:
    link_descriptor(os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), path)


WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "open": (made_by_open, "create"),
    "mkdir": (os.mkdir, "create"),
    "symlink": (lambda path: os.symlink("/etc", path), "create"),
    "a file by mknod": (lambda path: os.mknod(path, stat.S_IFREG | 0o600), "create"),
    "a link": (lambda path: os.link(path.parent / "there", path), "create"),
    "a file without a name": (linked_without_a_name, "create"),
    "a character device": (
        lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
        "mkdev",
    ),
    "a block device": (
        lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 200)),
        "mkdev",
    ),
    "a pipe": (os.mkfifo, "mkfifo"),
    "a socket's node": (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "mksock"),
    "a bound socket": (bound_socket, "mksock"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_denied_name_is_not_made_by(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    make, verb = WAYS[way]
    new, beside = tmp_path / "new", tmp_path / "beside"

    def fresh() -> None:
        (tmp_path / "there").touch()
        for path in (new, beside):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(
                missing_ok=True
            )

    prove_changes(
        enforcer,
        rule("deny", verb, literal(new)),
        fresh,
        lambda: make(new),
        lambda: make(beside),
        path=new,
        verbs=(verb,),
    )
    assert not os.path.lexists(new)


def test_a_name_that_no_rule_allows_is_not_made(tmp_path: Path, enforcer: Enforcer) -> None:
    allowed = rule("allow", "[create, write]", f"{tmp_path}/ok*")
    enforcer.enforce(policy(allowed, default="deny"))
    assert enforcer.attempt(made_by_open, tmp_path / "okay").errno == 0
    denied = enforcer.attempt(made_by_open, tmp_path / "new")
    assert denied.errno == 13
    assert denied.record["verbs"] == ["create"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_a_denied_name_is_not_deleted(kind: str, tmp_path: Path, enforcer: Enforcer) -> None:
    old, beside = tmp_path / "old", tmp_path / "beside"

    def fresh() -> None:
        for path in (old, beside):
            if os.path.lexists(path):
                continue
            if kind == "file":
                path.touch()
            elif kind == "directory":
                path.mkdir()
            else:
                path.symlink_to("nowhere")

    delete = os.rmdir if kind == "directory" else os.unlink
    prove_changes(
        enforcer,
        rule("deny", "delete", literal(old)),
        fresh,
        lambda: delete(old),
        lambda: delete(beside),
        path=old,
        verbs=("delete",),
    )
    assert os.path.lexists(old)
