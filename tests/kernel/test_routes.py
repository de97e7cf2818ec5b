# SPDX-License-Identifier: Apache-2.0
"""Every way to a protected file leads to the same verdict: paths are what the host
names the object, however the caller came to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import (
    DRIVERS,
    Enforcer,
    drive,
    expect,
    literal,
    opened,
    policy,
    prove,
    rule,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory ``top`` with a file to be protected and a neighbour."""
    (tmp_path / "top").mkdir()
    for name in ("secret", "other"):
        (tmp_path / "top" / name).write_text("contents")
    return tmp_path


@contextlib.contextmanager
def mounted(kind: str, target: Path, source: str = "none", options: str = "") -> Iterator[None]:
    """A mount in this name space; ``kind`` may be "bind"."""
    target.mkdir(exist_ok=True)
    calls.mount(source, target, kind, options)
    try:
        yield
    finally:
        calls.unmount(target)


def through_symlink(path: str) -> None:
    link = f"{path}.link"
    with contextlib.suppress(FileExistsError):
        os.symlink(path, link)
    opened(link)


def through_root(path: str) -> None:
    opened(f"/proc/self/root{path}")


def through_cwd(path: str) -> None:
    os.chdir(os.path.dirname(path))
    opened(f"/proc/self/cwd/{os.path.basename(path)}")


def through_thread_root(path: str) -> None:
    opened(f"/proc/{os.getppid()}/root{path}")


def through_descriptor_of_directory(path: str) -> None:
    directory = os.open(os.path.dirname(path), os.O_PATH)
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=directory))


def through_path_descriptor(path: str) -> None:
    opened(f"/proc/self/fd/{os.open(path, os.O_PATH)}")


def through_thread_self(path: str) -> None:
    opened(f"/proc/thread-self/fd/{os.open(path, os.O_PATH)}")


def through_dev_fd(path: str) -> None:
    opened(f"/dev/fd/{os.open(path, os.O_PATH)}")


def through_dots(path: str) -> None:
    directory, name = os.path.split(path)
    opened(f"{directory}/./..//{os.path.basename(directory)}/{name}")


def through_openat2(path: str) -> None:
    calls.openat2(path, os.O_RDONLY)


def through_handle(path: str) -> None:
    calls.open_by_handle(path)


def through_chroot(path: str) -> None:
    os.chroot(os.path.dirname(path))
    opened(f"/{os.path.basename(path)}")


def through_descriptor_out_of_chroot(path: str) -> None:
    directory = os.open(os.path.dirname(path), os.O_PATH)
    os.chroot("/proc")
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=directory))


def through_name_space(path: str) -> None:
    calls.unshare_mounts()
    opened(path)


def through_user_name_space(path: str) -> None:
    calls.unshare(calls.NEWUSER | calls.NEWNS)
    opened(path)


def through_pid_name_space(path: str) -> None:
    calls.unshare(calls.NEWPID)
    pid = os.fork()
    if pid == 0:
        try:
            opened(path)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, "in the child")


def through_private_bind_mount(path: str) -> None:
    calls.unshare_mounts()
    calls.mount(os.path.dirname(path), "/mnt", "bind")
    opened(f"/mnt/{os.path.basename(path)}")


def through_file_bound_over_another(path: str) -> None:
    calls.unshare_mounts()
    calls.mount(path, "/etc/hostname", "bind")
    opened("/etc/hostname")


def through_moved_mount(path: str) -> None:
    calls.unshare_mounts()
    calls.mount("/tmp", "/mnt", "move")
    opened(f"/mnt{path.removeprefix('/tmp')}")


def through_detached_mount(path: str) -> None:
    calls.unshare_mounts()
    tree = calls.open_tree_clone(os.path.dirname(path))
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=tree))


ROUTES = [
    through_symlink,
    through_root,
    through_cwd,
    through_thread_root,
    through_descriptor_of_directory,
    through_path_descriptor,
    through_thread_self,
    through_dev_fd,
    through_dots,
    through_openat2,
    through_handle,
    through_chroot,
    through_descriptor_out_of_chroot,
    through_name_space,
    through_user_name_space,
    through_private_bind_mount,
    through_file_bound_over_another,
    through_moved_mount,
    through_detached_mount,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__.replace("_", " "))
