# SPDX-License-Identifier: Apache-2.0
"""The metrics: as Prometheus' own parser reads them, from the file and from the socket."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guard.ship.metrics import MetricsSocket, render, write_file
from guard.ship.stats import Stats

STATS = {
    "siem": Stats(up=True, read=12, delivered=9, refused=1, in_hand=2, last_success=1.5e9),
    "local": Stats(
        failures=3, failing_since=1.7e9 + 0.25, backlog_records=7, backlog_bytes=1 << 40
    ),
}


def _read(data: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["sink"]): sample.value
        for family in text_string_to_metric_families(data.decode())
        for sample in family.samples
    }


def test_every_count_is_there_for_every_sink() -> None:
    told = _read(render(STATS))
    assert told["guard_ship_up", "siem"] == 1
    assert told["guard_ship_up", "local"] == 0
    assert told["guard_ship_read_records_total", "siem"] == 12
    assert told["guard_ship_delivered_records_total", "siem"] == 9
    assert told["guard_ship_refused_records_total", "siem"] == 1
    assert told["guard_ship_in_hand_records", "siem"] == 2
    assert told["guard_ship_last_success_timestamp_seconds", "siem"] == 1.5e9
    assert told["guard_ship_failing_since_timestamp_seconds", "local"] == 1.7e9 + 0.25
    assert told["guard_ship_backlog_bytes", "local"] == 1 << 40
    assert len(told) == 2 * 15


def test_the_file_is_replaced_as_a_whole_and_readable_by_the_exporter(tmp_path: Path) -> None:
    path = tmp_path / "guard.prom"
    write_file(path, b"old\n")
    write_file(path, render(STATS))
    assert path.read_bytes() == render(STATS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["guard.prom"]


def _get(path: Path, request: bytes = b"GET /metrics HTTP/1.0\r\n\r\n") -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(str(path))
        asking.sendall(request)
        return b"".join(iter(lambda: asking.recv(65536), b""))


def test_the_socket_answers_http_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    serving = MetricsSocket(path, lambda: render(STATS))
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        for _ in range(3):
            head, _, body = _get(path).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 200 OK\r\n")
            assert body == render(STATS)
    finally:
        serving.close()
    assert not path.exists()


def test_a_caller_that_hangs_up_costs_only_its_own_answer(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    serving = MetricsSocket(path, lambda: b"x" * 10_000_000)
    try:
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(path))
            rude.sendall(b"GET")
        assert _get(path).endswith(b"xxx")
    finally:
        serving.close()


def test_the_socket_of_a_run_that_was_killed_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    MetricsSocket(path, lambda: b"").close()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        MetricsSocket(path, lambda: b"")
