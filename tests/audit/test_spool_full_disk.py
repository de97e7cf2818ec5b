# SPDX-License-Identifier: Apache-2.0
"""The spool on a real file system that is really full."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.audit.spool import Limits, Spool
from guard.audit.spool_losses import SpoolCause
from guard.audit.spool_reader import SpoolReader
from tests.audit.spools import assert_law, numbered, numbers, read_all, report

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")

LIMITS = Limits(bytes=64 << 20, segment_bytes=32 << 10)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "guard-test", str(where)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no right to mount")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(path: Path) -> None:
    """Writes to a file until there is no room."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_spool_that_fills_the_disk_goes_on_by_expiring_others(disk: Path) -> None:
    spool = Spool(disk / "s", LIMITS)
    reader = SpoolReader(disk / "s", "one")
    for number in range(2_000):
        spool.append("others", numbered([number], size=200))
        if number % 10 == 0:
            assert spool.append("denials", numbered([number])) == 0
    expired = spool.losses.total(SpoolCause.EXPIRED, "others", "one")
    assert expired > 500
    assert spool.losses.total(SpoolCause.EXPIRED, "denials") == 0
    lines = read_all(reader)
    assert numbers(lines)[:200] == list(range(0, 2_000, 10))
    assert numbers(lines)[200:] == list(range(expired, 2_000))
    assert_law(spool, reader, {"denials": 200, "others": 2_000})
    spool.close()


def test_a_disk_that_others_fill_costs_records_until_there_is_room(disk: Path) -> None:
    spool = Spool(disk / "s", LIMITS)
    reader = SpoolReader(disk / "s", "one")
    spool.append("denials", numbered(range(5)))
    hog = disk / "hog"
    fill(hog)
    lost = sum(spool.append("denials", numbered([number])) for number in range(5, 200))
    assert lost > 100
    spool.tick(report)  # no room for this either, and no error
    hog.unlink()
    assert spool.append("denials", numbered([200])) == 0
    spool.tick(report)
    lines = read_all(reader)
    assert numbers(lines) == [*range(200 - lost), 200]
    told = json.loads(lines[-1])["lost"]
    assert (told["cause"], told["records"]) == ("spool-full", lost)
    assert told["detail"] == "No space left on device"
    # And a start on a disk that is full again finds what is there.
    spool.close()
    fill(hog)
    again = Spool(disk / "s", LIMITS)
    assert again.written("denials") == 200 - lost + 2
    again.close()