def test_a_file_is_denied(route: object, files: Path, enforcer: Enforcer) -> None:
    assert callable(route)
    path, neighbour = files / "top" / "secret", files / "top" / "other"
    prove(enforcer, lambda one: route(str(one)), path, neighbour)


def test_a_file_is_denied_in_a_name_space_of_processes(files: Path, enforcer: Enforcer) -> None:
    denied = prove(
        enforcer,
        lambda one: through_pid_name_space(str(one)),
        files / "top" / "secret",
        files / "top" / "other",
    )
    # As the host numbers it, not as the process does itself.
    assert denied.record["process"]["parent"] == denied.pid
    assert denied.record["process"]["pid"] != 1


@pytest.mark.parametrize("way", ["inline", "async", "sqpoll"])
def test_a_file_is_denied_to_io_uring(way: str, files: Path, enforcer: Enforcer) -> None:
    exe = str(DRIVERS / "uring")
    denied = prove(
        enforcer,
        lambda path: drive("uring", way, path),
        files / "top" / "secret",
        files / "top" / "other",
        exe=exe,
    )
    assert denied.record["process"]["pid"] == denied.pid
    # io_uring's workers name themselves; an open that may block is theirs in any way.
    assert denied.record["process"]["comm"].startswith("iou-")


def test_a_descriptor_opened_for_reading_is_not_reopened_for_writing(
    files: Path, enforcer: Enforcer
) -> None:
    path = files / "top" / "secret"

    def act() -> None:
        fd = os.open(path, os.O_RDONLY)
        opened(f"/proc/self/fd/{fd}", os.O_RDWR)

    enforcer.enforce(policy(rule("deny", "write", literal(path))))
    assert enforcer.attempt(act, label=None).errno == 0
    denied = enforcer.attempt(act)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=path, verbs=("read", "write"))


def test_the_path_follows_a_rename_of_a_parent(files: Path, enforcer: Enforcer) -> None:
    old, new = files / "top", files / "moved"
    names = [str(old / "secret"), str(new / "secret")]
    enforcer.enforce(
        policy(
            rule("deny", "read", literal(names[0]), id="old"),
            rule("deny", "write", literal(names[1]), id="new"),
        )
    )

    def reopen() -> list[int]:
        """Through a directory that is known by descriptor, whatever its name is now."""
        found = []
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.close(os.open("secret", flags, dir_fd=holder))
                found.append(0)
            except OSError as error:
                found.append(error.errno or -1)
        return found

    holder = os.open(old, os.O_PATH)
    before = enforcer.attempt(reopen)
    assert before.value == [errno.EACCES, 0]
    expect(before.record, path=names[0], rule="old")
    os.rename(old, new)
    after = enforcer.attempt(reopen)
    assert after.value == [0, errno.EACCES]
    expect(after.record, path=names[1], rule="new", line=9, verbs=("write",))
    os.close(holder)


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
        verbs=("write",),
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


def test_by_default_deny_a_copy_up_needs_the_layers_to_be_allowed_too(
    tmp_path: Path, enforcer: Enforcer
) -> None:
    """The kernel opens files of both layers for it in the writer's name: a limit, and
    it is better refused than open to overlays that a task mounts for itself.
    """
    with overlay(tmp_path) as merged:
        allowed = [rule("allow", "[read, write]", f"{merged}/*")]
        enforcer.enforce(policy(*allowed, default="deny"))
        copied = tmp_path / "upper" / "low-other"
        attempt = enforcer.attempt(opened, merged / "low-other", os.O_WRONLY)
        assert attempt.errno == errno.EACCES
        # Which of the layers' files is opened first is the kernel's business.
        path = attempt.record["object"]["path"]
        layers = (f"{tmp_path}/lower/", f"{tmp_path}/work/", f"{tmp_path}/upper/")
        assert path.startswith(layers), attempt.record
        assert attempt.record["rule"]["id"] is None
        assert not copied.exists()
        allowed.append(rule("allow", "read", f"{tmp_path}/lower/*", id="lower"))
        allowed.append(rule("allow", "write", f"{tmp_path}/{{work,upper}}/**", id="work"))
        enforcer.enforce(policy(*allowed, default="deny"))
        attempt = enforcer.attempt(opened, merged / "low-other", os.O_WRONLY)
        assert (attempt.errno, attempt.records) == (0, [])
        assert copied.exists()


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
