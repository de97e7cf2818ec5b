# SPDX-License-Identifier: Apache-2.0
"""guard's operational log: structlog whose writer is a sink.

Knows structlog; nothing of records. A log line says how guard fares, a record
what a policy decided: log lines have ``log`` where records have ``schema``.

Nothing global is configured: whoever makes a logger passes it on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from guard.audit.sinks import Sink, SinkError
from guard.audit.text import line


def make_logger(sink: Sink, level: str = "info") -> FilteringBoundLogger:
    """A logger of this level (debug, info, warning, error, critical) and above.

    Lines are JSON: ``log`` (the level), ``time``, ``message``, then what the
    caller bound or passed. A sink that fails loses the line and nothing else:
    logging never raises. Raises ValueError for another level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"{level}: not a log level")
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Writer(sink),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        context_class=dict,
    ).bind()
    return logger


class _Writer:
    """What structlog calls last; the level has been decided by then."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, text: bytes) -> None:
        with contextlib.suppress(SinkError):  # there is nobody left to tell
            self._sink.emit([text])

    debug = info = warning = error = critical = msg


def _render(_logger: object, _method: str, members: MutableMapping[str, Any]) -> bytes:
    rest = dict(members)
    head = {
        "log": rest.pop("level", None),
        "time": rest.pop("time", None),
        "message": rest.pop("event", None),
    }
    return line({**head, **rest})
