# SPDX-License-Identifier: Apache-2.0
"""Files and pipes: whole lines only, and losses counted, on real descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.sink_file import FileSink, StdoutSink
from guard.audit.sinks import SinkError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@contextlib.contextmanager
def full_at(size: int) -> Iterator[None]:
    """Makes the disk seem full: a file may grow to so many bytes and then EFBIG.

    Only around the write that is tested: standard output may be a file as well.
    """
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)


def test_lines_are_appended_and_only_the_owner_reads_them(path: Path) -> None:
    sink = FileSink(path)
    sink.emit([b"1", b"2"])
    sink.emit([])
    sink.emit([b"3"])
    sink.flush()
    sink.close()
    sink.close()
    assert path.read_bytes() == b"1\n2\n3\n"
    assert path.stat().st_mode & 0o777 == 0o600
    again = FileSink(path)
    again.emit([b"4"])
    assert path.read_bytes() == b"1\n2\n3\n4\n"


@pytest.mark.parametrize("room", range(26))
def test_a_full_disk_leaves_whole_lines_and_an_exact_count(path: Path, room: int) -> None:
    sink = FileSink(path)
    sink.emit([b"before"])
    with full_at(7 + room), pytest.raises(SinkError) as caught:
        sink.emit([b"12345", b"6789", b"abcdefghijklmn"])
    kept = 0 if room < 6 else 1 if room < 11 else 2
    assert caught.value.lost == 3 - kept
    assert path.read_bytes() == b"before\n12345\n6789\n"[: [7, 13, 18][kept]]
    sink.emit([b"after"])
    assert path.read_bytes().splitlines()[-1] == b"after"
    assert path.read_bytes().count(b"\n") == kept + 2


def test_a_line_torn_by_a_crash_ends_where_the_next_begins(path: Path) -> None:
    path.write_bytes(b"whole\ntor")
    sink = FileSink(path)
    sink.emit([b"next"])
    sink.emit([b"last"])
    assert path.read_bytes() == b"whole\ntor\nnext\nlast\n"


def test_a_torn_line_is_mended_after_a_failure_as_well(path: Path) -> None:
    path.write_bytes(b"tor")
    sink = FileSink(path)
    with full_at(3), pytest.raises(SinkError) as caught:
        sink.emit([b"lost"])
    assert caught.value.lost == 1
    sink.emit([b"next"])
    assert path.read_bytes() == b"tor\nnext\n"


def test_the_mend_itself_may_be_all_that_fits(path: Path) -> None:
    path.write_bytes(b"tor")
    sink = FileSink(path)
    with full_at(4), pytest.raises(SinkError) as caught:
        sink.emit([b"lost"])
    assert caught.value.lost == 1
    sink.emit([b"next"])
    assert path.read_bytes() == b"tor\nnext\n"


def test_reopen_follows_the_name_after_a_rotation(path: Path) -> None:
    sink = FileSink(path)
    sink.emit([b"1"])
    path.rename(path.with_suffix(".1"))
    sink.emit([b"2"])
    sink.reopen()
    sink.emit([b"3"])
    assert path.with_suffix(".1").read_bytes() == b"1\n2\n"
    assert path.read_bytes() == b"3\n"


def test_reopen_that_fails_goes_on_in_the_old_file(path: Path) -> None:
    sink = FileSink(path)
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    with pytest.raises(SinkError) as caught:
        sink.reopen()
    assert caught.value.lost == 0
    sink.emit([b"1"])
    assert path.with_suffix(".1").read_bytes() == b"1\n"


def test_links_and_what_is_no_file_are_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        FileSink(path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        FileSink(tmp_path / "fifo")
    assert not (tmp_path / "elsewhere").exists()


def test_stdout_takes_lines_and_is_not_closed() -> None:
    readable, writable = os.pipe()
    sink = StdoutSink(writable)
    sink.emit([b"1", b"2"])
    sink.flush()
    sink.close()
    sink.emit([b"3"])
    assert os.read(readable, 99) == b"1\n2\n3\n"
    os.close(readable)
    with pytest.raises(SinkError, match="Broken pipe") as caught:
        sink.emit([b"4", b"5"])
    assert caught.value.lost == 2
    os.close(writable)


def test_a_full_pipe_loses_whole_lines_and_goes_on_when_it_is_read() -> None:
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    os.set_blocking(readable, False)
    sink = StdoutSink(writable, patience_ms=0)
    line = b"x" * 5000  # no divisor of the pipe's size: one line is torn
    lost = 0
    for _ in range(30):
        try:
            sink.emit([line, line])
        except SinkError as error:
            lost += error.lost
    first = os.read(readable, 1 << 20)
    sink.emit([b"after"])
    torn = first.split(b"\n")[-1]
    assert lost == 60 - first.count(b"\n") > 0
    assert 0 < len(torn) < 5000
    assert os.read(readable, 99) == b"\nafter\n"
    os.close(readable)
    os.close(writable)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=9))
def test_a_reader_finds_the_lines_that_were_given(lines: list[bytes]) -> None:
    readable, writable = os.pipe()
    StdoutSink(writable).emit(lines)
    os.close(writable)
    with os.fdopen(readable, "rb") as file:
        assert file.read().split(b"\n")[:-1] == lines
