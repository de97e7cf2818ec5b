# SPDX-License-Identifier: Apache-2.0
"""One HTTP connection to one receiver: posts bodies, reads bounded answers.

Knows HTTP/1.1 by http.client; nothing of what is posted. Follows no redirect
(it would carry the token elsewhere) and uses no proxy that the environment names.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

from guard.ship.compress import zstd_compress
from guard.ship.sink import Refused, Unavailable
from guard.ship.tls import TIMEOUT, Tls, connect

# Bytes of an answer that are read. Elasticsearch tells some 200 bytes for each of 500 records.
ANSWER_LIMIT = 4 << 20

# Characters of a receiver's own words that go into messages.
_WORDS = 300

# Receivers that are busy or broken in these ways get better by themselves.
BUSY = frozenset((408, 425, 429, 500, 502, 503, 504))
# These say that something in this very body is wrong.
ABOUT_THE_BODY = frozenset((400, 413, 422))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said. ``retry_after`` in seconds, None if it said nothing usable."""

    status: int
    body: bytes
    retry_after: float | None

    def words(self) -> str:
        """The status and the beginning of the body, for messages."""
        text = self.body[:_WORDS].decode("utf-8", "replace").strip()
        return f"HTTP {self.status}" + (f": {text}" if text else "")

    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class HttpClient:
    """Posts to ``url``, keeping the connection. ``headers`` makes those of each connection.

    ``compression`` is gzip, zstd or none.
    """

    def __init__(
        self,
        url: SplitResult,
        tls: Tls,
        headers: Callable[[], Mapping[str, str]],
        compression: str = "gzip",
        timeout: float = TIMEOUT,
    ) -> None:
        self._url = url
        self._tls = tls if url.scheme == "https" else None
        self._make_headers = headers
        self._headers: Mapping[str, str] = {}
        self._compression = compression
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def open(self) -> None:
        """Connects, so that an unreachable receiver is known early. Raises Unavailable."""
        self._connected()

    def post(self, path: str, body: bytes, kind: str) -> Answer:
        """The answer to a body of this content type at a path below the url's.

        Raises Unavailable if there is none, and for answers that say nothing
        about the body: see ``require``.
        """
        if self._compression == "gzip":
            # Level 1: records are so alike that more effort gains little.
            body = gzip.compress(body, 1, mtime=0)
        elif self._compression == "zstd":
            body = zstd_compress(body)
        reused = self._connection is not None
        try:
            return self._exchange(path, body, kind)
        except _Stale:
            if reused:  # the receiver had closed it between two batches
                return self._exchange(path, body, kind)
            raise

    def close(self) -> None:
        """Closes the connection; every answer was read before."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str, body: bytes, kind: str) -> Answer:
        where = f"{self._url.hostname}:{self._port()}"
        connection = self._connected()
        headers = {"Content-Type": kind, "User-Agent": "guard-ship", **self._headers}
        if self._compression != "none":
            headers["Content-Encoding"] = self._compression
        try:
            connection.request("POST", self._url.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            read = response.read(ANSWER_LIMIT + 1)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            raise _Stale(f"{where}: the connection was cut: {error}") from None
        except TimeoutError:
            self.close()
            raise Unavailable(f"{where}: no answer in {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unavailable(f"{where}: not an answer: {error!r}") from None
        if len(read) > ANSWER_LIMIT or response.will_close:
            self.close()
        if len(read) > ANSWER_LIMIT:
            raise Unavailable(f"{where}: an answer of more than {ANSWER_LIMIT} bytes")
        return Answer(response.status, read, _seconds(response.headers.get("Retry-After")))

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host = self._url.hostname or ""
            self._headers = self._make_headers()
            made = http.client.HTTPConnection(host, self._port(), timeout=self._timeout)
            made.sock = connect(host, self._port(), self._tls, self._timeout)
            made.auto_open = 0  # it would come back without TLS
            self._connection = made
        return self._connection

    def _port(self) -> int:
        return self._url.port or (443 if self._tls is not None else 80)


class _Stale(Unavailable):
    """The connection ended before there was an answer."""


def require(answer: Answer, *good: int) -> None:
    """Nothing if the status is one of ``good``; else raises Refused or Unavailable by its meaning.

    What is not about the body (a wrong token, a missing index) is the
    configuration's fault: records wait until it is mended.
    """
    if answer.status in good:
        return
    if answer.status in ABOUT_THE_BODY:
        raise Refused(answer.words())
    if answer.status in BUSY:
        raise Unavailable(answer.words(), answer.retry_after)
    if 300 <= answer.status < 400:
        raise Unavailable(f"{answer.words()} (a redirect is not followed: configure the new url)")
    raise Unavailable(f"{answer.words()} (check the sink's settings at the receiver)")


def authorization(
    api_key: str | None = None,
    token: str | None = None,
    user: str | None = None,
    password: str | None = None,
) -> Mapping[str, str]:
    """The Authorization header for an API key, a bearer token, user and password, or none."""
    if api_key is not None:
        return {"Authorization": f"ApiKey {api_key}"}
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    if user is not None and password is not None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def _seconds(text: str | None) -> float | None:
    # RFC 9110 allows a date as well, which would need this host's clock to be right.
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
