# SPDX-License-Identifier: Apache-2.0
"""The sinks on this host: a file that rotates and a disk that fills, and standard output."""

from __future__ import annotations

import errno
import gzip
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from guard.audit import sink_file
from guard.ship.sink import DELIVERED, Unavailable
from guard.ship.to_file import RotatedFile, Rotation, Stdout
from guard.ship.worker import Plan
from tests.ship.support import Bench, FakeClock, lines, messages, seq


def _file(
    tmp: Path, rotation: Rotation | None = None, clock: FakeClock | None = None
) -> RotatedFile:
    return RotatedFile(tmp / "audit.ndjson", rotation or Rotation(), clock or FakeClock())


def _numbers(data: bytes) -> list[int]:
    return [seq(line) for line in data.splitlines()]


def test_records_are_lines_of_a_private_file(tmp_path: Path) -> None:
    sink = _file(tmp_path)
    assert sink.send(messages(3)) == DELIVERED
    path = tmp_path / "audit.ndjson"
    assert _numbers(path.read_bytes()) == [0, 1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink.close()


def test_a_batch_is_on_the_disk_before_it_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    sink = _file(tmp_path)
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(Unavailable, match=r"audit.ndjson: Input/output error"):
        sink.send(messages(1))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_file_that_is_full_is_renamed_and_compressed(tmp_path: Path, compression: str) -> None:
    one = len(messages(1)[0].body) + 1
    sink = _file(tmp_path, Rotation(size=3 * one + 50, keep=2, compression=compression))
    for number in range(10):
        sink.send(messages(10)[number : number + 1])
    suffix = {"gzip": ".gz", "zstd": ".zst", "none": ""}[compression]

    def old(number: int) -> bytes:
        data = (tmp_path / f"audit.ndjson.{number}{suffix}").read_bytes()
        if compression == "gzip":
            return gzip.decompress(data)
        if compression == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return data

    assert _numbers((tmp_path / "audit.ndjson").read_bytes()) == [9]
    assert _numbers(old(1)) == [6, 7, 8]
    assert _numbers(old(2)) == [3, 4, 5]
    names = {"audit.ndjson", f"audit.ndjson.1{suffix}", f"audit.ndjson.2{suffix}"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())


def test_a_file_that_is_old_is_renamed_too(tmp_path: Path) -> None:
    clock = FakeClock()
    sink = _file(tmp_path, Rotation(after=3600, compression="none"), clock)
    sink.send(messages(1))
    clock.now += 3599
    sink.send(messages(1))
    assert not (tmp_path / "audit.ndjson.1").exists()
    clock.now += 1
    sink.send(messages(1))
    assert _numbers((tmp_path / "audit.ndjson.1").read_bytes()) == [0, 0]


def test_without_room_for_the_compressed_file_the_plain_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = _file(tmp_path, Rotation(size=10))
    sink.send(messages(1))
    monkeypatch.setattr("shutil.copyfileobj", full)
    assert sink.send(messages(1)) == DELIVERED
    assert {path.name for path in tmp_path.iterdir()} == {"audit.ndjson", "audit.ndjson.1"}


def test_a_file_that_somebody_else_rotates_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.ndjson"
    sink = _file(tmp_path)
    sink.send(messages(1))
    path.rename(tmp_path / "theirs")
    sink.send(messages(2))
    assert _numbers(path.read_bytes()) == [0, 1]
    path.rename(tmp_path / "theirs-2")
    path.touch(mode=0o600)
    sink.send(messages(3))
    assert _numbers(path.read_bytes()) == [0, 1, 2]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "audit.ndjson").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="Too many levels of symbolic links"):
        _file(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_missing_is_a_failure_that_may_end(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory"):
        RotatedFile(tmp_path / "missing/audit.ndjson", Rotation(), FakeClock())


def test_a_disk_that_fills_up_and_is_emptied_again_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write goes as far as there is room, as ENOSPC does; lines stay whole."""
    room = [1500]
    write = os.write

    def limited(file: int, data: Sequence[int]) -> int:
        if not os.readlink(f"/proc/self/fd/{file}").endswith("audit.ndjson"):
            return write(file, bytes(data))
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, bytes(data[: room[0]]))
        room[0] -= done
        return done

    monkeypatch.setattr(sink_file.os, "write", limited)
    bench = Bench(tmp_path / "state", lines(*range(20)), Plan(records=8))
    target = _file(tmp_path)
    bench.sink.make = lambda: target  # type: ignore[method-assign]
    monkeypatch.setattr(target, "close", lambda: None)
    bench.run(600)
    assert not bench.worker.stats.up
    assert bench.worker.stats.because.endswith("audit.ndjson: No space left on device")
    assert bench.spool.acked < 20
    whole = _numbers((tmp_path / "audit.ndjson").read_bytes())
    assert whole == list(range(len(whole)))
    room[0] = 1 << 20
    bench.run(120)
    assert _numbers((tmp_path / "audit.ndjson").read_bytes()) == list(range(20))
    assert bench.spool.acked == 20
    bench.assert_law()


def test_standard_output_gets_lines() -> None:
    reads, writes = os.pipe()
    sink = Stdout(writes)
    assert sink.send(messages(2)) == DELIVERED
    assert _numbers(os.read(reads, 1 << 16)) == [0, 1]
    sink.close()
    os.close(reads)
    os.close(writes)


def test_what_a_full_pipe_did_not_take_comes_again() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    sink = Stdout(writes)
    sink._sink._patience_ms = 0
    batch = messages(200)  # more than a pipe's 64 KiB
    outcome = sink.send(batch)
    first = outcome.again[0]
    assert 0 < first < 200 and list(outcome.again) == list(range(first, 200))
    assert outcome.because == "standard output: full for too long"
    os.close(reads)
    os.close(writes)
