# SPDX-License-Identifier: Apache-2.0
"""The operational log goes through sinks and configures nothing global."""

from __future__ import annotations

import json

import pytest
import structlog

from guard.audit.oplog import make_logger
from tests.audit.samples import ListSink


def test_a_log_line_is_json_with_level_time_and_message() -> None:
    sink = ListSink()
    make_logger(sink).bind(hook="file_open").warning("ring is full", path=b"/a\xff\n")
    (line,) = sink.lines
    members = json.loads(line)
    time = members.pop("time")
    assert time.endswith("Z")
    assert members == {
        "log": "warning",
        "message": "ring is full",
        "hook": "file_open",
        "path": "/a\ufffd\n",
    }
    assert b"\n" not in line


def test_what_is_below_the_level_makes_no_line() -> None:
    sink = ListSink()
    logger = make_logger(sink, "warning")
    logger.info("no")
    logger.error("yes")
    assert [json.loads(line)["message"] for line in sink.lines] == ["yes"]


def test_an_exception_is_logged_with_its_traceback_on_one_line() -> None:
    sink = ListSink()
    try:
        raise ValueError("why")
    except ValueError:
        make_logger(sink).exception("went wrong")
    (line,) = sink.lines
    assert "ValueError: why" in json.loads(line)["exception"]


def test_a_failing_sink_does_not_fail_its_logger() -> None:
    sink = ListSink()
    sink.refuse = 1
    make_logger(sink).error("lost")
    assert sink.lines == []


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        make_logger(ListSink(), "loud")


def test_structlogs_own_configuration_is_left_alone() -> None:
    make_logger(ListSink())
    assert not structlog.is_configured()
