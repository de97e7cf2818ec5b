# SPDX-License-Identifier: Apache-2.0
"""NATS JetStream (the extra ``nats``): every record acknowledged by the stream.

The header Nats-Msg-Id is the record's id, by which the stream drops a record
that comes again within its duplicate window.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from guard.ship.extras import require_extra
from guard.ship.secrets import Secret, SecretError
from guard.ship.sink import Message, Outcome, Unavailable
from guard.ship.tls import TIMEOUT, Tls, context

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """``servers`` are nats:// or tls:// urls; at most one of token and user with password."""

    servers: Sequence[str]
    subject: str
    tls: Tls | None = None
    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None


class Nats:
    """Publishes to a subject that a stream takes."""

    def __init__(self, settings: NatsSettings, timeout: float = TIMEOUT) -> None:
        self._nats = require_extra("nats.aio.client", "nats")
        self._errors = require_extra("nats.errors", "nats")
        self._subject = settings.subject
        self._timeout = timeout
        options = _options(settings, timeout)
        # The client must answer the server's pings also while there is nothing to send.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="guard-nats")
        self._thread.start()
        self._client = self._nats.Client()
        try:
            self._wait(self._client.connect(**options), timeout)
            self._stream = self._client.jetstream(timeout=timeout)
        except Exception as error:
            self.close()
            raise Unavailable(f"NATS: {_words(error)}") from None

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        try:
            results = self._wait(self._publish(batch), self._timeout + 5.0)
        except TimeoutError:
            raise Unavailable("NATS: no answer in time") from None
        refused: dict[int, str] = {}
        again: list[int] = []
        because = ""
        for at, error in enumerate(results):
            if error is None:
                continue
            if isinstance(error, self._errors.MaxPayloadError):
                refused[at] = "longer than the server's max_payload"
            else:
                again.append(at)
                because = f"NATS: {_words(error)}"
        return Outcome(refused, tuple(again), because=because)

    def close(self) -> None:
        """As in Sink."""
        with contextlib.suppress(Exception):
            self._wait(self._client.close(), 5.0)
        self._stop()

    async def _publish(self, batch: Sequence[Message]) -> list[BaseException | None]:
        # One after the other would wait a round trip each; the order in the
        # stream is that of the calls, as each writes before it first waits.
        results = await asyncio.gather(
            *(
                self._stream.publish(
                    self._subject, one.body, headers={"Nats-Msg-Id": one.id}, timeout=self._timeout
                )
                for one in batch
            ),
            return_exceptions=True,
        )
        return [one if isinstance(one, BaseException) else None for one in results]

    def _wait(self, job: Coroutine[Any, Any, _T], seconds: float) -> _T:
        future = asyncio.run_coroutine_threadsafe(job, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _options(settings: NatsSettings, timeout: float) -> dict[str, Any]:
    async def ignored(_error: Exception) -> None:
        """Errors come with each publish as well; the client would print them."""

    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": "guard-ship",
        "connect_timeout": timeout,
        # A lost connection is an Unavailable, and the worker decides when to try again.
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "error_cb": ignored,
    }
    try:
        if settings.tls is not None:
            options["tls"] = context(settings.tls)
            options["tls_hostname"] = settings.tls.name
        if settings.token is not None:
            options["token"] = settings.token.text()
        if settings.user is not None and settings.password is not None:
            options["user"] = settings.user
            options["password"] = settings.password.text()
    except SecretError as error:
        raise Unavailable(str(error)) from None
    return options


def _words(error: BaseException) -> str:
    name = type(error).__name__
    if name == "NoStreamResponseError":
        return "no stream takes this subject: create one at the server"
    return f"{name}: {error}" if str(error) else name
