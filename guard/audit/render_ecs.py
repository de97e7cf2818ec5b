# SPDX-License-Identifier: Apache-2.0
"""Flat record → Elastic Common Schema 9.4.0.

Nested objects, as Elasticsearch and OpenSearch take them. What ECS has no
field for is below ``guard``, under its name in the flat record. Numbers that
ECS wants as keywords (ids) are strings; null members are left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from guard.audit.reading import (
    Record,
    get,
    is_decision,
    is_failure,
    level,
    other_tags,
    part,
    process_id,
    record_id,
    started_at,
    summary,
    tactics,
    techniques,
)
from guard.audit.text import line
from guard.version import VERSION

ECS_VERSION = "9.4.0"

# event.category and event.type by the object's kind; then the first verb that is here.
_CATEGORIES = {
    "file": "file",
    "exec": "process",
    "net": "network",
    "packet": "network",
    "kernel": "host",
}
_TYPES = {
    "file": {
        "create": "creation",
        "mkdev": "creation",
        "mkfifo": "creation",
        "mksock": "creation",
        "link": "creation",
        "delete": "deletion",
        "rename": "change",
        "write": "change",
        "append": "change",
        "setattr": "change",
    },
    "exec": {"exec": "start"},
    "net": {"connect": "start", "accept": "start"},
}
_OTHERWISE = {"file": "access", "exec": "access", "net": "connection", "packet": "connection"}
_OWN_TYPES = {
    "guard.started": ("host", "start"),
    "guard.adopted": ("host", "change"),
    "guard.stopped": ("host", "end"),
    "ship.started": ("host", "start"),
    "ship.stopped": ("host", "end"),
    "policy.loaded": ("configuration", "change"),
    "policy.rejected": ("configuration", "info"),
    "set.expired": ("configuration", "deletion"),
    "ingress.interface": ("network", "info"),
    "audit.unsafe": ("host", "info"),
    "clock.stepped": ("host", "change"),
    "control.called": ("configuration", "access"),
    "ingress.confirmed": ("configuration", "change"),
    "ingress.rolled-back": ("configuration", "change"),
    "selfprotect.unlocked": ("configuration", "change"),
}

# What has a field of ECS and is not repeated below guard.
_MAPPED = frozenset(
    ("time", "seq", "host", "event", "error", "reason", "rule", "process", "object", "policy")
)
_MAPPED_PROCESS = frozenset(
    ("pid", "tid", "exe", "comm", "uid", "gid", "user", "group", "container", "parent")
)
_MAPPED_OBJECT = frozenset(("path", "to", "hash", "inode", "address", "port", "interface"))


def ecs(record: Record) -> dict[str, Any]:
    """The document as a value."""
    made: dict[str, Any] = {
        "@timestamp": record.get("time"),
        "ecs": {"version": ECS_VERSION},
        "message": summary(record),
        "event": _event(record),
        "host": _present(
            id=get(record, "host", "id"),
            name=get(record, "host", "name"),
            hostname=get(record, "host", "name"),
            boot=_present(id=get(record, "host", "boot")),
        ),
        "observer": {"vendor": "guard", "product": "guard", "type": "host", "version": VERSION},
        "guard": _rest(record),
    }
    if is_decision(record):
        made |= _decision(record)
    elif part(record, "caller"):
        caller = part(record, "caller")
        made["process"] = _present(pid=caller.get("pid"), executable=caller.get("exe"))
        made["user"] = _present(id=str(caller.get("uid")), name=caller.get("user"))
    return {name: value for name, value in made.items() if value not in (None, {}, [])}


def render_ecs(record: Record) -> bytes:
    """The document as one line of JSON in ASCII, without the newline."""
    return line(ecs(record))


def _event(record: Record) -> dict[str, Any]:
    decision = is_decision(record)
    verdict, event = record.get("verdict"), str(record.get("event"))
    alert = verdict in ("denied", "would-deny") or event == "audit.lost"
    if decision:
        kind = str(get(record, "object", "kind"))
        category = ["process" if _has_target(record) else _CATEGORIES.get(kind, "host")]
        words = _TYPES.get(kind, {})
        asked = [word for word in words if word in (record.get("verbs") or ())]
        types = [words[asked[0]] if asked else _OTHERWISE.get(kind, "access")]
        if verdict in ("denied", "would-deny"):
            category.append("intrusion_detection")
        types.append("denied" if verdict == "denied" else "info")
        failed = verdict == "denied"
    else:
        category, types = ([one] for one in _OWN_TYPES.get(event, ("host", "info")))
        failed = is_failure(record)
    return _present(
        kind="alert" if alert else "event",
        category=category,
        type=types,
        outcome="failure" if failed else "success",
        action=event,
        code=event,
        reason=record.get("reason") or record.get("because"),
        module="guard",
        dataset="guard.audit",
        provider="guard",
        id=record_id(record),
        # ECS has a signed long for it.
        sequence=_long(record.get("seq")),
        severity=int(level(record)),
    )


def _decision(record: Record) -> dict[str, Any]:
    who, rule, policy = part(record, "process"), part(record, "rule"), part(record, "policy")
    made: dict[str, Any] = {
        "error": _present(code=record.get("error")),
        "rule": _present(
            id=rule.get("id") or ("default" if policy.get("name") is not None else None),
            name=rule.get("id"),
            description=rule.get("why"),
            ruleset=policy.get("name"),
            version=None if policy.get("name") is None else str(policy.get("generation")),
            reference=None if rule.get("file") is None else f"{rule['file']}:{rule.get('line')}",
        ),
        "tags": other_tags(record),
        "threat": _threat(record),
        "process": _process(record, who) if who else None,
        "user": _present(id=_id(who.get("uid")), name=who.get("user")),
        "group": _present(id=_id(who.get("gid")), name=who.get("group")),
        "container": _present(
            id=get(who, "container", "id"), runtime=get(who, "container", "runtime")
        ),
        "related": _related(record),
    }
    return made | _object(record)


def _object(record: Record) -> dict[str, Any]:
    what = part(record, "object")
    kind = what.get("kind")
    if kind == "packet":
        source, destination = part(what, "source"), part(what, "destination")
        return {
            "source": _end(source),
            "destination": _end(destination),
            "network": _network(record, source.get("address"), "ingress"),
        }
    if kind == "net":
        inbound = "accept" in (record.get("verbs") or ())
        named = what.get("path", f"@{what['abstract']}" if "abstract" in what else None)
        end = _end(what) or _present(address=named)
        there = "source" if inbound else "destination"
        direction = "ingress" if inbound else "egress"
        return {there: end, "network": _network(record, what.get("address"), direction)}
    if what.get("path") is None:
        return {}
    path = str(what["path"])
    digest = get(what, "hash", "sha256")
    file = _present(
        path=path,
        name=path.rpartition("/")[2] or path,
        directory=path.rpartition("/")[0] or None,
        inode=what.get("inode"),
        target_path=what.get("to"),
        hash={"sha256": digest} if digest else None,
    )
    return {"file": file}


def _process(record: Record, who: Record) -> dict[str, Any]:
    ancestors = who.get("ancestors") or []
    parent = ancestors[0] if ancestors else {"pid": who.get("parent")}
    return _present(
        pid=who.get("pid"),
        entity_id=process_id(record, who),
        executable=who.get("exe"),
        name=_base(who.get("exe")) or who.get("comm"),
        start=_moment(started_at(record, who)),
        thread=_present(id=who.get("tid"), name=who.get("comm")),
        parent=_present(
            pid=parent.get("pid"),
            executable=parent.get("exe"),
            name=parent.get("comm"),
            start=_moment(started_at(record, parent)),
        ),
    )


def _threat(record: Record) -> dict[str, Any] | None:
    wanted = techniques(record)
    goals = tactics(record)
    if not wanted and not goals:
        return None
    made: dict[str, Any] = {"framework": "MITRE ATT&CK"}
    if goals:
        made["tactic"] = {"id": goals}
    if wanted:
        subs = [tag for tag in wanted if "." in tag]
        made["technique"] = {"id": list(dict.fromkeys(tag.partition(".")[0] for tag in wanted))}
        if subs:
            made["technique"]["subtechnique"] = {"id": subs}
    return made


def _related(record: Record) -> dict[str, Any]:
    what = part(record, "object")
    addresses = [what.get("address")]
    addresses += [get(what, name, "address") for name in ("source", "destination")]
    digest = get(what, "hash", "sha256")
    user = get(record, "process", "user")
    return _present(
        ip=[one for one in addresses if one] or None,
        hash=[digest] if digest else None,
        user=[user] if user else None,
    )


def _network(record: Record, address: Any, direction: str) -> dict[str, Any]:
    what = part(record, "object")
    version = None
    if address is not None:
        version = "ipv6" if ":" in str(address) else "ipv4"
    return _present(transport=what.get("protocol"), type=version, direction=direction)


def _end(end: Record) -> dict[str, Any]:
    address = end.get("address")
    return _present(ip=address, address=address, port=end.get("port"))


def _rest(record: Record) -> dict[str, Any]:
    rest = {name: value for name, value in record.items() if name not in _MAPPED}
    if not is_decision(record):
        for name in ("policy", "error", "rule"):
            if name in record:
                rest[name] = record[name]
        return rest
    rest["policy"] = _present(**part(record, "policy"))
    for name, mapped in (("process", _MAPPED_PROCESS), ("object", _MAPPED_OBJECT)):
        group = part(record, name)
        kept = {key: value for key, value in group.items() if key not in mapped}
        kept |= {key: value for key, value in group.items() if key in ("container", "hash")}
        rest[name] = kept
    return rest


def _has_target(record: Record) -> bool:
    return bool(part(record, "object", "target"))


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, {}, [])}


def _id(number: Any) -> str | None:
    return None if number is None else str(number)


def _long(number: Any) -> int | None:
    return number if isinstance(number, int) and number < 2**63 else None


def _moment(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base(path: str | None) -> str | None:
    return None if path is None else (path.rpartition("/")[2] or path)
