# SPDX-License-Identifier: Apache-2.0
"""Who changed a running guard is in its records, by the kernel's word and not his own."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from guard.audit.lifecycle import Lifecycle
from guard.audit.schema import record_schema
from guard.cli import controls, main
from guard.cli.exits import Exit
from guard.daemon import control
from guard.daemon.control import ARGUMENTS, DETAIL, LIMIT, WORD, Listener, tell
from guard.errors import HostError
from tests.audit.samples import ORIGIN, fixed_clock

SCHEMA = Draft202012Validator(record_schema())
WORDS = st.text(st.characters(), max_size=300)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with Listener("host", lambda uid: b"root" if uid == 0 else None, tmp_path / "run") as made:
        yield made


def told(listener: Listener) -> list[dict[str, Any]]:
    lines = listener.records(Lifecycle(ORIGIN, fixed_clock()).control_called)
    return [json.loads(line) for line in lines]


def test_a_call_is_a_record_with_the_process_that_made_it(
    listener: Listener, tmp_path: Path
) -> None:
    assert tell("host", "reload", ["host"], "refused", "a.yaml:3: wrong", tmp_path / "run")
    (one,) = told(listener)
    assert (one["event"], one["command"], one["arguments"]) == (
        "control.called",
        "reload",
        ["host"],
    )
    assert (one["outcome"], one["detail"]) == ("refused", "a.yaml:3: wrong")
    assert (one["caller"]["pid"], one["caller"]["uid"]) == (os.getpid(), os.getuid())
    assert one["caller"]["exe"] == os.readlink("/proc/self/exe")
    assert told(listener) == []


def test_without_a_listener_nothing_is_told_and_nobody_waits(tmp_path: Path) -> None:
    assert not tell("host", "reload", [], "done", directory=tmp_path / "none")


def test_another_instances_guard_makes_the_record_where_the_own_one_is_gone(
    listener: Listener, tmp_path: Path
) -> None:
    (tmp_path / "run" / "edge.control").touch()  # of a guard that was killed
    assert tell("edge", "unload", ["edge"], "done", directory=tmp_path / "run")
    assert [one["command"] for one in told(listener)] == ["unload"]


def test_a_listener_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    dead = Listener("host", directory=tmp_path)
    with Listener("host", directory=tmp_path) as listener:
        assert tell("host", "reload", [], "done", directory=tmp_path)
        assert len(told(listener)) == 1
    dead._socket.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_only_root_gets_there(listener: Listener, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            try:
                to.sendto(b"{}", os.fspath(tmp_path / "run" / "host.control"))
            except PermissionError:
                os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert told(listener) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS, st.lists(WORDS, max_size=2 * ARGUMENTS), WORDS)
def test_any_words_fit_and_are_a_record_of_the_schema(
    listener: Listener, tmp_path: Path, command: str, words: list[str], detail: str
) -> None:
    assert tell("host", command[:20], words, "done", detail, tmp_path / "run")
    (one,) = told(listener)
    assert one["outcome"] == "done"
    assert len(one["arguments"]) <= ARGUMENTS
    assert all(len(word) <= WORD for word in one["arguments"])
    assert len(one["detail"]) <= DETAIL
    SCHEMA.validate(one)


def test_the_longest_words_fit(listener: Listener, tmp_path: Path) -> None:
    words = ["\U0001f600" * WORD] * ARGUMENTS
    assert tell("host", "set", words, "done", "\U0001f600" * DETAIL, tmp_path / "run")
    (one,) = told(listener)
    assert (one["command"], len(one["arguments"])) == ("set", ARGUMENTS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 4000,
        b'{"command":1,"arguments":[],"outcome":"done","detail":null}',
        b'{"command":"x","arguments":[1],"outcome":"done","detail":null}',
        b'{"command":"x","arguments":[],"outcome":"won","detail":null}',
        b'{"command":"x","arguments":[],"outcome":"done","detail":{}}',
        json.dumps(
            {"command": "x", "arguments": ["a"] * 33, "outcome": "done", "detail": None}
        ).encode(),
        b'{"command":"x","arguments":[],"outcome":"done","detail":null}'.ljust(LIMIT + 1),
    ],
)
def test_what_cannot_be_read_is_a_record_all_the_same(
    listener: Listener, tmp_path: Path, data: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(data, os.fspath(tmp_path / "run" / "host.control"))
    (one,) = told(listener)
    assert (one["command"], one["outcome"]) == ("unknown", "failed")
    assert one["caller"]["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(Exit.CLEAN, "done"), (Exit.FINDINGS, "refused"), (Exit.NO_DAEMON, "failed")],
)
def test_the_exit_code_is_the_outcome(
    monkeypatch: pytest.MonkeyPatch, code: Exit, outcome: str
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(control, "tell", lambda *call: calls.append(call))
    assert controls.recorded("reload", ["x"], lambda: code) == code
    assert calls == [("host", "reload", ["x"], outcome, None)]


def test_an_error_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(control, "tell", lambda *call: calls.append(call))

    def fail() -> int:
        raise HostError("nothing waits")

    with pytest.raises(HostError):
        controls.recorded("confirm", [], fail)
    assert calls == [("host", "confirm", [], "failed", "nothing waits")]


@pytest.mark.parametrize("words", [["reload", "x"], ["set", "list", "x"], ["confirm"], ["unload"]])
def test_commands_that_change_guard_are_told(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def recorded(name: str, own: list[str], _call: object) -> int:
        seen.append((name, own))
        return 0

    monkeypatch.setattr(controls, "recorded", recorded)
    assert main.main(words) == Exit.CLEAN
    assert seen == [(words[0], words[1:])]
