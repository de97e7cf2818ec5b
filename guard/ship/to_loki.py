# SPDX-License-Identifier: Apache-2.0
"""Grafana Loki: its push interface, one line a record.

Knows ``/loki/api/v1/push`` as Loki documents it. Loki takes what it can of a
push and says 400 if there was anything else; sent again it knows a line by its
labels, time and text, so finding the culprit makes no duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from guard.audit.reading import get, milliseconds
from guard.ship.http import HttpClient, require
from guard.ship.sink import DELIVERED, Message, Outcome

PATH = "/loki/api/v1/push"


class Loki:
    """Posts lines. ``labels`` go with every line; ``job`` and ``host`` are always there.

    ``metadata``: the record's id as structured metadata, which Loki has from version 3 on.
    """

    def __init__(self, client: HttpClient, labels: Mapping[str, str], metadata: bool) -> None:
        self._client = client
        self._labels = labels
        self._metadata = metadata

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        streams: dict[str, list[list[object]]] = {}
        for message in batch:
            host = str(get(message.record, "host", "name") or "-")
            value: list[object] = [_nanoseconds(message), message.text]
            if self._metadata:
                value.append({"guard_id": message.id})
            streams.setdefault(host, []).append(value)
        body = json.dumps(
            {
                "streams": [
                    {"stream": {"job": "guard", "host": host, **self._labels}, "values": values}
                    for host, values in streams.items()
                ]
            }
        ).encode()
        require(self._client.post(PATH, body, "application/json"), 204, 200)
        return DELIVERED

    def close(self) -> None:
        """As in Sink."""
        self._client.close()


def _nanoseconds(message: Message) -> str:
    """The record's time; its microseconds too, so that records keep their order."""
    whole = milliseconds(message.record)
    time = str(message.record.get("time"))
    rest = time[23:26] if len(time) == 27 and time[23:26].isdigit() else "000"
    return f"{whole}{rest}000"
