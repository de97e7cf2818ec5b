# SPDX-License-Identifier: Apache-2.0
"""`guard run --spool…`: every setting reaches the spool, and what makes no sense is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from guard.audit.clock import Clock
from guard.audit.lifecycle import Lifecycle
from guard.audit.origin import read_origin
from guard.audit.spool import Limits
from guard.audit.spool_disk import Disk
from guard.cli import spool_options
from guard.cli.exits import Exit
from guard.cli.main import main
from guard.cli.run import add_arguments
from guard.daemon import stream
from guard.daemon.stream import Spooled
from tests.policy.corpus import with_rules


def told(*words: str) -> Spooled | None:
    """What `guard run` makes of a command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return spool_options.spooled(parser.parse_args([*words, "x.yaml"]))


def test_without_a_spool_there_is_none() -> None:
    assert told() is None


def test_a_spool_alone_has_the_defaults() -> None:
    assert told("--spool", "/s") == Spooled(Path("/s"), None, Limits())


def test_every_setting_is_taken() -> None:
    words = ["--spool", "/s", "--key", "k", "--spool-size", "64MiB", "--spool-age", "7d"]
    kept = Limits(bytes=64 << 20, age=7 * 86400.0, segment_bytes=2 << 20, sync_each=True)
    assert told(*words, "--spool-sync", "batch") == Spooled(Path("/s"), Path("k"), kept)


def test_flushing_once_a_second_is_the_other_way() -> None:
    asked = told("--spool", "/s", "--spool-sync", "second")
    assert asked is not None and not asked.limits.sync_each


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--spool-size", "15MiB", "'15MiB' is no size of a spool: bytes, or a number with"),
        ("--spool-size", "1GB", "from 16MiB"),
        ("--spool-size", "-1", "'-1' is no size"),
        ("--spool-age", "59s", "'59s' is no age of records: a number with s, m, h or d, from 60s"),
        ("--spool-age", "soon", "'soon' is no age"),
        ("--spool-sync", "never", "invalid choice: 'never' (choose from 'second', 'batch')"),
    ],
)
def test_a_value_that_is_none_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], option: str, value: str, why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        told("--spool", "/s", option, value)
    assert ended.value.code == Exit.USAGE
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("--spool-size", "1GiB"), ("--spool-age", "1d"), ("--spool-sync", "batch"), ("--key", "k")],
)
def test_a_setting_of_no_spool_is_a_usage_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, str],
) -> None:
    policy = tmp_path / "good.yaml"
    policy.write_text(with_rules("- deny: read\n  path: /etc/shadow"))
    assert main(["run", *words, str(policy)]) == Exit.USAGE
    assert (
        capsys.readouterr().err == f"guard run: {words[0]} is about a --spool, and none is named\n"
    )


def test_the_settings_hold_in_the_spool_that_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By batch, a record is on the disk when append returns; else a thread flushes it later."""
    synced: list[int] = []
    monkeypatch.setattr(Disk, "sync", lambda _, file: synced.append(file))
    clock = Clock()
    for policy in spool_options.SYNCS:
        asked = told("--spool", str(tmp_path / policy), "--spool-sync", policy)
        assert asked is not None
        trail = stream.open_trail(asked, Lifecycle(read_origin("x@1"), clock))
        synced.clear()
        trail.spool.append("denials", [b"{}"])
        written = trail.spool._live["denials"].file
        assert (written in synced) is (policy == "batch")
        trail.close()
