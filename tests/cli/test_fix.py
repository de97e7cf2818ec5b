# SPDX-License-Identifier: Apache-2.0
"""`guard check --fix`: files are mended in place, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.cli import rewrite as rewrite_module
from guard.cli.exits import Exit
from guard.cli.main import main
from guard.cli.rewrite import ChangedMeanwhile, rewrite
from tests.policy.corpus import with_rules

GOOD = with_rules("# why not\n- deny: read # it\n  path: /etc/shadow")
BAD = GOOD.replace("read", "raed")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_certain_edit_is_written_and_the_rest_is_judged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(BAD)
    assert main(["check", "--fix", "p.yaml"]) == Exit.CLEAN
    out, err = capsys.readouterr()
    assert (here / "p.yaml").read_text() == GOOD
    assert err == "fixed p.yaml:9:13: 'raed' is not a verb of the file section\n"
    assert out == "1 policy, 1 rule: no findings\n"


NAMES = """\
version: 1
name: demo
mode: audit
subject: {host: true}
lists: {secrets: [/etc/shadow]}   # what nobody reads
sets: {office: [192.0.2.0/24]}
file:
  default: allow
  rules:
    - {deny: write, path: "@secrets"}
    - {deny: read, path: ["@secrts", /etc/gshadow]}   # nor this
net:
  default: allow
  rules:
    - {deny: connect, to: '@ofice'}  # far
    - {deny: bind, to: "@loopbak"}
"""


def test_a_misspelt_name_of_a_definition_is_mended_and_comments_stay(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(NAMES)
    assert main(["check", "--fix", "p.yaml"]) == Exit.CLEAN
    mended = (
        NAMES.replace('"@secrts"', '"@secrets"')
        .replace("'@ofice'", '"@office"')
        .replace('"@loopbak"', '"@loopback"')
    )
    assert (here / "p.yaml").read_text() == mended
    assert capsys.readouterr().err == (
        "fixed p.yaml:11:27: no list 'secrts' is defined\n"
        "fixed p.yaml:15:27: no set 'ofice' is defined\n"
        "fixed p.yaml:16:24: no set 'loopbak' is defined\n"
    )


def test_a_name_that_two_definitions_are_as_near_to_is_not_mended(here: Path) -> None:
    text = NAMES.replace("{secrets: [/etc/shadow]}", "{secrets: [/etc/shadow], secretz: [/x]}")
    text = text.replace("@secrts", "@secret").replace("'@ofice'", '"@office"')
    (here / "p.yaml").write_text(text)
    assert main(["check", "--fix", "p.yaml"]) == Exit.FINDINGS
    assert '"@secret"' in (here / "p.yaml").read_text()


def test_what_is_left_still_fails_the_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "p.yaml").write_text(BAD + "    - deny: open\n      path: /x\n")
    assert main(["check", "--fix", "p.yaml"]) == Exit.FINDINGS
    assert (here / "p.yaml").read_text().startswith(GOOD)
    assert capsys.readouterr().out.endswith("\n1 error in 1 file\n")


def test_without_fix_nothing_is_written(here: Path) -> None:
    (here / "p.yaml").write_text(BAD)
    assert main(["check", "p.yaml"]) == Exit.FINDINGS
    assert (here / "p.yaml").read_text() == BAD


def test_a_file_with_nothing_to_mend_is_not_touched(here: Path) -> None:
    (here / "p.yaml").write_text(GOOD)
    before = (here / "p.yaml").stat()
    assert main(["check", "--fix", "p.yaml"]) == Exit.CLEAN
    after = (here / "p.yaml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_standard_input_cannot_be_mended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--fix", "-"]) == Exit.USAGE
    assert "--fix" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yaml").write_text(BAD)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write every file
    assert main(["check", "--fix", "p.yaml"]) == Exit.UNABLE
    assert "cannot write 'p.yaml': Permission denied" in capsys.readouterr().err
    assert (here / "p.yaml").read_text() == BAD


def test_a_name_that_is_not_text_is_written_too(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.yaml")
    (here / name).write_text(BAD)
    assert main(["check", "--fix", name]) == Exit.CLEAN
    assert (here / name).read_text() == GOOD


def test_mode_and_symlink_stay(here: Path) -> None:
    (here / "real").write_bytes(b"old")
    (here / "real").chmod(0o640)
    (here / "link").symlink_to("real")
    rewrite("link", b"old", b"new")
    assert (here / "link").is_symlink()
    assert (here / "real").read_bytes() == b"new"
    assert (here / "real").stat().st_mode & 0o7777 == 0o640
    assert sorted(os.listdir(here)) == ["link", "real"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_the_owner_stays(here: Path) -> None:
    (here / "p").write_bytes(b"old")
    os.chown(here / "p", 12, 34)
    rewrite("p", b"old", b"new")
    status = (here / "p").stat()
    assert (status.st_uid, status.st_gid) == (12, 34)


def test_a_file_that_was_changed_meanwhile_is_left_as_it_is(here: Path) -> None:
    (here / "p").write_bytes(b"older")
    with pytest.raises(ChangedMeanwhile):
        rewrite("p", b"old", b"new")
    assert (here / "p").read_bytes() == b"older"


def test_a_failure_leaves_the_old_file_and_nothing_else(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (here / "p").write_bytes(b"old")
    monkeypatch.setattr(rewrite_module.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        rewrite("p", b"old", b"new")
    assert (here / "p").read_bytes() == b"old"
    assert os.listdir(here) == ["p"]
