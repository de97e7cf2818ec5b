# SPDX-License-Identifier: Apache-2.0
"""Splunk's HTTP Event Collector, with or without indexer acknowledgement.

Knows the collector's requests, status codes and answers as Splunk documents
them ("Troubleshoot HTTP Event Collector"); HTTP itself is http.py.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from guard.audit.reading import get, milliseconds
from guard.ship.http import Answer, HttpClient, require
from guard.ship.sink import DELIVERED, Message, Outcome, Refused, Unavailable

PATH = "/services/collector/event"
ACK_PATH = "/services/collector/ack"

# Codes in answers with status 400 that are not about an event: no data, data
# channel missing, wrong index, acknowledgement disabled.
_NOT_ABOUT_EVENTS = frozenset((5, 7, 10, 11, 14))

# How often an acknowledgement is asked for; indexers give it within seconds.
_ASK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SplunkSettings:
    """``index`` and ``sourcetype`` as at Splunk; ``ack``: wait until it is indexed.

    ``ack_timeout``: seconds after which a batch without acknowledgement is sent again.
    """

    index: str | None
    sourcetype: str
    ack: bool
    ack_timeout: float = 120.0


class Splunk:
    """Posts events. ``is_json``: bodies are JSON objects and not text."""

    def __init__(
        self,
        client: HttpClient,
        settings: SplunkSettings,
        is_json: bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._settings = settings
        self._is_json = is_json
        self._clock = clock
        self._sleep = sleep

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        body = b"\n".join(map(self._event, batch))
        answer = self._client.post(PATH, body, "application/json")
        self._judge(answer)
        if self._settings.ack:
            self._await_ack(answer)
        return DELIVERED

    def close(self) -> None:
        """As in Sink."""
        self._client.close()

    def _event(self, message: Message) -> bytes:
        around: dict[str, object] = {
            "time": milliseconds(message.record) / 1000,
            "host": get(message.record, "host", "name") or "-",
            "source": "guard",
            "sourcetype": self._settings.sourcetype,
            "fields": {"guard_id": message.id},
        }
        if self._settings.index is not None:
            around["index"] = self._settings.index
        event = message.body if self._is_json else json.dumps(message.text).encode()
        return b'%b,"event":%b}' % (json.dumps(around).encode()[:-1], event)

    def _judge(self, answer: Answer) -> None:
        told = answer.json()
        if answer.status == 400 and isinstance(told, dict):
            if told.get("code") in _NOT_ABOUT_EVENTS:
                raise Unavailable(f"{answer.words()} (check the token's settings at Splunk)")
            index = told.get("invalid-event-number")
            raise Refused(answer.words(), index if isinstance(index, int) else None)
        require(answer, 200)
        if not isinstance(told, dict) or told.get("code") != 0:
            raise Unavailable(f"not the answer of an HTTP Event Collector: {answer.words()}")

    def _await_ack(self, answer: Answer) -> None:
        told = answer.json()
        number = told.get("ackId")
        if not isinstance(number, int):
            raise Unavailable("Splunk gave no ackId: enable acknowledgement for the token")
        until = self._clock() + self._settings.ack_timeout
        question = json.dumps({"acks": [number]}).encode()
        while True:
            answer = self._client.post(ACK_PATH, question, "application/json")
            require(answer, 200)
            acks = get(answer.json(), "acks")
            if isinstance(acks, dict) and acks.get(str(number)) is True:
                return
            if self._clock() >= until:
                raise Unavailable(f"Splunk did not index a batch in {self._settings.ack_timeout} s")
            self._sleep(_ASK_SECONDS)


def splunk_headers(token: str) -> Mapping[str, str]:
    """What every request of a connection carries; the channel is for acknowledgements."""
    return {"Authorization": f"Splunk {token}", "X-Splunk-Request-Channel": str(uuid.uuid4())}
