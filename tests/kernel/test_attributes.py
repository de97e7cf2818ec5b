# SPDX-License-Identifier: Apache-2.0
"""setattr by every call that changes what a file is said to be, and write by truncating it."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, opened, policy, rule
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel

# struct posix_acl_xattr: version 2; user::rw-, group::r--, other::r-- (acl_ea format).
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, 0xFFFFFFFF)
    for tag, permissions in ((1, 6), (4, 4), (0x20, 4))
)


def by_descriptor(act: Callable[[int], object]) -> Callable[[Path], None]:
    def done(path: Path) -> None:
        act(os.open(path, os.O_RDONLY))

    return done


def acl_removed(path: Path) -> None:
    os.removexattr(path, "system.posix_acl_access")


ATTRIBUTES: dict[str, Callable[[Path], object]] = {
    "chmod": lambda path: os.chmod(path, 0o644),
    "fchmod": by_descriptor(lambda fd: os.fchmod(fd, 0o644)),
    "chown": lambda path: os.chown(path, 1, 1),
    "lchown": lambda path: os.lchown(path, 1, 1),
    "utimes": lambda path: os.utime(path, (1, 1)),
    "touch": os.utime,
    "futimes": by_descriptor(lambda fd: os.utime(fd, (1, 1))),
    "setxattr": lambda path: os.setxattr(path, "trusted.one", b"1"),
    "fsetxattr": by_descriptor(lambda fd: os.setxattr(fd, "trusted.one", b"1")),
    "removexattr": lambda path: os.removexattr(path, "trusted.there"),
    "an ACL": lambda path: os.setxattr(path, "system.posix_acl_access", _ACL),
    "no ACL": acl_removed,
}


@pytest.mark.parametrize("way", ATTRIBUTES)
def test_an_attribute_is_not_changed_by(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    act = ATTRIBUTES[way]

    def fresh() -> None:
        for name in ("secret", "beside"):
            (tmp_path / name).unlink(missing_ok=True)
            (tmp_path / name).touch(mode=0o600)
            os.setxattr(tmp_path / name, "trusted.there", b"1")
            os.setxattr(tmp_path / name, "system.posix_acl_access", _ACL)

    prove_changes(
        enforcer,
        rule("deny", "setattr", literal(tmp_path / "secret")),
        fresh,
        lambda: act(tmp_path / "secret"),
        lambda: act(tmp_path / "beside"),
        path=tmp_path / "secret",
        verbs=("setattr",),
    )


def test_a_write_may_take_set_user_id_away(tmp_path: Path, enforcer: Enforcer) -> None:
    """The kernel does that by itself, and it is nobody's change of attributes."""
    path = tmp_path / "tool"
    path.touch()
    os.chown(path, 65534, 65534)
    path.chmod(0o6755)

    def write() -> None:
        fd = os.open(path, os.O_WRONLY)
        os.setresuid(65534, 65534, 65534)
        os.write(fd, b"new")

    enforcer.enforce(policy(rule("deny", "setattr", literal(path))))
    done = enforcer.attempt(write)
    assert (done.errno, done.records) == (0, [])
    assert path.stat().st_mode & 0o7777 == 0o755


TRUNCATIONS: dict[str, Callable[[Path], object]] = {
    "truncate": lambda path: os.truncate(path, 1),
    "making it longer": lambda path: os.truncate(path, 100),
}


@pytest.mark.parametrize("way", TRUNCATIONS)
def test_a_file_is_not_truncated_by(way: str, tmp_path: Path, enforcer: Enforcer) -> None:
    act = TRUNCATIONS[way]

    def fresh() -> None:
        for name in ("secret", "beside"):
            (tmp_path / name).write_text("contents")

    prove_changes(
        enforcer,
        rule("deny", "write", literal(tmp_path / "secret")),
        fresh,
        lambda: act(tmp_path / "secret"),
        lambda: act(tmp_path / "beside"),
        path=tmp_path / "secret",
        verbs=("write",),
    )
    assert (tmp_path / "secret").read_text() == "contents"


def test_an_open_that_truncates_is_judged_once(tmp_path: Path, enforcer: Enforcer) -> None:
    (tmp_path / "file").write_text("contents")
    audited = rule("allow", "write", literal(tmp_path / "file"), more="audit: true")
    enforcer.enforce(policy(audited))
    done = enforcer.attempt(opened, tmp_path / "file", os.O_WRONLY | os.O_TRUNC)
    assert done.errno == 0
    assert done.record["event"] == "file.open"


def test_who_may_only_append_does_not_truncate(tmp_path: Path, enforcer: Enforcer) -> None:
    log = tmp_path / "log"
    log.write_text("contents")

    def act(then: Callable[[int], object]) -> None:
        then(os.open(log, os.O_WRONLY | os.O_APPEND))

    enforcer.enforce(policy(rule("allow", "append", literal(log)), default="deny"))
    assert enforcer.attempt(act, lambda fd: os.write(fd, b" more")).errno == 0
    denied = enforcer.attempt(act, lambda fd: os.ftruncate(fd, 1))
    assert denied.errno == errno.EACCES
    assert denied.record["verbs"] == ["write"]
    assert log.read_text() == "contents more"
