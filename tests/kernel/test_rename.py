# SPDX-License-Identifier: Apache-2.0
"""Renames: both names, what is replaced, exchanges, and directories with rules below them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, opened, policy, rule
from tests.kernel.namecalls import EXCHANGE, renameat2
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def fresh(place: Path) -> None:
    """A protected file, another, a neighbour, and no other name."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("secret", "evil", "beside"):
        (place / name).write_text(name)


def test_a_file_is_not_renamed_away(place: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "rename", literal(place / "secret")),
        lambda: fresh(place),
        lambda: os.rename(place / "secret", place / "new"),
        lambda: os.rename(place / "beside", place / "new"),
        path=place / "secret",
        to=place / "new",
        verbs=("rename",),
    )
    assert (place / "secret").read_text() == "secret"


def test_a_file_is_not_renamed_to_a_denied_name(place: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "create", literal(place / "new")),
        lambda: fresh(place),
        lambda: os.rename(place / "evil", place / "new"),
        lambda: os.rename(place / "evil", place / "newer"),
        path=place / "new",
        verbs=("create",),
    )
    assert (place / "evil").exists()


def test_a_file_is_not_replaced_by_a_rename(place: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "delete", literal(place / "secret")),
        lambda: fresh(place),
        lambda: os.rename(place / "evil", place / "secret"),
        lambda: os.rename(place / "evil", place / "beside"),
        path=place / "secret",
        verbs=("create", "delete"),
    )
    assert (place / "secret").read_text() == "secret"


@pytest.mark.parametrize("names", [("secret", "evil"), ("evil", "secret")])
def test_a_file_is_not_exchanged(names: tuple[str, str], place: Path, enforcer: Enforcer) -> None:
    prove_changes(
        enforcer,
        rule("deny", "rename", literal(place / "secret")),
        lambda: fresh(place),
        lambda: renameat2(place / names[0], place / names[1], EXCHANGE),
        lambda: renameat2(place / "beside", place / "evil", EXCHANGE),
        path=place / "secret",
        to=place / "evil",
        verbs=("rename",),
    )
    assert (place / "secret").read_text() == "secret"


def test_a_directory_with_a_rule_below_it_is_not_renamed(place: Path, enforcer: Enforcer) -> None:
    def anew() -> None:
        fresh(place)
        for name in ("a", "b"):
            (place / name / "deep").mkdir(parents=True)
            (place / name / "deep" / "secret").write_text("secret")

    prove_changes(
        enforcer,
        rule("deny", "read", f"{literal(place)}/a/deep/secret"),
        anew,
        lambda: os.rename(place / "a", place / "c"),
        lambda: os.rename(place / "b", place / "c"),
        path=place / "a",
        to=place / "c",
        verbs=("rename",),
        reason="subtree",
        rule=None,
    )
    assert (place / "a" / "deep" / "secret").exists()


def test_a_directory_is_not_renamed_to_where_a_rule_is_about_what_is_below(
    place: Path, enforcer: Enforcer
) -> None:
    """Else it would bring a denied name with it."""
    fresh(place)
    (place / "evil-dir").mkdir()
    (place / "evil-dir" / "preload").write_text("evil")
    enforcer.enforce(policy(rule("deny", "create", f"{literal(place)}/etc/preload")))
    denied = enforcer.attempt(os.rename, str(place / "evil-dir"), str(place / "etc"))
    assert denied.errno == errno.EACCES
    assert denied.record["reason"] == "subtree"
    assert not (place / "etc").exists()


def test_a_directory_is_renamed_where_rules_say_the_same_of_both(
    place: Path, enforcer: Enforcer
) -> None:
    fresh(place)
    (place / "one").mkdir()
    enforcer.enforce(
        policy(
            rule("deny", "read", "/**/.git/**"),
            rule("allow", "[rename, create, read]", f"{literal(place)}/**", id="all"),
            default="deny",
        )
    )
    moved = enforcer.attempt(os.rename, str(place / "one"), str(place / "two"))
    assert (moved.errno, moved.records) == (0, [])


def test_a_refused_rename_leaves_one_record_where_both_names_are_denied(
    place: Path, enforcer: Enforcer
) -> None:
    fresh(place)
    enforcer.enforce(policy(rule("deny", "[rename, create]", f"{literal(place)}/*")))
    denied = enforcer.attempt(os.rename, str(place / "secret"), str(place / "new"))
    assert denied.errno == errno.EACCES
    assert denied.record["object"]["path"] == str(place / "new")


def test_a_file_renamed_meanwhile_is_judged_by_its_name_then(
    place: Path, enforcer: Enforcer
) -> None:
    fresh(place)
    enforcer.enforce(policy(rule("deny", "rename", literal(place / "secret"))))
    os.rename(place / "secret", place / "free")
    assert enforcer.attempt(os.rename, str(place / "free"), str(place / "secret")).errno == 0
    assert enforcer.attempt(opened, place / "secret").errno == 0
