# SPDX-License-Identifier: Apache-2.0
"""The scripts of `guard completion`, asked by the shells that they are for."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from guard.cli.completion import words
from guard.cli.exits import Exit
from guard.cli.main import COMMANDS, main
from guard.policy.codes import Code

CODES = [code.number for code in Code]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"there is no {shell} here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nginx.yaml").touch()
    return tmp_path


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == Exit.CLEAN
    return capsys.readouterr().out


# A line that ends where the cursor is, and what may stand there.
CASES = [
    (["chec"], ["check"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["check", "--fail"], ["--fail-on"]),
    (["check", "--format", "s"], ["sarif"]),
    (["check", "--fail-on", ""], ["error", "warning"]),
    (["explain", "G30"], [code for code in CODES if code.startswith("G30")]),
    (["run", "--pers"], ["--persist"]),
    (["run", "nginx.yaml", "--", "base6"], ["base64"]),
    (["status", "--"], ["--help", "--json"]),
    (["schema", ""], []),
]


def ask_bash(text: str, line: list[str]) -> list[str]:
    program = f"{text}\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _guard; printf '%s\\n' "
    run = subprocess.run(
        ["bash", "--norc", "-c", program + '"${COMPREPLY[@]}"', "bash", "guard", *line],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return sorted(set(run.stdout.split()))


@needs("bash")
@pytest.mark.parametrize(("line", "expected"), CASES, ids=" ".join)
def test_bash_completes(
    here: Path, line: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask_bash(script("bash", capsys), line) == expected


@needs("bash")
def test_bash_completes_after_an_equals_sign(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script("bash", capsys)
    assert ask_bash(text, ["check", "--format", "=", "g"]) == ["github"]
    assert ask_bash(text, ["check", "--fail-on", "="]) == ["error", "warning"]


@needs("bash")
def test_bash_itself_completes_names_of_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "guard.bash").write_text(script("bash", capsys))
    lines = ["check ngi", "check --fix ngi", "run --log ngi", "run x -- cat ngi"]
    setup = "bind 'set enable-bracketed-paste off'; PS1=; source ./guard.bash\n"
    asked = "".join(f"guard {line}\t\n" for line in lines)
    out = on_a_terminal(
        ["bash", "--norc", "--noprofile"],
        f'{setup}guard() {{ echo "LINE: $*"; }}\n{asked}exit\n',
    )
    for line in lines:
        assert f"LINE: {line}nx.yaml\r\n" in out


def on_a_terminal(command: list[str], typed: str) -> str:
    """What an interactive shell writes to its terminal until it exits."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.environ["TERM"] = "dumb"
            os.execvp(command[0], command)  # noqa: S606 - a shell is what is tested
        finally:
            os._exit(127)
    os.write(terminal, typed.encode())
    out = b""
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is gone
            break
        if not some:
            break
        out += some
    os.waitpid(pid, 0)
    os.close(terminal)
    return out.decode("utf-8", "replace")


@needs("zsh")
def test_zsh_completes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "_guard").write_text(script("zsh", capsys))
    # Each has one answer, which the shell writes out; guard then shows its line.
    asked = {
        "chec\t": "check",
        "completion b\t": "completion bash",
        "check --fo\tsa\t": "check --format=sarif",
        "check --fail-on e\t": "check --fail-on error",
        "check ngi\t": "check nginx.yaml",
        "explain G31\t0": "explain G310",
        "run nginx.yaml -- cat ngi\t": "run nginx.yaml -- cat nginx.yaml",
    }
    setup = (
        "PROMPT=; unsetopt zle_bracketed_paste; bindkey '^I' complete-word; "
        "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D\n"
        'guard() { print -r -- "LINE: $*"; }\n'
    )
    lines = "".join(f"guard {line}\n" for line in asked)
    out = on_a_terminal(["zsh", "-f", "-i"], f"{setup}{lines}exit\n")
    shown = [line.removeprefix("LINE: ").rstrip() for line in out.split("\r\n") if "LINE:" in line]
    assert [line for line in shown if "print" not in line] == list(asked.values())


@needs("fish")
@pytest.mark.parametrize(("line", "expected"), CASES, ids=" ".join)
def test_fish_completes(
    here: Path, line: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask_fish(here, script("fish", capsys), line)
    if line[-1] == "--":
        assert found == ["--help", "--json"]
    elif "--" not in line:  # a command of its own is nothing that fish's script can give
        assert found == expected


@needs("fish")
def test_fish_completes_names_of_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = script("fish", capsys)
    for line in (["check", "ngi"], ["run", "--log", "ngi"], ["run", "x", "--", "cat", "ngi"]):
        assert ask_fish(here, text, line) == ["nginx.yaml"]


def ask_fish(here: Path, text: str, line: list[str]) -> list[str]:
    (here / "guard.fish").write_text(text)
    asked = f"guard {' '.join(line)}"
    run = subprocess.run(
        ["fish", "--no-config", "-c", "source guard.fish; complete -C $argv[1]", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(here)},
    )
    assert run.stderr == ""
    return sorted({answer.split("\t")[0] for answer in run.stdout.splitlines()})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_in_the_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    known = words()
    assert [each.name for each in known] == list(COMMANDS)
    for command in known:
        assert command.name in text
        for option in command.options:
            assert all(name.lstrip("-") in text for name in option.names)
            assert "%%" not in option.help


def test_another_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])
    assert caught.value.code == Exit.USAGE
    assert "tcsh" in capsys.readouterr().err
