# SPDX-License-Identifier: Apache-2.0
"""Key files: what is made, what is refused, and in which words."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guard.audit.keys import KeyProblem, generate, load_checker, load_signer


def test_what_one_half_signs_the_other_checks(tmp_path: Path) -> None:
    key = generate(tmp_path / "k")
    signer, checker = load_signer(tmp_path / "k"), load_checker(tmp_path / "k.pub")
    assert signer.key == checker.key == key
    assert len(key) == 16
    signature = signer.sign(b"text")
    assert checker.holds(b"text", signature)
    assert not checker.holds(b"texT", signature)
    assert not checker.holds(b"text", "00" * 64)
    assert not checker.holds(b"text", "not hex")
    assert load_checker(tmp_path / "k").key == key  # of the private half, too


def test_the_files_are_what_openssl_reads_and_nobody_else_does(tmp_path: Path) -> None:
    os.umask(os.umask(0))  # whatever it is, the modes are these
    generate(tmp_path / "k")
    assert (tmp_path / "k").stat().st_mode & 0o7777 == 0o600
    assert (tmp_path / "k.pub").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "k").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (tmp_path / "k.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    generate(tmp_path / "k")
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(KeyProblem) as caught:
        generate(tmp_path / "k")
    assert str(caught.value) == f"{tmp_path}/k is there already and stays as it is"
    assert caught.value.remedy == (
        "name another file; checkpoints signed so far need the old public key"
    )
    assert (tmp_path / "k").read_bytes() == before
    (tmp_path / "j.pub").touch()
    with pytest.raises(KeyProblem, match=r"j\.pub is there already"):
        generate(tmp_path / "j")
    assert not (tmp_path / "j").exists()  # no half of a pair


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    generate(path)
    path.chmod(mode)
    with pytest.raises(KeyProblem) as caught:
        load_signer(path)
    assert str(caught.value) == f"{path} has mode {mode:04o}: others than its owner can get at it"
    assert caught.value.remedy == (
        f"chmod 600 {path}; and make a new key if others may have read it"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    generate(path)
    os.chown(path, 12345, -1)
    with pytest.raises(KeyProblem, match="belongs to user 12345, who could replace it"):
        load_signer(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no private key"),
        (b"\x00" * 100, "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
    ],
)
def test_what_is_no_key_is_told(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "k"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(KeyProblem, match=message):
        load_signer(path)
    with pytest.raises(KeyProblem, match="holds no public key"):
        load_checker(path)


def test_a_key_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "k"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "X25519", "-out", str(path)],
        check=True,
        capture_output=True,
    )
    path.chmod(0o600)
    with pytest.raises(KeyProblem, match="holds a key that is not Ed25519"):
        load_signer(path)


def test_no_file_or_no_regular_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as caught:
        load_signer(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path}/none: No such file or directory"
    assert caught.value.remedy == "make one with `guard audit keygen FILE`"
    with pytest.raises(KeyProblem, match="is not a regular file"):
        load_checker(tmp_path)
