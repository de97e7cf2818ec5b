# SPDX-License-Identifier: Apache-2.0
"""Overlays under a policy that denies by default: the merged path is what is judged, and
what overlayfs then does in its layers is not held against the task.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import Enforcer, literal, opened, policy, rule

pytestmark = pytest.mark.kernel

VERBS = "[read, write, list, create, delete, rename, setattr, link]"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Path]:
    """A directory with an overlay at ``merged``."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for name in ("one", "two", "three", "four", "five"):
        (tmp_path / "lower" / name).write_text(name)
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    calls.mount("overlay", tmp_path / "merged", "overlay", options)
    yield tmp_path
    calls.unmount(tmp_path / "merged")


def appended(path: Path) -> None:
    with path.open("a") as one:
        one.write("more")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a write that copies up": lambda top: (top / "one").write_text("new"),
    "an append that copies up": lambda top: appended(top / "two"),
    "a mode that copies up": lambda top: (top / "three").chmod(0o600),
    "a deletion": lambda top: (top / "four").unlink(),
    "a rename": lambda top: os.rename(top / "five", top / "six"),
}


def test_what_the_policy_allows_by_the_merged_path_is_done(stack: Path, enforcer: Enforcer) -> None:
    merged = stack / "merged"
    enforcer.enforce(policy(rule("allow", VERBS, f"{literal(merged)}{{,/**}}"), default="deny"))

    def each() -> dict[str, str]:
        found = {}
        for name, change in CHANGES.items():
            try:
                change(merged)
                found[name] = ""
            except OSError as error:
                found[name] = str(error)
        return found

    done = enforcer.attempt(each)
    assert done.value == dict.fromkeys(CHANGES, "")
    assert done.records == []
    assert (stack / "upper" / "one").read_text() == "new"


def test_a_new_name_needs_the_upper_layer_to_be_allowed_too(
    stack: Path, enforcer: Enforcer
) -> None:
    """A limit: overlayfs makes new names under credentials that are neither its nor the task's."""
    merged = stack / "merged"
    allowed = rule("allow", VERBS, f"{literal(merged)}{{,/**}}")
    enforcer.enforce(policy(allowed, default="deny"))
    refused = enforcer.attempt(os.mkdir, str(merged / "new"))
    assert refused.errno == errno.EACCES
    assert refused.record["object"]["path"].startswith((f"{stack}/upper/", f"{stack}/work/"))
    layers = rule("allow", "create", f"{literal(stack)}/{{upper,work}}/**", id="layers")
    enforcer.enforce(policy(allowed, layers, default="deny"))
    assert enforcer.attempt(os.mkdir, str(merged / "new")).errno == 0


def test_the_layers_are_not_open_to_a_task_that_used_the_overlay(
    stack: Path, enforcer: Enforcer
) -> None:
    merged = stack / "merged"
    enforcer.enforce(policy(rule("allow", VERBS, f"{literal(merged)}{{,/**}}"), default="deny"))

    def act() -> list[int]:
        (merged / "one").write_text("new")
        found = []
        for path in (stack / "lower" / "two", stack / "upper" / "one"):
            try:
                opened(path, os.O_RDWR)
                found.append(0)
            except OSError as error:
                found.append(error.errno or -1)
        return found

    assert enforcer.attempt(act).value == [errno.EACCES, errno.EACCES]


def test_what_the_policy_denies_by_the_merged_path_is_not_done(
    stack: Path, enforcer: Enforcer
) -> None:
    merged = stack / "merged"
    enforcer.enforce(policy(rule("deny", "[write, create]", f"{literal(merged)}/**")))
    assert enforcer.attempt(CHANGES["a write that copies up"], merged).errno == errno.EACCES
    assert enforcer.attempt(os.mkdir, str(merged / "new")).errno == errno.EACCES
    assert (merged / "one").read_text() == "one"
    assert os.listdir(stack / "upper") == []


def test_an_overlay_of_the_callers_own_gives_nothing_in_its_layers(
    stack: Path, enforcer: Enforcer
) -> None:
    """Its files are foreign, and the layers are judged by their own paths."""
    (stack / "secret").mkdir()
    (stack / "secret" / "file").write_text("secret")

    def act() -> None:
        # Used first, so that it is what the label remembers.
        opened(stack / "merged" / "one")
        calls.unshare_mounts()
        calls.mount("none", "/mnt", "tmpfs")
        for name in ("upper", "work", "merged"):
            os.mkdir(f"/mnt/{name}")
        options = f"lowerdir={stack}/secret,upperdir=/mnt/upper,workdir=/mnt/work"
        calls.mount("overlay", "/mnt/merged", "overlay", options)
        Path("/mnt/merged/file").chmod(0o600)

    denying = rule("deny", "[read, write, list]", f"{literal(stack)}/secret/**")
    enforcer.enforce(policy(denying))
    assert enforcer.attempt(act, label=None).errno == 0
    denied = enforcer.attempt(act)
    assert denied.errno == errno.EACCES
