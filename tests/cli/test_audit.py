# SPDX-License-Identifier: Apache-2.0
"""`guard audit`: what it prints, and what it says of a falsified trail."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.keys import load_signer
from guard.audit.lifecycle import Lifecycle
from guard.audit.select import Selection, moment, strings
from guard.audit.spool import Spool
from guard.audit.spool_files import segments
from guard.audit.statistics import Statistics
from guard.audit.trail import Trail
from guard.cli.main import main
from tests.audit.samples import ORIGIN, fixed_clock

GUARD = (sys.executable, "-m", "guard.cli.main")


def decision(number: int, **members: Any) -> bytes:
    record: dict[str, Any] = {
        "schema": 2,
        "event": "file.open",
        "time": f"2026-03-16T09:05:{number:02}.000000Z",
        "host": {"name": "web", "id": "h", "boot": "b"},
        "epoch": "e",
        "cpu": 0,
        "seq": number,
        "verdict": "denied",
        "verbs": ["read"],
        "policy": {"name": "nginx", "mode": "enforce", "generation": 1},
        "rule": {"id": "no-shadow"},
        "others": [],
        "object": {"kind": "file", "path": f"/etc/{number}"},
        "process": {"pid": 100 + number, "exe": "/usr/bin/cat"},
        "suppressed": 2,
    }
    return json.dumps(record | members, separators=(",", ":")).encode()


@pytest.fixture
def trail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A spool with four records in two series, checkpointed by a key."""
    assert main(["audit", "keygen", str(tmp_path / "k")]) == 0
    capsys.readouterr()
    spool = Spool(tmp_path / "s")
    made = Trail(spool, Lifecycle(ORIGIN, fixed_clock()), load_signer(tmp_path / "k"))
    made.sink("denials").emit([decision(1), decision(4, policy={"name": "db"}, verbs=["write"])])
    made.sink("others").emit([decision(2, verdict="allowed"), decision(3, event="net.connect")])
    made.close()
    return tmp_path / "s"


def seqs(text: str) -> list[int]:
    return [one["seq"] for one in map(json.loads, text.splitlines()) if "verdict" in one]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [1, 2, 3, 4]),
        (["--verdict", "denied"], [1, 3, 4]),
        (["--policy", "db"], [4]),
        (["--verb", "write", "--verb", "list"], [4]),
        (["--event", "net"], [3]),
        (["--event", "file.open"], [1, 2, 4]),
        (["--pid", "102"], [2]),
        (["--exe", "*/cat", "--path", "/etc/*3"], [3]),
        (["--exe", "*/dog"], []),
        (["--since", "2026-03-16T09:05:02Z", "--until", "2026-03-16T09:05:04Z"], [2, 3]),
        (["--since", "1s"], []),
    ],
)
def test_cat_merges_the_series_by_time_and_selects(
    trail: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[int]
) -> None:
    assert main(["audit", "cat", "--json", *options, str(trail)]) == 0
    out = capsys.readouterr().out
    assert seqs(out) == expected
    assert '"chain"' not in out


def test_cat_tells_people_in_a_sentence_and_nothing_a_terminal_acts_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_bytes(decision(1, object={"kind": "file", "path": "/\x1b[31m\u202e"}) + b"\nnoise\n")
    assert main(["audit", "cat", str(log)]) == 0
    assert capsys.readouterr().out == (
        "2026-03-16T09:05:01.000000Z file.open /\\x1b[31m\\u202e: denied "
        "to /usr/bin/cat (101) by nginx/no-shadow\n"
    )


def test_raw_is_what_is_stored(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "cat", "--raw", str(trail)]) == 0
    parts = [
        segment.path.read_text()
        for series in ("denials", "others")
        for segment in segments(trail, series)
    ]
    assert capsys.readouterr().out == "".join(parts)


def test_grep_finds_text_in_values_and_says_by_its_exit_whether_it_did(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "grep", "--json", r"^/etc/[34]$", str(trail)]) == 0
    assert seqs(capsys.readouterr().out) == [3, 4]
    assert main(["audit", "grep", "verdict", str(trail)]) == 1
    assert main(["audit", "grep", "(", str(trail)]) == 2
    assert "'(' is no regular expression" in capsys.readouterr().err


def test_stats_count(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "stats", "--json", str(trail)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == 6  # four, and two checkpoints
    assert told["verdicts"] == {"denied": 3, "allowed": 1}
    assert told["policies"] == {"nginx": 3, "db": 1}
    assert told["suppressed"] == 8
    assert main(["audit", "stats", str(trail)]) == 0
    assert "\nverdicts\n           3  denied\n" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["flat", "ocsf", "ecs", "cef", "rfc5424"])
