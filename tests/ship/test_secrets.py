# SPDX-License-Identifier: Apache-2.0
"""Secrets: from files and credentials, and only those that nobody else can read or change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.ship import secrets
from guard.ship.secrets import LIMIT, Secret, SecretError


def _secret(tmp: Path, data: bytes = b"hunter2\n", mode: int = 0o600) -> Path:
    path = tmp / "token"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_a_private_file_is_read_without_the_space_around_it(tmp_path: Path, mode: int) -> None:
    assert Secret(file=str(_secret(tmp_path, b" hunter2\n", mode))).text() == "hunter2"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602, 0o641])
def test_a_file_that_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    path = _secret(tmp_path, mode=mode)
    with pytest.raises(SecretError) as told:
        Secret(file=str(path)).text()
    assert str(told.value) == (
        f"the secret {path} has mode {mode:04o}, so others can get at it; chmod 0640 or 0600 it"
    )


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _secret(tmp_path)
    owner = path.stat().st_uid
    if owner == 0:
        os.chown(path, 12345, -1)
        owner = 12345
        me = 0
    else:
        me = owner + 1
        monkeypatch.setattr(secrets.os, "geteuid", lambda: me)
    with pytest.raises(SecretError) as told:
        Secret(file=str(path)).text()
    assert str(told.value) == (
        f"the secret {path} belongs to user {owner}, who can change it; "
        f"it must belong to root or to user {me}"
    )


def test_a_credential_is_in_the_units_directory(tmp_path: Path) -> None:
    _secret(tmp_path)
    secret = Secret(credential="token")
    assert secret.text({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "hunter2"


def test_a_credential_outside_of_a_unit_says_what_to_do() -> None:
    with pytest.raises(SecretError) as told:
        Secret(credential="token").text({})
    assert str(told.value) == (
        "the credential token needs a systemd unit: $CREDENTIALS_DIRECTORY is not set; "
        "LoadCredential=token:/path in the unit sets it"
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"a\r\nX-Admin: yes\n", "has more than one line, or control characters"),
        (b"a\0b", "has more than one line, or control characters"),
        (b"\xff", "is not ASCII text"),
        (b"a" * (LIMIT + 1), f"has more than {LIMIT} bytes"),
    ],
)
def test_what_can_be_no_secret_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = _secret(tmp_path, data)
    with pytest.raises(SecretError) as told:
        Secret(file=str(path)).text()
    assert str(told.value) == f"the secret {path} {problem}"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="is not a regular file"):
        Secret(file=str(tmp_path)).text()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SecretError, match="is not a regular file"):
        Secret(file=str(fifo)).text()
    with pytest.raises(SecretError, match=r"cannot be read: No such file or directory"):
        Secret(file=str(tmp_path / "missing")).checked()
