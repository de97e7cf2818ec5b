# SPDX-License-Identifier: Apache-2.0
"""What the tests of sinks over HTTP share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from guard.ship.http import HttpClient
from guard.ship.sink import Sink
from guard.ship.tls import Tls
from guard.ship.to_elastic import Elastic
from guard.ship.to_splunk import Splunk, SplunkSettings, splunk_headers
from guard.ship.worker import Plan
from tests.ship.fakes import Receiver
from tests.ship.support import Bench, FakeClock, lines

NO_HEADERS: Callable[[], Mapping[str, str]] = dict


def client(
    receiver: Receiver,
    headers: Callable[[], Mapping[str, str]] = NO_HEADERS,
    compression: str = "gzip",
    tls: Tls | None = None,
    timeout: float = 10.0,
) -> HttpClient:
    return HttpClient(urlsplit(receiver.url), tls or Tls(), headers, compression, timeout)


def splunk_sink(receiver: Receiver, ack: bool = False, **more: Any) -> Splunk:
    clock = FakeClock()
    return Splunk(
        client(receiver, lambda: splunk_headers("t0ken"), **more),
        SplunkSettings("security", "guard", ack),
        True,
        clock,
        clock.sleep,
    )


def deliver(tmp: Path, make: Callable[[], Sink], count: int = 100) -> Bench:
    """What a worker makes of it."""
    bench = Bench(tmp, lines(*range(count)), Plan(records=50))
    bench.sink.make = make  # type: ignore[method-assign]
    bench.run(600)
    bench.worker.close()
    bench.assert_law()
    return bench


def elastic_sink(receiver: Receiver, **more: Any) -> Elastic:
    return Elastic(client(receiver, **more), "logs-guard-default")
