# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch and OpenSearch: their bulk interface, one document a record.

Knows ``_bulk`` as both document it. A document's ``_id`` is the record's id
and the action is ``create``, so a record that comes again changes nothing:
the receiver says 409, which means delivered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from guard.ship.http import BUSY, HttpClient, require
from guard.ship.sink import Message, Outcome, Unavailable

# Of the answer only what is used here.
PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"

# An _id has at most this many bytes.
_ID_LIMIT = 512

_DONE = frozenset((200, 201, 409))
# What a single document can be refused for; other errors are the index's or the user's.
_REFUSED = frozenset((400, 413, 422))


class Elastic:
    """Posts to an index, alias or data stream."""

    def __init__(self, client: HttpClient, index: str) -> None:
        self._client = client
        self._index = index

    def send(self, batch: Sequence[Message]) -> Outcome:
        """As in Sink."""
        body = b"".join(map(self._document, batch))
        answer = self._client.post(PATH, body, "application/x-ndjson")
        require(answer, 200)
        told = answer.json()
        if not isinstance(told, dict) or not isinstance(told.get("errors"), bool):
            raise Unavailable(f"not the answer of a bulk request: {answer.words()}")
        if not told["errors"]:
            return Outcome()
        items = told.get("items")
        if not isinstance(items, list) or len(items) != len(batch):
            raise Unavailable("the bulk answer does not tell of every document")
        return _outcome(items)

    def close(self) -> None:
        """As in Sink."""
        self._client.close()

    def _document(self, message: Message) -> bytes:
        action = {"create": {"_index": self._index, "_id": document_id(message.id)}}
        body = message.body
        if not body.startswith(b'{"@timestamp"'):  # which data streams demand
            body = b'{"@timestamp":%b,%b' % (
                json.dumps(str(message.record.get("time"))).encode(),
                body[1:],
            )
        return b"%b\n%b\n" % (json.dumps(action).encode(), body)


def document_id(record_id: str) -> str:
    """The record's id, or its hash where it is longer than an _id can be."""
    data = record_id.encode("utf-8", "replace")
    return record_id if len(data) <= _ID_LIMIT else hashlib.sha256(data).hexdigest()


def _outcome(items: Sequence[object]) -> Outcome:
    refused: dict[int, str] = {}
    again: list[int] = []
    because = ""
    for at, item in enumerate(items):
        told = item.get("create") if isinstance(item, dict) else None
        status = told.get("status") if isinstance(told, dict) else None
        if status in _DONE:
            continue
        error = told.get("error") if isinstance(told, dict) else None
        error = error if isinstance(error, dict) else {}
        why = f"{status} {error.get('type', '')}: {error.get('reason', '')}"
        if status in _REFUSED:
            refused[at] = why
        else:
            hint = "" if status in BUSY else " (check the index and the user's rights)"
            because = why + hint
            again.append(at)
    return Outcome(refused, tuple(again), because=because)