def test_export_speaks_every_format(
    trail: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(["audit", "export", "--format", form, str(trail)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    beginning = {"cef": "CEF:", "rfc5424": "<"}.get(form, "{")
    assert all(line.startswith(beginning) for line in lines)


def test_verify_finds_no_flaw_in_what_guard_wrote(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "verify", "--key", f"{trail.parent}/k.pub", "--whole", str(trail)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 records in 3 batches: no flaw\n")
    assert "  others: records 0 to 1, head " in out
    assert "    signed up to record 1, 2026-03-16T" in out


def test_verify_names_the_record_that_was_changed(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = segments(trail, "others")[0].path
    victim.write_bytes(victim.read_bytes().replace(b"/etc/2", b"/etc/9"))
    assert main(["audit", "verify", str(trail)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == (
        f"{victim}:1: changed: record 0 of others (h/b/e/0/2) was changed"
    )
    assert "without --key nobody vouches" in captured.err
    assert main(["audit", "verify", "--json", str(trail)]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["flaw"], finding["record"]) == ("changed", "h/b/e/0/2")


def test_verify_holds_a_trail_against_checkpoints_kept_elsewhere(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = trail.parent / "siem.ndjson"
    assert main(["audit", "export", "--event", "audit.checkpoint", str(trail)]) == 0
    kept.write_text(capsys.readouterr().out)
    # Root on the host cuts the end off, checkpoints and all.
    for victim in segments(trail, "others"):
        victim.path.unlink()
    last = segments(trail, "denials")[-1].path
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:2]))
    assert main(["audit", "verify", str(trail)]) == 0
    assert main(["audit", "verify", "--checkpoint", str(kept), str(trail)]) == 1
    out = capsys.readouterr().out
    assert "truncated: others ends before record 0" in out
    assert "2 records are missing at the end" in out


def test_without_a_trail_the_message_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "verify", str(tmp_path)]) == 3
    assert capsys.readouterr().err == (
        f"guard: {tmp_path} is no spool: it has no file 'format'\n"
        "  remedy: name a spool's directory or a log\n"
    )
    assert main(["audit", "cat", str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err == f"guard: {tmp_path}/none: No such file or directory\n"


def test_a_key_is_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "keygen", str(tmp_path / "k")]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(rf"key [0-9a-f]{{16}}: {tmp_path}/k signs, {tmp_path}/k.pub checks\n", out)
    assert main(["audit", "keygen", str(tmp_path / "k")]) == 3
    assert "is there already and stays as it is" in capsys.readouterr().err


def test_cat_follows_a_spool_as_it_grows(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append("denials", [decision(1)])
    reader = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "guard.cli.main",
            "audit",
            "cat",
            "-f",
            "--json",
            str(tmp_path / "s"),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    assert reader.stdout is not None
    try:
        assert json.loads(reader.stdout.readline())["seq"] == 1
        spool.append("others", [decision(2)])
        assert json.loads(reader.stdout.readline())["seq"] == 2
    finally:
        reader.send_signal(signal.SIGTERM)
        reader.wait()
        reader.stdout.close()


NAMES = ["event", "time", "policy", "name", "process", "object", "lost", "count", "verdict"]
NAMES += ["verbs", "others", "suppressed"]
ANY = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner) | st.lists(inner),
)


@given(ANY)
def test_records_of_any_shape_are_selected_and_counted_without_an_error(value: Any) -> None:
    record = value if isinstance(value, dict) else {"event": value}
    Selection(policies=frozenset("a"), verbs=frozenset("b"), exe="*", path="*").takes(record)
    Selection(events=frozenset("a"), pattern=re.compile("x")).takes(record)
    Statistics().add(record)
    list(strings(record))


def test_times_are_read_as_people_write_them() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 3, 16, 12, tzinfo=UTC)
    assert moment("90s", now) == "2026-03-16T11:58:30.000000Z"
    assert moment("2d", now) == "2026-03-14T12:00:00.000000Z"
    assert moment("2026-03-16T10:00:00+02:00", now) == "2026-03-16T08:00:00.000000Z"
    assert moment("2026-03-16", now) == "2026-03-16T00:00:00.000000Z"
    with pytest.raises(ValueError, match="'soon' is no time: 90s, 10m, 2h or 7d ago, or 2026"):
        moment("soon", now)
