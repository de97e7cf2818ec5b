# SPDX-License-Identifier: Apache-2.0
"""What a sink is to shipping: it delivers batches, and says what became of each record.

Knows no protocol and nothing of the spool. The sinks of the collector
(guard.audit.sinks) lose what they cannot take; these may be asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One record on its way. ``id`` names it for ever; ``body`` is it in the sink's format.

    ``record`` is the flat record decoded, ``line`` the same as it lies in the
    spool. ``body`` and ``line`` have no newline at their end.
    """

    id: str
    record: dict[str, Any]
    line: bytes
    body: bytes

    @property
    def text(self) -> str:
        """The body as text. Renderers make UTF-8; no sink falls over if one did not."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch; what is not named here is delivered.

    ``refused``: by index, why the receiver will never take this record.
    ``again``: indices of records to be sent again, because of ``because``.
    ``unclear``: so many of the batch were refused and nobody says which.
    """

    refused: Mapping[int, str] = field(default_factory=dict)
    again: Sequence[int] = ()
    unclear: int = 0
    because: str = ""


DELIVERED = Outcome()


class Unavailable(Exception):
    """The receiver takes nothing now: all of the batch is to be sent again, later.

    ``retry_after``: seconds that the receiver asked for.
    """

    def __init__(self, because: str, retry_after: float | None = None) -> None:
        super().__init__(because)
        self.retry_after = retry_after


class Refused(Exception):
    """The receiver refused the batch for what is in it; ``index``: for this record, if known.

    Sent one by one, all but the cause will be taken. Duplicates are possible.
    """

    def __init__(self, because: str, index: int | None = None) -> None:
        super().__init__(because)
        self.index = index


class Sink(Protocol):
    """A receiver of batches. It is made anew after every Unavailable."""

    def send(self, batch: Sequence[Message]) -> Outcome:
        """Delivers one or more records in order. Raises Unavailable and Refused."""

    def close(self) -> None:
        """Ends in the way that loses the least. Never raises what a network can cause."""
