# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry logs over HTTP (OTLP/HTTP, protobuf).

Knows the protocol's logs service; needs the extra ``otlp`` for its messages.
A log's body is the record in the sink's format, and ``log.record.uid`` its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guard.audit.reading import Level, get, level, milliseconds
from guard.ship.extras import require_extra
from guard.ship.http import HttpClient, require
from guard.ship.sink import DELIVERED, Message, Outcome, Unavailable
from guard.version import VERSION

PATH = "/v1/logs"

# SeverityNumber and its name: OpenTelemetry's logs data model.
_SEVERITIES = {
    Level.INFORMATION: (9, "INFO"),
    Level.NOTICE: (10, "INFO2"),
    Level.WARNING: (13, "WARN"),
    Level.ERROR: (17, "ERROR"),
}


class Otlp:
    """Posts logs to a collector's HTTP receiver."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._service = require_extra(
            "opentelemetry.proto.collector.logs.v1.logs_service_pb2", "otlp"
        )
        self._logs = require_extra("opentelemetry.proto.logs.v1.logs_pb2", "otlp")
        self._common = require_extra("opentelemetry.proto.common.v1.common_pb2", "otlp")

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        body = self._request(batch).SerializeToString()
        answer = self._client.post(PATH, body, "application/x-protobuf")
        require(answer, 200)
        response = self._service.ExportLogsServiceResponse()
        try:
            response.ParseFromString(answer.body)
        except Exception as error:  # DecodeError, of a library that is not imported here
            raise Unavailable(f"not the answer of an OTLP receiver: {error}") from None
        rejected = min(response.partial_success.rejected_log_records, len(batch))
        if rejected > 0:
            # The protocol forbids sending them again, and does not say which they are.
            return Outcome(
                unclear=rejected, because=response.partial_success.error_message or "no reason"
            )
        return DELIVERED

    def close(self) -> None:
        """As in Sink."""
        self._client.close()

    def _request(self, batch: Sequence[Message]) -> Any:
        request = self._service.ExportLogsServiceRequest()
        by_host: dict[str, list[Message]] = {}
        for message in batch:
            by_host.setdefault(str(get(message.record, "host", "id") or "-"), []).append(message)
        for host, messages in by_host.items():
            resource = request.resource_logs.add()
            name = str(get(messages[0].record, "host", "name") or "-")
            for key, value in (("service.name", "guard"), ("host.name", name), ("host.id", host)):
                resource.resource.attributes.append(self._attribute(key, value))
            scope = resource.scope_logs.add()
            scope.scope.name = "guard"
            scope.scope.version = VERSION
            scope.log_records.extend(map(self._log, messages))
        return request

    def _log(self, message: Message) -> Any:
        record = message.record
        number, name = _SEVERITIES[level(record)]
        nanoseconds = milliseconds(record) * 1_000_000
        made = self._logs.LogRecord(
            time_unix_nano=nanoseconds,
            observed_time_unix_nano=nanoseconds,
            severity_number=number,
            severity_text=name,
            body=self._common.AnyValue(string_value=message.text),
        )
        attributes = {
            "log.record.uid": message.id,
            "event.name": record.get("event"),
            "guard.verdict": record.get("verdict"),
            "guard.policy": get(record, "policy", "name"),
            "guard.rule": get(record, "rule", "id"),
        }
        for key, value in attributes.items():
            if value is not None:
                made.attributes.append(self._attribute(key, str(value)))
        return made

    def _attribute(self, key: str, value: str) -> Any:
        return self._common.KeyValue(key=key, value=self._common.AnyValue(string_value=value))
