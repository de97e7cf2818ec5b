# SPDX-License-Identifier: Apache-2.0
"""Which records of a trail somebody wants to see.

Knows the names of records' members; opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for: all of these at once; an empty one asks for nothing.

    Of several policies, verbs, verdicts, events or pids, any. ``events`` are
    whole (``file.open``) or the part before the dot (``file``); ``exe`` and
    ``path`` are patterns of the shell in which ``*`` also matches ``/``;
    ``since`` and ``until`` are times as in records; ``pattern`` is searched for
    in every text of the record.
    """

    policies: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    verdicts: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    pids: frozenset[int] = frozenset()
    exe: str | None = None
    path: str | None = None
    since: str | None = None
    until: str | None = None
    pattern: re.Pattern[str] | None = None

    def takes(self, record: dict[str, Any]) -> bool:
        """Whether the record is asked for. Never raises, whatever the record holds."""
        event = str(record.get("event"))
        time = str(record.get("time"))
        return (
            not (self.events and self.events.isdisjoint((event, event.partition(".")[0])))
            and not (self.verdicts and record.get("verdict") not in self.verdicts)
            and not (self.policies and self.policies.isdisjoint(_policies(record)))
            and not (self.verbs and self.verbs.isdisjoint(_texts(record.get("verbs"))))
            and not (self.pids and _part(record, "process").get("pid") not in self.pids)
            and not (self.exe and not _fits(_part(record, "process").get("exe"), self.exe))
            and not (self.path and not _fits(_part(record, "object").get("path"), self.path))
            and not (self.since and time < self.since)
            and not (self.until and time >= self.until)
            and not (self.pattern and not any(map(self.pattern.search, strings(record))))
        )


def moment(text: str, now: datetime) -> str:
    """A time that a person wrote, as records spell times.

    ``90s``, ``10m``, ``2h``, ``7d`` are before ``now``; otherwise ISO 8601, in
    UTC if it names no zone. Raises ValueError with what was expected.
    """
    if ago := _AGO.fullmatch(text):
        found = now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    else:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{text!a} is no time: 90s, 10m, 2h or 7d ago, or 2026-03-16T09:05:00Z"
            ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def strings(value: object) -> Iterator[str]:
    """Every text in a record, the names of members not included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name != "chain":
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _policies(record: dict[str, Any]) -> list[str]:
    return [*_texts([_part(record, "policy").get("name")]), *_texts(record.get("others"))]


def _fits(value: object, pattern: str) -> bool:
    return isinstance(value, str) and fnmatchcase(value, pattern)
