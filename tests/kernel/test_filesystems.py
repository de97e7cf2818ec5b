# SPDX-License-Identifier: Apache-2.0
"""File systems mounted, bound, stacked or opened by handle: objects keep the names that
the host gives them, and what has no name is refused or gets the default.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import Enforcer, expect, literal, opened, policy, prove, rule
from tests.kernel.mounts import mounted

pytestmark = pytest.mark.kernel


def test_a_bind_mount_made_after_the_policy_hides_nothing(files: Path, enforcer: Enforcer) -> None:
    path = files / "top" / "secret"
    enforcer.enforce(policy(rule("deny", "read", literal(path))))
    with mounted("bind", files / "place", str(files / "top")):
        denied = enforcer.attempt(opened, files / "place" / "secret")
        assert denied.errno == errno.EACCES
        expect(denied.record, path=path)
        assert enforcer.attempt(opened, files / "place" / "other").errno == 0


def test_a_rule_may_name_a_file_by_its_place_in_a_bind_mount(
    files: Path, enforcer: Enforcer
) -> None:
    with mounted("bind", files / "place", str(files / "top")):
        place = files / "place" / "secret"
        # The file has two names; records use its own file system's, the first.
        prove(
            enforcer,
            opened,
            place,
            files / "place" / "other",
            seen_as=files / "top" / "secret",
        )
        denied = enforcer.attempt(opened, files / "top" / "secret", label=0b01)
        assert denied.errno == errno.EACCES
        assert enforcer.attempt(opened, files / "top" / "other", label=0b01).errno == 0


def test_a_file_system_is_judged_by_where_the_host_mounts_it(
    files: Path, enforcer: Enforcer
) -> None:
    with mounted("tmpfs", files / "place"):
        (files / "place" / "a" / "b").mkdir(parents=True)
        for name in ("secret", "other"):
            (files / "place" / "a" / "b" / name).touch()
        prove(enforcer, opened, files / "place" / "a" / "b" / "secret", files / "place/a/b/other")
        prove(
            enforcer,
            os.listdir,
            files / "place",
            files / "place" / "a",
            verbs=("list",),
        )


def test_a_file_system_that_the_host_does_not_mount_gets_the_default(
    files: Path, enforcer: Enforcer
) -> None:
    """Laid out as the protected place is, it must not be taken for it."""
    place = files / "top" / "secret"

    def act() -> None:
        calls.unshare_mounts()
        calls.mount("none", files / "top", "tmpfs")
        (files / "top" / "secret").touch()
        opened(place)

    denying = policy(rule("deny", "[read, write]", literal(place), "/secret"))
    enforcer.enforce(denying)
    attempt = enforcer.attempt(act)
    assert (attempt.errno, attempt.records) == (0, [])
    allowing = rule("allow", "[read, write]", "/proc/**", literal(place), "/secret")
    enforcer.enforce(policy(allowing, default="deny"))
    attempt = enforcer.attempt(act)
    assert attempt.errno == errno.EACCES
    expect(
        attempt.record,
        path="/secret",
        rule=None,
        line=6,
        verbs=("create",),
        flags=("foreign",),
    )


@contextlib.contextmanager
def overlay(top: Path) -> Iterator[Path]:
    """An overlay over two directories below ``top``; its merged directory."""
    for name in ("lower", "upper", "work", "merged"):
        (top / name).mkdir()
    for name in ("low-secret", "low-other"):
        (top / "lower" / name).write_text("contents")
    for name in ("up-secret", "up-other"):
        (top / "upper" / name).write_text("contents")
    with mounted("overlay", top / "merged", "overlay", overlay_options(top)):
        yield top / "merged"


def overlay_options(top: Path) -> str:
    return f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"


@pytest.mark.parametrize("layer", ["low", "up"])
@pytest.mark.parametrize(("flags", "verbs"), [(os.O_RDONLY, "read"), (os.O_WRONLY, "write")])
def test_a_rule_on_an_overlays_path_denies(
    layer: str, flags: int, verbs: str, tmp_path: Path, enforcer: Enforcer
) -> None:
    with overlay(tmp_path) as merged:
        prove(
            enforcer,
            lambda path: opened(path, flags),
            merged / f"{layer}-secret",
            merged / f"{layer}-other",
            verbs=(verbs,),
        )


def test_a_rule_on_a_layer_denies_the_layer(tmp_path: Path, enforcer: Enforcer) -> None:
    with overlay(tmp_path):
        prove(
            enforcer,
            opened,
            tmp_path / "lower" / "low-secret",
            tmp_path / "lower" / "low-other",
        )


def test_files_of_the_guests_root_are_denied_by_their_paths(enforcer: Enforcer) -> None:
    """The root is an overlay itself, whose lower layer is in sight nowhere."""
    prove(enforcer, opened, "/etc/passwd", "/etc/group")


def stacked(files: Path) -> None:
    """Open the protected file through an overlay that only this process mounts."""
    calls.unshare_mounts()
    calls.mount("none", "/mnt", "tmpfs")
    for name in ("upper", "work", "merged"):
        os.mkdir(f"/mnt/{name}")
    layers = f"lowerdir={files / 'top'},upperdir=/mnt/upper,workdir=/mnt/work"
    calls.mount("overlay", "/mnt/merged", "overlay", layers)
    opened("/mnt/merged/secret")


def test_an_overlay_of_the_callers_own_does_not_hide_a_denied_file(
    files: Path, enforcer: Enforcer
) -> None:
    path = files / "top" / "secret"
    enforcer.enforce(policy(rule("deny", "read", literal(path))))
    assert enforcer.attempt(stacked, files, label=None).errno == 0
    denied = enforcer.attempt(stacked, files)
    assert denied.errno == errno.EACCES
    record = denied.record
    if record["reason"] == "policy":
        # 6.5 and later tell of the real file below.
        expect(record, path=path)
    else:
        assert (record["reason"], record["flags"]) == ("stacked", ["foreign"])
        assert record["object"]["path"] == "/secret"


def test_the_record_of_a_stacked_file_tells_its_real_path_where_the_kernel_does(
    files: Path, enforcer: Enforcer
) -> None:
    path = files / "top" / "secret"
    enforcer.enforce(policy(rule("deny", "read", literal(path))))
    denied = enforcer.attempt(stacked, files)
    later = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 5)
    assert denied.record["reason"] == ("policy" if later else "stacked")


def test_a_handle_to_a_file_that_has_left_the_cache_of_names_is_denied(
    disk: Path, enforcer: Enforcer
) -> None:
    """Such a file is known by its inode alone: it has no path until somebody looks it up."""
    (disk / "d").mkdir()
    for name in ("secret", "other"):
        (disk / "d" / name).write_text("contents")
    handles = {name: calls.handle(disk / "d" / name) for name in ("secret", "other")}
    enforcer.enforce(policy(rule("deny", "read", f"{disk}/d/**")))

    def act(name: str) -> None:
        os.close(calls.open_handle(disk, handles[name]))

    calls.drop_names()
    assert enforcer.attempt(act, "secret", label=None).errno == 0
    calls.drop_names()
    denied = enforcer.attempt(act, "secret")
    assert denied.errno == errno.EACCES
    assert denied.record["reason"] == "disconnected"
    assert denied.record["object"]["inode"] == str((disk / "d" / "secret").stat().st_ino)
    # Its path is known again now.
    denied = enforcer.attempt(act, "secret")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=disk / "d" / "secret")


def test_a_handle_needs_no_path_where_no_rule_asks_for_one(disk: Path, enforcer: Enforcer) -> None:
    (disk / "free").write_text("contents")
    handle = calls.handle(disk / "free")
    enforcer.enforce(policy(rule("deny", "read", "/none/such")))
    calls.drop_names()
    attempt = enforcer.attempt(lambda: os.close(calls.open_handle(disk, handle)))
    assert (attempt.errno, attempt.records) == (0, [])


def test_what_never_has_a_path_gets_the_default(enforcer: Enforcer) -> None:
    def act() -> None:
        opened(f"/proc/self/fd/{os.memfd_create('secret')}")
        opened(f"/proc/self/fd/{os.pipe()[1]}", os.O_WRONLY)
        opened("/proc/self/ns/net")

    enforcer.enforce(policy(rule("deny", "[read, write]", "/**/secret", "/*")))
    attempt = enforcer.attempt(act)
    assert (attempt.errno, attempt.records) == (0, [])
    enforcer.enforce(policy(rule("allow", "[read, write, list]", "/**"), default="deny"))
    denied = enforcer.attempt(lambda: opened(f"/proc/self/fd/{os.memfd_create('secret')}"))
    assert denied.errno == errno.EACCES
    assert denied.record["flags"] == ["foreign", "unlinked"]
