# SPDX-License-Identifier: Apache-2.0
"""Hard links: the file, the new name, and that a new name gives nothing that the old one denies."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, literal, opened, policy, rule
from tests.kernel.namecalls import link_descriptor
from tests.kernel.proofs import prove_changes

pytestmark = pytest.mark.kernel


def fresh(place: Path) -> None:
    (place / "new").unlink(missing_ok=True)
    for name in ("secret", "beside"):
        (place / name).touch()


def by_descriptor(old: Path, new: Path) -> None:
    link_descriptor(os.open(old, os.O_PATH), new)


@pytest.mark.parametrize("way", [os.link, by_descriptor])
def test_a_file_is_not_linked(way: object, tmp_path: Path, enforcer: Enforcer) -> None:
    assert callable(way)
    prove_changes(
        enforcer,
        rule("deny", "link", literal(tmp_path / "secret")),
        lambda: fresh(tmp_path),
        lambda: way(tmp_path / "secret", tmp_path / "new"),
        lambda: way(tmp_path / "beside", tmp_path / "new"),
        path=tmp_path / "secret",
        to=tmp_path / "new",
        verbs=("link",),
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", ["read", "write", "append", "setattr", "lock"])
def test_a_link_is_not_made_to_get_at_what_the_old_name_denies(
    verb: str, tmp_path: Path, enforcer: Enforcer
) -> None:
    prove_changes(
        enforcer,
        rule("deny", verb, literal(tmp_path / "secret")),
        lambda: fresh(tmp_path),
        lambda: os.link(tmp_path / "secret", tmp_path / "new"),
        lambda: os.link(tmp_path / "beside", tmp_path / "new"),
        path=tmp_path / "secret",
        to=tmp_path / "new",
        verbs=("link",),
        reason="widens",
        rule=None,
    )


def test_a_link_may_not_widen_what_another_tasks_policy_denies(
    tmp_path: Path, enforcer: Enforcer
) -> None:
    fresh(tmp_path)
    enforcer.enforce(
        policy(rule("deny", "mkfifo", "/none/such")),
        policy(rule("deny", "read", literal(tmp_path / "secret")), name="q"),
    )
    denied = enforcer.attempt(os.link, str(tmp_path / "secret"), str(tmp_path / "new"), label=0b01)
    assert denied.errno == errno.EACCES
    assert denied.record["reason"] == "widens"
    free = enforcer.attempt(os.link, str(tmp_path / "secret"), str(tmp_path / "new"), label=None)
    assert free.errno == 0


def test_a_link_that_is_denied_as_much_is_made(tmp_path: Path, enforcer: Enforcer) -> None:
    fresh(tmp_path)
    enforcer.enforce(policy(rule("deny", "read", f"{literal(tmp_path)}/*")))
    made = enforcer.attempt(os.link, str(tmp_path / "secret"), str(tmp_path / "new"))
    assert (made.errno, made.records) == (0, [])
    assert enforcer.attempt(opened, tmp_path / "new").errno == errno.EACCES
