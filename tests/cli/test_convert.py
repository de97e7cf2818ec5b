# SPDX-License-Identifier: Apache-2.0
"""`guard convert` as its user meets it: what it reads, writes, says and exits with."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from guard.convert import limits

SAME = """\
profile t /usr/bin/t {
  file,
  capability,
  network,
  mount,
  umount,
  pivot_root,
  ptrace,
  signal,
  dbus,
  deny /etc/shadow m,
}
"""
POLICY = """\
# from the AppArmor profile t, t:1:1
version: 1
name: t
mode: enforce
subject:
  exe: /usr/bin/t
  inherit: true
exec:
  default: allow
  rules:
    # t:11:3: deny /etc/shadow m,
    - deny: map
      path: /etc/shadow
"""
KUBE = "kind: KubeArmorHostPolicy\nspec: {process: {matchPaths: [{path: /bin/x}]}}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text(SAME)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_what_is_wholly_the_same_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "t"]) == Exit.CLEAN
    assert capsys.readouterr() == (POLICY, "1 policy: every line carries over exactly\n")


def test_a_line_that_is_not_the_same_is_a_finding_and_the_looser_ones_come_first(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "t").write_text(SAME.replace("}", "  owner /x r,\n  deny /x[a-] r,\n}"))
    assert main(["convert", "t"]) == Exit.FINDINGS
    assert capsys.readouterr() == (
        POLICY,
        (
            "LOOSER: the source denies or limits what the policies do not:\n"
            "  t:13:3: deny /x[a-] r,\n"
            "    a class in '[]' whose characters AppArmor's versions read differently"
            " (nothing of it is in the policies)\n"
            "\n"
            "stricter: the policies may deny what the source allows:\n"
            "  t:12:3: owner /x r,\n"
            "    it is for the owner of the file only, and guard does not look at owners"
            " (nothing of it is in the policies)\n"
            "\n"
            "1 policy; 2 not exact: 1 looser, 1 stricter. docs/manual/converting.md tells more\n"
        ),
    )


def test_the_report_for_a_program(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "t").write_text(SAME.replace("}", "  owner /x r,\n}"))
    assert main(["convert", "--format", "json", "t"]) == Exit.FINDINGS
    assert json.loads(capsys.readouterr().err) == {
        "format": 1,
        "policies": ["t"],
        "losses": [
            {
                "file": "t",
                "line": 12,
                "column": 3,
                "text": "owner /x r,",
                "reason": "it is for the owner of the file only, and guard does not look at owners",
                "change": "stricter",
                "carried": False,
            }
        ],
    }


def test_a_file_is_written_and_several_sources_are_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "k").write_text(KUBE)
    assert main(["convert", "t", "t", "k", "-o", "out.yaml"]) == Exit.CLEAN
    out, err = capsys.readouterr()
    assert (out, err) == ("", "3 policies: every line carries over exactly\n")
    written = (here / "out.yaml").read_text()
    assert [line for line in written.splitlines() if line.startswith("name")] == [
        "name: t",
        "name: t-2",
        "name: kubearmor",
    ]
    assert main(["check", "out.yaml"]) == Exit.CLEAN


def test_standard_input_is_a_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SAME.encode())))
    assert main(["convert", "--from", "apparmor", "-"]) == Exit.CLEAN
    assert "# <stdin>:11:3: deny /etc/shadow m," in capsys.readouterr().out


def test_includes_are_read_below_the_directories_given_and_nowhere_else(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "inc/d").mkdir(parents=True)
    (here / "inc/d/one").write_text("/one r,\n")
    (here / "inc/two").write_text("/two r,\n")
    (here / "three").write_text("/three r,\n")
    os.mkfifo(here / "inc/fifo")
    (here / "t").write_text(
        "profile t /t {\n include <d>\n include <two>\n include <../three>\n include <fifo>\n}\n"
    )
    assert main(["convert", "-I", "inc", "t"]) == Exit.FINDINGS
    out, err = capsys.readouterr()
    assert "/one r," in out
    assert "/two r," in out
    assert "three" not in out
    assert "t:4:2: include <../three>\n    the included file is not among" in err
    assert "t:5:2: include <fifo>\n    the included file is not among" in err


def test_a_subject_is_given_on_the_command_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "t").write_text("profile t {\n /x r,\n}\n")
    assert main(["convert", "--subject", "host=true", "t"]) == Exit.FINDINGS
    assert "subject:\n  host: true\n" in capsys.readouterr().out


@pytest.mark.parametrize("subject", ["exe", "exe=", "what=x", "host=no", "=x"])
@pytest.mark.usefixtures("here")
def test_a_subject_that_is_none_is_a_usage_error(
    subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "--subject", subject, "t"]) == Exit.USAGE
    assert capsys.readouterr().err == (
        "guard convert: --subject is KEY=VALUE, KEY one of exe, unit, cgroup, user, group, host\n"
    )


@pytest.mark.parametrize("text", ["", "hello", KUBE + SAME])
def test_a_source_of_no_certain_kind_is_a_usage_error(
    text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "t").write_text(text)
    assert main(["convert", "t"]) == Exit.USAGE
    assert capsys.readouterr().err == (
        "guard convert: what is 't'? say --from apparmor, kubearmor, tetragon\n"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "guard: t:1: the byte 0xff is not UTF-8\n  remedy: save it as UTF-8\n"),
        (
            b"#" * (50 * 1024 * 1024),
            (
                f"guard: t has more than {limits.SOURCE_SIZE // 1048576} MiB, which is the limit\n"
                "  remedy: convert its parts one by one\n"
            ),
        ),
        (
            b"profile t /t {",
            (
                "guard: t:1:1: this is no AppArmor profile: a rule or a block that has no end\n"
                "  remedy: `apparmor_parser -QK FILE` tells more\n"
            ),
        ),
        (
            b"".join(b"profile p%d /p%d {\n}\n" % (at, at) for at in range(65)),
            (
                "guard: what it becomes is more than guard takes:"
                " more than 64 documents in one file\n"
                "  remedy: convert its parts one by one\n"
            ),
        ),
    ],
)
def test_what_cannot_be_read_is_said(
    data: bytes, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "t").write_bytes(data)
    assert main(["convert", "--from", "apparmor", "t", "-o", "out"]) == Exit.UNABLE
    assert capsys.readouterr() == ("", words)
    assert not (here / "out").exists()


@pytest.mark.parametrize("form", ["kubearmor", "tetragon"])
def test_yaml_that_grows_when_read_is_refused(
    form: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [*{chr(97 + at)}, *{chr(97 + at)}]\n" for at in range(20)
    )
    (here / "t").write_text(laughs)
    assert main(["convert", "--from", form, "t"]) == Exit.UNABLE
    assert capsys.readouterr().err.startswith("guard: t:1:4: '&a' is a YAML anchor")


@pytest.mark.parametrize("name", ["none", ".", "fifo"])
def test_a_file_that_cannot_be_read_is_said(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(here / "fifo")
    assert main(["convert", name]) == Exit.UNABLE
    assert capsys.readouterr().err.startswith(f"guard: cannot read {name!a}: ")


@pytest.mark.usefixtures("here")
def test_a_file_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "t", "-o", "no/out"]) == Exit.UNABLE
    assert capsys.readouterr().err == "guard: cannot write 'no/out': No such file or directory\n"
