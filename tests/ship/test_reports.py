# SPDX-License-Identifier: Apache-2.0
"""The shipper's records about itself: of the schema, kept when there is room, counted if not."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from guard.audit.schema import record_schema
from guard.audit.spool_files import DENIALS, OTHERS
from guard.audit.spool_losses import SpoolCause
from guard.ship.formats import FORMATS, renderer
from guard.ship.reports import REASON_LIMIT, Reports, ShipRecords
from guard.ship.source import SpoolSource
from tests.audit.samples import ORIGIN, fixed_clock

VALIDATOR = jsonschema.Draft202012Validator(record_schema())


def _lines() -> list[bytes]:
    records = ShipRecords(ORIGIN, fixed_clock())
    hostile = "HTTP 400: \x1b[2J\ud800\n\u2028" + "x" * 1000
    return [
        records.started("0.1.0"),
        records.sink_turned("sink.failing", "siem", hostile, 1, 0),
        records.sink_turned("sink.recovered", "siem", "", 7, 3_600_000),
        records.sink_turned("sink.refused", "siem", "HTTP 400", 3, 0),
        records.ended("SIGTERM"),
    ]


def test_they_are_as_the_schema_says_and_numbered() -> None:
    told = [json.loads(line) for line in _lines()]
    for one in told:
        VALIDATOR.validate(one)
    assert [one["seq"] for one in told] == list(range(5))
    assert len(told[1]["because"]) == REASON_LIMIT
    assert all(line.isascii() and line.decode().isprintable() for line in _lines())


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_takes_them(form: str) -> None:
    render = renderer(form)
    for line in _lines():
        body = render(json.loads(line), line)
        assert body and b"\n" not in body


def test_they_wait_in_a_spool_of_their_own(tmp_path: Path) -> None:
    reports = Reports(tmp_path / "own", ORIGIN, fixed_clock())
    reports.put(lambda records: records.started("0.1.0"))
    reports.put(lambda records: records.sink_turned("sink.failing", "siem", "down", 1, 0))
    source = SpoolSource(tmp_path / "own", "siem")
    batch = source.read(10, 1 << 20)
    assert [json.loads(line)["event"] for line in batch.records] == ["ship.started", "sink.failing"]
    source.close()
    reports.close()


def test_what_has_no_room_is_told_when_there_is_some(tmp_path: Path) -> None:
    reports = Reports(tmp_path / "own", ORIGIN, fixed_clock())
    reports._spool.losses.add(SpoolCause.FULL, OTHERS, 3, detail="No space left on device")
    reports._spool.losses.add(SpoolCause.EXPIRED, DENIALS, 2, "siem")
    reports.tick()
    source = SpoolSource(tmp_path / "own", "siem")
    told = [json.loads(line) for line in source.read(10, 1 << 20).records]
    for one in told:
        one.pop("chain", None)
        VALIDATOR.validate(one)
    assert [(one["lost"]["cause"], one["lost"]["count"], one["lost"]["sink"]) for one in told] == [
        ("spool", 3, None),
        ("expired", 2, "siem"),
    ]
    source.close()
    reports.close()
