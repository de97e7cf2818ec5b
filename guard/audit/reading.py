# SPDX-License-Identifier: Apache-2.0
"""What all renderers ask of a decoded flat record: who it is, how grave, and in one sentence.

Knows the names of record_fields.py; no other format. Takes members that are
missing for null, so that a record of a later guard still gets through.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

Record = dict[str, Any]

# ATT&CK's own ids: techniques with or without a sub-technique, and tactics.
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")
_TACTIC = re.compile(r"TA[0-9]{4}")


class Level(IntEnum):
    """How grave a record is; the order is the meaning."""

    INFORMATION = 1  # what a policy wanted to be told, and guard's own coming and going
    NOTICE = 2  # what a policy in mode audit would refuse
    WARNING = 3  # a denial; guard's protection opened
    ERROR = 4  # a process was ended; records are missing; policies were not taken


_LEVELS = {"denied": Level.WARNING, "would-deny": Level.NOTICE, "allowed": Level.INFORMATION}
_OWN_LEVELS = {
    "audit.lost": Level.ERROR,
    "audit.unsafe": Level.ERROR,
    "policy.rejected": Level.ERROR,
    "sink.failing": Level.ERROR,
    "sink.refused": Level.ERROR,
    "selfprotect.unlocked": Level.WARNING,
    "ingress.rolled-back": Level.WARNING,
    "clock.stepped": Level.WARNING,
    "guard.stopped": Level.NOTICE,
    "ship.stopped": Level.NOTICE,
}

# Of guard's own records, those that tell of something that did not come about.
_FAILURES = ("audit.lost", "audit.unsafe", "policy.rejected", "sink.failing", "sink.refused")


def get(record: Any, *names: str) -> Any:
    """The member at the end of the names; None if one on the way is missing or null."""
    for name in names:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def part(record: Any, *names: str) -> Record:
    """The object at the end of the names; empty if there is none."""
    found = get(record, *names)
    return found if isinstance(found, dict) else {}


def is_decision(record: Record) -> bool:
    """Whether it is the kernel's and not one of guard's own."""
    return "verdict" in record


def record_id(record: Record) -> str:
    """Names the record for ever: delivered twice, it is the same.

    ``host/boot/epoch/cpu/seq``, with ``-`` for guard's own, whose cpu is null.
    """
    cpu = record.get("cpu")
    return "/".join(
        str(one)
        for one in (
            get(record, "host", "id"),
            get(record, "host", "boot"),
            record.get("epoch"),
            "-" if cpu is None else cpu,
            record.get("seq"),
        )
    )


def process_id(record: Record, process: Record) -> str | None:
    """Names a process for ever: ``boot:pid:start_ns``. None if its start is not known."""
    pid, start = process.get("pid"), process.get("start_ns")
    if pid is None or start is None:
        return None
    return f"{get(record, 'host', 'boot')}:{pid}:{start}"


def level(record: Record) -> Level:
    """How grave the record is."""
    if not is_decision(record):
        event = record.get("event")
        if event == "control.called" and record.get("outcome") != "done":
            return Level.WARNING
        return _OWN_LEVELS.get(str(event), Level.INFORMATION)
    if record.get("killed"):
        return Level.ERROR
    return _LEVELS.get(str(record.get("verdict")), Level.WARNING)


def is_failure(record: Record) -> bool:
    """Whether one of guard's own records tells of something that did not come about."""
    if record.get("event") in _FAILURES:
        return True
    return record.get("outcome") in ("refused", "failed")


def milliseconds(record: Record) -> int:
    """The record's time since 1970; 0 if it cannot be read."""
    try:
        moment = datetime.fromisoformat(str(record.get("time")))
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def started_at(record: Record, process: Record) -> datetime | None:
    """Wall time of a process's start, by the clock of the record's own moment."""
    try:
        age = int(record["boot_ns"]) - int(process["start_ns"])
        moment = datetime.fromisoformat(record["time"])
        return datetime.fromtimestamp(moment.timestamp() - age / 1e9, UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def techniques(record: Record) -> list[str]:
    """The rule's tags that are ATT&CK techniques or sub-techniques."""
    return [tag for tag in _tags(record) if _TECHNIQUE.fullmatch(tag)]


def tactics(record: Record) -> list[str]:
    """The rule's tags that are ATT&CK tactics."""
    return [tag for tag in _tags(record) if _TACTIC.fullmatch(tag)]


def other_tags(record: Record) -> list[str]:
    """The rule's other tags."""
    return [
        tag for tag in _tags(record) if not _TECHNIQUE.fullmatch(tag) and not _TACTIC.fullmatch(tag)
    ]


def object_name(record: Record) -> str:
    """What it was done to, as one would say it."""
    what = part(record, "object")
    match what.get("kind"):
        case "net":
            if "path" in what:
                return str(what["path"])
            if "abstract" in what:
                return f"@{what['abstract']}"
            return _end(what, what.get("family"))
        case "kernel":
            target = part(what, "target")
            if target:
                return f"process {target.get('pid')}"
            return str(what.get("path") or what.get("operation"))
        case "packet":
            ends = (_end(part(what, name), "?") for name in ("source", "destination"))
            return f"{what.get('protocol') or '?'} {' -> '.join(ends)}"
        case _:
            return str(what.get("path"))


def summary(record: Record) -> str:
    """The record in one sentence. Names stand in it as they are in the record."""
    event = record.get("event")
    if not is_decision(record):
        return _own_summary(record)
    process = part(record, "process")
    who = process.get("exe") or process.get("comm")
    told = f"{event} {object_name(record)}: {record.get('verdict')}"
    if who is not None:
        told += f" to {who} ({process.get('pid')})"
    policy = get(record, "policy", "name")
    if policy is not None:
        told += f" by {policy}/{get(record, 'rule', 'id') or 'default'}"
    return told


def _own_summary(record: Record) -> str:
    event = record.get("event")
    match event:
        case "audit.lost":
            lost = part(record, "lost")
            return f"{event}: {lost.get('count')} records, {lost.get('cause')}"
        case "audit.checkpoint":
            mark = part(record, "checkpoint")
            return f"{event}: {mark.get('series')} {mark.get('records')} {mark.get('head')}"
        case "audit.unsafe":
            return f"{event}: {record.get('count')} times, {record.get('because')}"
        case "clock.stepped":
            return f"{event}: by {record.get('milliseconds')} ms"
        case "control.called":
            return f"{event}: {record.get('command')}, {record.get('outcome')}"
        case "sink.failing" | "sink.recovered" | "sink.refused":
            return f"{event}: {record.get('sink')}, {record.get('because')}"
        case "set.expired":
            return f"{event}: {get(record, 'set', 'count')} of {get(record, 'set', 'name')}"
        case "ingress.interface":
            return f"{event}: {record.get('policy')}, {record.get('because')}"
    about = get(record, "policy", "name") or record.get("because") or record.get("version")
    return f"{event}: {about}" if about is not None else str(event)


def _tags(record: Record) -> list[str]:
    tags = get(record, "rule", "tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def _end(end: Record, otherwise: Any) -> str:
    address, port = end.get("address"), end.get("port")
    if address is None:
        return f"{otherwise}" if port is None else f"{otherwise} port {port}"
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
