# SPDX-License-Identifier: Apache-2.0
"""From a sink's configuration to what makes the sink, and what must be there for it.

The only module that knows which settings become which arguments. A protocol's
module is imported only if a sink of its kind is configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from guard.ship.config import SinkConfig
from guard.ship.extras import require_extra
from guard.ship.secrets import Secret, SecretError
from guard.ship.sink import Sink, Unavailable
from guard.ship.tls import Tls, context

Make = Callable[[], Sink]

# What a kind of sink needs beyond guard's own dependencies: module, extra.
_EXTRAS = {
    "otlp": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "otlp"),
    "kafka": ("confluent_kafka", "kafka"),
    "nats": ("nats", "nats"),
}


def require(sink: SinkConfig) -> None:
    """Raises MissingExtra if a library for this sink is not installed."""
    if sink.type in _EXTRAS:
        require_extra(*_EXTRAS[sink.type])
    if sink.options.get("compression") == "zstd" and sink.type != "kafka":
        require_extra("zstandard", "zstd")


def problems(sink: SinkConfig) -> list[str]:
    """What on this host stands in the sink's way: secrets, certificates. Asks no receiver."""
    found = []
    for value in sink.options.values():
        if isinstance(value, Secret):
            try:
                value.text()
            except SecretError as error:
                found.append(str(error))
    tls = _tls(sink.options)
    if tls is not None:
        try:
            context(tls)
        except Unavailable as error:
            found.append(str(error))
    return found


def maker(sink: SinkConfig) -> Make:
    """What makes the sink; calling it connects, and raises Unavailable."""
    options = sink.options
    is_syslog = sink.format == "rfc5424"
    tls = _tls(options)
    match sink.type:
        case "file":
            return _file(options)
        case "stdout":
            from guard.ship.to_file import Stdout  # noqa: PLC0415

            return Stdout
        case "journald":
            from guard.ship.to_journald import Journald  # noqa: PLC0415

            return lambda: Journald(options["socket"])
        case "syslog-udp":
            from guard.ship.to_syslog import SyslogUdp  # noqa: PLC0415

            return lambda: SyslogUdp(options["to"].host, options["to"].port, is_syslog)
        case "syslog-tcp" | "syslog-tls":
            from guard.ship.to_syslog import SyslogStream  # noqa: PLC0415

            how = (tls or Tls()) if sink.type == "syslog-tls" else None
            return lambda: SyslogStream(
                options["to"].host, options["to"].port, how, is_syslog, options["timeout"]
            )
        case "relp":
            from guard.ship.to_relp import Relp  # noqa: PLC0415

            return lambda: Relp(
                options["to"].host, options["to"].port, tls, is_syslog, options["timeout"]
            )
        case "kafka":
            return _kafka(options, tls)
        case "nats":
            return _nats(options, tls)
        case _:
            return _over_http(sink, tls or Tls())


def _file(options: Mapping[str, Any]) -> Make:
    from guard.ship.to_file import RotatedFile, Rotation  # noqa: PLC0415

    rotation = Rotation(
        options["rotate-size"], options["rotate-after"], options["keep"], options["compression"]
    )
    return lambda: RotatedFile(Path(options["path"]), rotation, time.monotonic)


def _kafka(options: Mapping[str, Any], tls: Tls | None) -> Make:
    from guard.ship.to_kafka import Kafka, KafkaSettings  # noqa: PLC0415

    settings = KafkaSettings(
        [_joined(*broker) for broker in options["brokers"]],
        options["topic"],
        options["compression"],
        tls,
        options["mechanism"],
        options["user"],
        options["password"],
    )
    return lambda: Kafka(settings, options["timeout"])


def _nats(options: Mapping[str, Any], tls: Tls | None) -> Make:
    from guard.ship.to_nats import Nats, NatsSettings  # noqa: PLC0415

    servers = [server.geturl() for server in options["servers"]]
    if tls is None and any(server.startswith("tls:") for server in servers):
        tls = Tls()
    settings = NatsSettings(
        servers,
        options["subject"],
        tls,
        options["token"],
        options["user"],
        options["password"],
    )
    return lambda: Nats(settings, options["timeout"])


def _over_http(sink: SinkConfig, tls: Tls) -> Make:
    from guard.ship import http  # noqa: PLC0415

    options = sink.options

    def client(headers: Callable[[], Mapping[str, str]]) -> http.HttpClient:
        def with_secrets() -> Mapping[str, str]:
            try:
                return headers()
            except SecretError as error:
                raise Unavailable(str(error)) from None

        made = http.HttpClient(
            options["url"], tls, with_secrets, options["compression"], options["timeout"]
        )
        made.open()
        return made

    match sink.type:
        case "splunk":
            from guard.ship.to_splunk import Splunk, SplunkSettings, splunk_headers  # noqa: PLC0415

            settings = SplunkSettings(options["index"], options["sourcetype"], options["ack"])
            return lambda: Splunk(
                client(lambda: splunk_headers(options["token"].text())), settings, sink.is_json
            )
        case "elastic":
            from guard.ship.to_elastic import Elastic  # noqa: PLC0415

            return lambda: Elastic(
                client(lambda: http.authorization(**_login(options))), options["index"]
            )
        case "loki":
            from guard.ship.to_loki import Loki  # noqa: PLC0415

            tenant = {} if options["tenant"] is None else {"X-Scope-OrgID": options["tenant"]}
            return lambda: Loki(
                client(lambda: {**http.authorization(**_login(options)), **tenant}),
                {},
                options["metadata"],
            )
        case "otlp":
            from guard.ship.to_otlp import Otlp  # noqa: PLC0415

            return lambda: Otlp(client(lambda: http.authorization(**_login(options))))
        case _:
            raise AssertionError(sink.type)  # the table of settings has a kind that is not built


def _login(options: Mapping[str, Any]) -> dict[str, str | None]:
    """The secrets among the options, read now. Raises SecretError."""

    def text(name: str) -> str | None:
        secret = options.get(name)
        return None if secret is None else secret.text()

    return {
        "api_key": text("api-key"),
        "token": text("token"),
        "user": options.get("user"),
        "password": text("password"),
    }


def _tls(options: Mapping[str, Any]) -> Tls | None:
    told = options.get("tls")
    if told is None:
        return None
    return Tls(told["ca"], told["certificate"], told["key"], told["name"])


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
