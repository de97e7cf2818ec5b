# SPDX-License-Identifier: Apache-2.0
"""`guard check` as its user meets it: what it reads, prints and exits with."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main
from tests.policy.corpus import CORPUS, HEAD, with_rules

GOOD = with_rules("- deny: read\n  path: /etc/shadow")
WARNING = with_rules("- deny: read\n  path: /etc/ssh**")
BAD = with_rules("- deny: raed\n  path: /etc/shadow")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "warning.yaml").write_text(WARNING)
    return tmp_path


def test_a_clean_policy_is_summed_up_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "good.yaml"]) == Exit.CLEAN
    assert capsys.readouterr() == ("1 policy, 1 rule: no findings\n", "")


def test_a_finding_is_shown_with_its_line_and_the_exit_code_tells(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "bad.yaml"]) == Exit.FINDINGS
    out = capsys.readouterr().out
    assert " --> bad.yaml:8:13\n" in out
    assert "did you mean 'read'?" in out
    assert out.endswith("\n1 error in 1 file\n")


def test_findings_of_all_files_are_in_one_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "second.yaml").write_text(BAD)
    assert main(["check", "bad.yaml", "second.yaml"]) == Exit.FINDINGS
    assert capsys.readouterr().out.endswith("\n2 errors in 2 files\n")


def test_a_warning_fails_unless_only_errors_do(here: Path) -> None:
    assert main(["check", "warning.yaml"]) == Exit.FINDINGS
    assert main(["check", "--fail-on", "error", "warning.yaml"]) == Exit.CLEAN
    assert main(["check", "--fail-on", "error", "bad.yaml"]) == Exit.FINDINGS


def test_a_directory_stands_for_the_policies_below_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "all" / "deep").mkdir(parents=True)
    (here / "all" / ".hidden").mkdir()
    for number, name in enumerate(["z.yaml", "deep/b.yml", "a.yaml"]):
        (here / "all" / name).write_text(GOOD.replace("demo", f"p{number}"))
    (here / "all" / "notes.txt").write_text("not a policy")
    (here / "all" / ".hidden" / "c.yaml").write_text(BAD)
    assert main(["check", "--format", "json", "all"]) == Exit.CLEAN
    assert json.loads(capsys.readouterr().out)["policies"] == ["p2", "p0", "p1"]


def test_a_file_named_twice_is_read_once(here: Path) -> None:
    (here / "link.yaml").symlink_to("good.yaml")
    assert main(["check", "good.yaml", "./good.yaml", "link.yaml"]) == Exit.CLEAN


def test_one_name_in_two_files_shows_both(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other.yaml").write_text(GOOD)
    assert main(["check", "good.yaml", "other.yaml"]) == Exit.FINDINGS
    out = capsys.readouterr().out
    assert "--> other.yaml:2:7" in out
    assert "::: good.yaml:2:7" in out


def test_standard_input_is_a_file_named_dash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    assert main(["check", "-"]) == Exit.FINDINGS
    assert "--> <stdin>:8:13" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing.yaml", "empty", "a\0b"])
def test_what_cannot_be_read_is_named_and_the_rest_still_judged(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    assert main(["check", name, "bad.yaml"]) == Exit.UNABLE
    out, err = capsys.readouterr()
    assert err.startswith("guard: ") and ascii(name) in err
    assert out.endswith("1 error in 1 file\n")


def test_a_file_without_permission_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:  # root may read every file, so the kernel would not
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert main(["check", "good.yaml"]) == Exit.UNABLE
    assert capsys.readouterr().err == "guard: cannot read 'good.yaml': Permission denied\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_unprivileged_user_is_told_which_files_are_not_his_to_read(tmp_path: Path) -> None:
    for name, mode in (("secret.yaml", 0o600), ("good.yaml", 0o644)):
        (tmp_path / name).write_text(GOOD)
        (tmp_path / name).chmod(mode)
    (tmp_path / "locked").mkdir(mode=0o700)
    (tmp_path / "locked" / "p.yaml").write_text(GOOD)
    (tmp_path / "within.yaml").write_text(HEAD + "include: secret.yaml\nfile: {default: deny}\n")
    (tmp_path / "bad.yaml").write_text(BAD)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    # Once as root, so that every module is there: a source tree may be closed to others.
    program = (
        "import contextlib, io, os, sys, traceback; from guard.cli.main import main\n"
        "os.chdir(sys.argv[1])\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):"
        " main(['check', 'good.yaml']); main(['check', 'gone', 'bad.yaml', 'within.yaml'])\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[2:]))"
    )

    def as_nobody(*arguments: str) -> tuple[int, str, str]:
        run = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), "check", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=CORPUS.parent.parent,
            env={**os.environ, "PYTHONPATH": str(CORPUS.parent.parent)},
        )
        return run.returncode, run.stdout, run.stderr

    assert as_nobody("good.yaml", "secret.yaml", "locked", "locked/p.yaml") == (
        Exit.UNABLE,
        "1 policy, 1 rule: no findings\n",
        (
            "guard: cannot read 'secret.yaml': Permission denied\n"
            "guard: cannot read 'locked': Permission denied\n"
            "guard: cannot read 'locked/p.yaml': Permission denied\n"
        ),
    )
    code, out, err = as_nobody("within.yaml")
    assert (code, err) == (Exit.FINDINGS, "")
    assert out.startswith("error[G010]: ") and "Permission denied" in out


def test_a_name_that_is_not_text_can_be_shown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"caf\xe9.yaml")
    (here / name).write_text(BAD)
    assert main(["check", name]) == Exit.FINDINGS
    assert r"--> caf\udce9.yaml:8:13" in capsys.readouterr().out


def test_json_tells_what_text_tells(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "twice.yaml").write_text(HEAD + "mode: audit\nfile: {default: deny}\n")
    assert main(["check", "--format", "json", "bad.yaml", "twice.yaml"]) == Exit.FINDINGS
    document = json.loads(capsys.readouterr().out)
    assert (document["format"], document["errors"], document["warnings"]) == (1, 2, 0)
    verb, twice = document["findings"]
    assert (verb["code"], verb["severity"]) == ("G101", "error")
    place = {"file": "bad.yaml", "line": 8, "column": 13, "end_line": 8, "end_column": 17}
    assert verb["place"] == place
    assert verb["fix"] == {"place": place, "replacement": "read"}
    assert twice["related"][0]["place"]["line"] == 3


def test_a_terminal_gets_colour_unless_asked_not_to(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def output() -> str:
        main(["check", "bad.yaml"])
        return capsys.readouterr().out

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033" not in output()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\033[1;31merror[G101]\033[0m" in output()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in output()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\033" not in output()


# What `check` may load beyond what Python has loaded when it starts. Each name
# here costs start-up time; each forbidden one costs more than all of guard.
FORBIDDEN = {
    "asyncio", "bcc", "ctypes", "difflib", "email", "hypothesis", "importlib.metadata",
    "inspect.signature", "jsonschema", "logging", "multiprocessing", "numpy", "orjson", "pathlib",
    "rich", "shlex", "shutil", "socket", "sqlite3", "ssl", "structlog", "subprocess", "tempfile",
    "unittest", "urllib",
    "guard.kernel", "guard.daemon", "guard.audit", "guard.plan", "guard.policy.schema", "json",
}  # fmt: skip


def loaded_by(*arguments: str) -> set[str]:
    program = (
        "import sys; from guard.cli.main import main; main(sys.argv[1:]);"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=CORPUS.parent.parent,
        env={**os.environ, "PYTHONPATH": str(CORPUS.parent.parent)},
    )
    return set(run.stderr.split())


def test_check_imports_nothing_that_it_does_not_need() -> None:
    names = loaded_by("check", str(CORPUS / "good" / "everything.yaml"))
    assert "guard.policy.parse" in names
    assert {name for name in FORBIDDEN if name in names} == set()
