# SPDX-License-Identifier: Apache-2.0
"""HTTP receivers in this process: strict about what is documented, told what to answer.

None of Splunk, Elasticsearch, Loki or a collector can be installed where these
tests run, so these stand in for them: each refuses (with an error that fails
the test) whatever its product's documentation does not allow.
"""

from __future__ import annotations

import gzip
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

Reply = tuple[int, Mapping[str, str], bytes]


@dataclass
class Request:
    """One request, its body decompressed."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    size: int


@dataclass
class Receiver:
    """A server on loopback. ``scripted`` replies come first, then ``answer``'s.

    ``cut``: so many requests are read and then the connection is closed unanswered.
    """

    answer: Callable[[Request], Reply]
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    scripted: list[Reply] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cut: int = 0
    connections: int = 0
    url: str = ""

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_POST(self) -> None:
                receiver._handle(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if self.context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        assert self.wrong == []

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        if self.cut:
            self.cut -= 1
            handler.close_connection = True
            return
        body = _plain(raw, handler.headers.get("Content-Encoding"))
        request = Request(handler.path, dict(handler.headers), body, len(raw))
        self.requests.append(request)
        try:
            status, headers, data = self.scripted.pop(0) if self.scripted else self.answer(request)
        except Exception as error:
            self.wrong.append(repr(error))
            status, headers, data = 500, {}, repr(error).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def _plain(raw: bytes, encoding: str | None) -> bytes:
    match encoding:
        case None:
            return raw
        case "gzip":
            return gzip.decompress(raw)
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(raw, 1 << 26)
        case _:
            raise zlib.error(f"encoding {encoding}")


def reply(status: int, told: Any = None, **headers: str) -> Reply:
    """A reply whose body is JSON."""
    body = b"" if told is None else json.dumps(told).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body


class Splunk:
    """The HTTP Event Collector: token, channel, events in a row, codes as documented."""

    def __init__(self, token: str, ack: bool = False, poison: frozenset[int] = frozenset()) -> None:
        self.events: list[dict[str, Any]] = []
        self.token = token
        self.ack = ack
        self.poison = poison
        self.asked = 0
        self.acks_after = 1

    def __call__(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != f"Splunk {self.token}":
            return reply(403, {"text": "Invalid token", "code": 4})
        if self.ack and "X-Splunk-Request-Channel" not in request.headers:
            return reply(400, {"text": "Data channel is missing", "code": 10})
        if request.path == "/services/collector/ack":
            self.asked += 1
            numbers = json.loads(request.body)["acks"]
            done = self.asked >= self.acks_after
            return reply(200, {"acks": {str(number): done for number in numbers}})
        assert request.path == "/services/collector/event", request.path
        told = list(_objects(request.body.decode()))
        if not told:
            return reply(400, {"text": "No data", "code": 5})
        allowed = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
        for number, one in enumerate(told):
            assert set(one) <= allowed, set(one) - allowed
            assert isinstance(one["time"], int | float) and one["time"] > 1e9
            assert isinstance(one["fields"]["guard_id"], str)
            assert one["event"] not in ("", None), "Event field cannot be blank"
            if isinstance(one["event"], dict) and one["event"]["seq"] in self.poison:
                wrong = {"text": "Invalid data format", "code": 6, "invalid-event-number": number}
                return reply(400, wrong)
        self.events += told
        answer = {"text": "Success", "code": 0}
        return reply(200, answer | ({"ackId": len(self.events)} if self.ack else {}))


def _objects(text: str) -> Any:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        one, at = decoder.raw_decode(text, at)
        yield one
        while at < len(text) and text[at].isspace():
            at += 1


class Elastic:
    """``_bulk`` with create: documents by id, statuses by document as documented."""

    def __init__(self, authorization: str | None = None) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.authorization = authorization
        self.statuses: dict[int, int] = {}
        """What to say of the record of this number, once."""

    def __call__(self, request: Request) -> Reply:
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            return reply(401, {"error": {"type": "security_exception"}, "status": 401})
        assert request.path.split("?")[0] == "/_bulk"
        assert request.headers["Content-Type"] == "application/x-ndjson"
        assert request.body.endswith(b"\n"), "the last line must end with a newline"
        rows = request.body[:-1].split(b"\n")
        items, errors = [], False
        for action, source in zip(rows[::2], rows[1::2], strict=True):
            told = json.loads(action)["create"]
            assert set(told) == {"_index", "_id"} and len(told["_id"]) <= 512
            document = json.loads(source)
            assert "@timestamp" in document, "data stream documents need @timestamp"
            status = self.statuses.pop(document.get("seq", -1), 201)
            if status == 201 and told["_id"] in self.documents:
                status = 409
            item: dict[str, Any] = {"status": status}
            if status == 201:
                self.documents[told["_id"]] = document
            else:
                errors = True
                kinds = {
                    409: "version_conflict_engine_exception",
                    429: "es_rejected_execution_exception",
                    400: "document_parsing_exception",
                    404: "index_not_found_exception",
                }
                item["error"] = {"type": kinds.get(status, "exception"), "reason": "as told"}
            items.append({"create": item})
        return reply(200, {"errors": errors, "items": items} if errors else {"errors": False})


class Loki:
    """The push interface: labels and values as documented; takes what it can, 400 for the rest."""

    def __init__(self, tenant: str | None = None, metadata: bool = False) -> None:
        self.lines: set[tuple[str, str, str]] = set()
        self.tenant = tenant
        self.metadata = metadata
        self.too_old: set[int] = set()

    def __call__(self, request: Request) -> Reply:
        assert request.path == "/loki/api/v1/push"
        assert request.headers["Content-Type"] == "application/json"
        if self.tenant is not None and request.headers.get("X-Scope-OrgID") != self.tenant:
            return 401, {}, b"no org id"
        old = 0
        for stream in json.loads(request.body)["streams"]:
            assert set(stream) == {"stream", "values"}
            assert all(isinstance(value, str) for value in stream["stream"].values())
            for value in stream["values"]:
                assert len(value) == (3 if self.metadata else 2)
                assert value[0].isdigit() and len(value[0]) == 19, "nanoseconds as a string"
                assert isinstance(value[1], str)
                if json.loads(value[1])["seq"] in self.too_old:
                    old += 1
                else:
                    self.lines.add((json.dumps(stream["stream"]), value[0], value[1]))
        if old:
            return 400, {}, b"entry too far behind, entry timestamp is: 2026-11-23T20:03:01Z"
        return 204, {}, b""


class Collector:
    """An OpenTelemetry collector's /v1/logs, protobuf, with opentelemetry-proto."""

    def __init__(self) -> None:
        self.logs: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.reject = 0

    def __call__(self, request: Request) -> Reply:
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

        assert request.path == "/v1/logs"
        assert request.headers["Content-Type"] == "application/x-protobuf"
        told = service.ExportLogsServiceRequest.FromString(request.body)
        for resource in told.resource_logs:
            attributes = resource.resource.attributes
            self.resources.append({one.key: one.value.string_value for one in attributes})
            for scope in resource.scope_logs:
                self.logs += scope.log_records
        response = service.ExportLogsServiceResponse()
        if self.reject:
            response.partial_success.rejected_log_records = self.reject
            response.partial_success.error_message = "too old"
        return (
            200,
            {"Content-Type": "application/x-protobuf"},
            response.SerializeToString(),
        )
