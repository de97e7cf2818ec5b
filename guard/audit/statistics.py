# SPDX-License-Identifier: Apache-2.0
"""A trail in numbers. Knows the names of records' members; opens nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# How many of the most frequent are shown.
TOP = 10


@dataclass(slots=True)
class Statistics:
    """Counts of the records added. ``lost``: what audit.lost records say, by cause."""

    records: int = 0
    unreadable: int = 0
    first: str | None = None
    last: str | None = None
    suppressed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    programs: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, record: dict[str, Any]) -> None:
        """Counts a record. Never raises, whatever it holds."""
        self.records += 1
        time = record.get("time")
        if isinstance(time, str):
            self.first = min(self.first or time, time)
            self.last = max(self.last or time, time)
        self.events[str(record.get("event"))] += 1
        if record.get("event") == "audit.lost":
            lost = _part(record, "lost")
            count = lost.get("count")
            self.lost[str(lost.get("cause"))] += count if isinstance(count, int) else 0
        verdict = record.get("verdict")
        if verdict is None:
            return
        suppressed = record.get("suppressed")
        self.suppressed += suppressed if isinstance(suppressed, int) else 0
        self.verdicts[str(verdict)] += 1
        policy = _part(record, "policy").get("name")
        if policy is not None:
            self.policies[str(policy)] += 1
            self.rules[f"{policy}/{_part(record, 'rule').get('id') or 'default'}"] += 1
        process = _part(record, "process")
        self.programs[str(process.get("exe") or process.get("comm"))] += 1
        what = _part(record, "object")
        self.objects[str(what.get("path") or what.get("address") or what.get("operation"))] += 1

    def told(self) -> dict[str, Any]:
        """All counts, of the long lists the most frequent."""
        lists = ("verdicts", "events", "policies", "rules", "programs", "objects", "lost")
        return {
            "records": self.records,
            "unreadable": self.unreadable,
            "first": self.first,
            "last": self.last,
            "suppressed": self.suppressed,
            **{name: dict(getattr(self, name).most_common(TOP)) for name in lists},
        }


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
