# SPDX-License-Identifier: Apache-2.0
"""Flat record → OCSF 1.8.0 event.

Classes: files 1001, programs and what is done to processes 1007, sockets and
packets 4001, other operations on the kernel 2004, guard's own records 1008.
``activity`` is what was tried, ``action`` and ``disposition`` what came of it.

What OCSF has no place for is below ``unmapped.guard``, under its name in the
flat record: hexadecimal twins of names, the rule's place, counters; the seal
of the hash chain below ``unmapped.record_integrity`` (see ocsf_rest.py).
"""

from __future__ import annotations

from typing import Any

from guard.audit import ocsf_objects as objects
from guard.audit.ocsf_objects import present
from guard.audit.ocsf_rest import unmapped
from guard.audit.reading import (
    Level,
    Record,
    get,
    is_decision,
    is_failure,
    level,
    milliseconds,
    object_name,
    other_tags,
    part,
    record_id,
    summary,
    techniques,
)
from guard.audit.text import line
from guard.version import VERSION

OCSF_VERSION = "1.8.0"

_OTHER = 99
_SYSTEM, _FINDINGS, _NETWORK = 1, 2, 4
_CAPTIONS = {
    1001: "File System Activity",
    1007: "Process Activity",
    1008: "Event Log Activity",
    2004: "Detection Finding",
    4001: "Network Activity",
}
_CATEGORIES = {_SYSTEM: "System Activity", _FINDINGS: "Findings", _NETWORK: "Network Activity"}

# The first verb that is here says what a file operation was.
_FILE_ACTIVITIES = {
    "create": (1, "Create"),
    "mkdev": (1, "Create"),
    "mkfifo": (1, "Create"),
    "mksock": (1, "Create"),
    "delete": (4, "Delete"),
    "rename": (5, "Rename"),
    "setattr": (6, "Set Attributes"),
    "write": (3, "Update"),
    "append": (3, "Update"),
    "read": (2, "Read"),
    "list": (2, "Read"),
}
_NET_ACTIVITIES = {
    "connect": (1, "Open"),
    "accept": (1, "Open"),
    "listen": (7, "Listen"),
    "send": (6, "Traffic"),
    "receive": (6, "Traffic"),
}
_LOG_ACTIVITIES = {
    "guard.started": (6, "Start"),
    "guard.stopped": (7, "Stop"),
    "guard.adopted": (8, "Restart"),
    "ship.started": (6, "Start"),
    "ship.stopped": (7, "Stop"),
    "set.expired": (2, "Delete"),
}
# action_id, action, disposition_id, disposition
_OUTCOMES = {
    "denied": (2, "Denied", 2, "Blocked"),
    "would-deny": (3, "Observed", 15, "Detected"),
    "allowed": (1, "Allowed", 17, "Logged"),
}
_SEVERITIES = {
    Level.INFORMATION: (1, "Informational"),
    Level.NOTICE: (2, "Low"),
    Level.WARNING: (3, "Medium"),
    Level.ERROR: (4, "High"),
}
_INBOUND, _OUTBOUND = (1, "Inbound"), (2, "Outbound")
_PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
_APPLICATION_LOG = 2


def ocsf(record: Record, findings: bool = False) -> dict[str, Any]:
    """The event as a value. ``findings``: a decision by a rule with ATT&CK
    techniques becomes a Detection Finding, whatever its object is.
    """
    if not is_decision(record):
        return _log(record)
    if findings and techniques(record):
        return _finding(record)
    kind = get(record, "object", "kind")
    verbs = record.get("verbs") or []
    match kind:
        case "file":
            return _file(record)
        case "exec":
            return _file(record) if "map" in verbs else _launch(record)
        case "net":
            return _socket(record)
        case "packet":
            return _packet(record)
        case "kernel" if get(record, "object", "target"):
            return _process(record)
        case _:
            return _finding(record)


def render_ocsf(record: Record, findings: bool = False) -> bytes:
    """The event as one line of JSON in ASCII, without the newline."""
    return line(ocsf(record, findings))


def _file(record: Record) -> dict[str, Any]:
    verbs = record.get("verbs") or []
    if record.get("event") == "file.open":
        activity = (14, "Open")
    else:
        activity = _first(verbs, _FILE_ACTIVITIES)
    made = _decision(record, 1001, activity)
    made |= {"actor": objects.actor(record), "device": objects.device(record)}
    made["file"] = objects.file(record)
    to = get(record, "object", "to")
    if to is not None:
        made["file_result"] = objects.file(record, to)
    return made


def _launch(record: Record) -> dict[str, Any]:
    made = _decision(record, 1007, (1, "Launch"))
    made |= {"actor": objects.actor(record), "device": objects.device(record)}
    made |= {"launch_type_id": 3, "launch_type": "Exec", "process": objects.program(record)}
    return made


def _process(record: Record) -> dict[str, Any]:
    operation = get(record, "object", "operation")
    activity = (3, "Open") if operation == "ptrace" else (_OTHER, str(operation))
    made = _decision(record, 1007, activity)
    made |= {"actor": objects.actor(record), "device": objects.device(record)}
    made["process"] = objects.target(record)
    return made


def _socket(record: Record) -> dict[str, Any]:
    verbs, what = record.get("verbs") or [], part(record, "object")
    made = _decision(record, 4001, _first(verbs, _NET_ACTIVITIES))
    made |= {"actor": objects.actor(record), "device": objects.device(record)}
    here = {"hostname": str(get(record, "host", "name"))}
    name = object_name(record) if {"path", "abstract"} & what.keys() else None
    there = objects.endpoint(what.get("address"), what.get("port"), **present(name=name))
    inbound = "accept" in verbs
    if inbound:
        made["dst_endpoint"] = here
        if there:
            made["src_endpoint"] = there
    else:
        made["src_endpoint"] = here
        if there:
            made["dst_endpoint"] = there
    version = {"inet": 4, "inet6": 6}.get(str(what.get("family")))
    direction = _INBOUND if inbound or {"bind", "listen"} & set(verbs) else _OUTBOUND
    made["connection_info"] = _connection(what.get("protocol"), version, direction)
    return made


def _packet(record: Record) -> dict[str, Any]:
    what = part(record, "object")
    made = _decision(record, 4001, _NET_ACTIVITIES["receive"])
    made["device"] = objects.device(record)
    source, destination = part(what, "source"), part(what, "destination")
    interface = present(interface_name=what.get("interface"))
    ends = {
        "src_endpoint": objects.endpoint(source.get("address"), source.get("port")),
        "dst_endpoint": objects.endpoint(
            destination.get("address"), destination.get("port"), **interface
        ),
    }
    made |= present(**ends)
    address = str(source.get("address") or destination.get("address") or "")
    version = (6 if ":" in address else 4) if address else None
    made["connection_info"] = _connection(what.get("protocol"), version, _INBOUND)
    return made


def _finding(record: Record) -> dict[str, Any]:
    made = _decision(record, 2004, (1, "Create"))
    made |= present(device=objects.device(record), actor=objects.actor(record))
    # Of a finding, status says where its handling stands: it is new.
    made |= {"status_id": 1, "status": "New"}
    rule = part(record, "rule")
    made["finding_info"] = present(
        uid=record_id(record),
        title=f"{record.get('event')} {record.get('verdict')}",
        desc=rule.get("why"),
        analytic=present(
            type_id=1, type="Rule", name=rule.get("id") or "default", desc=rule.get("why")
        ),
        attacks=objects.attacks(record),
    )
    evidence: dict[str, Any] = {"actor": objects.actor(record)}
    kind = get(record, "object", "kind")
    if kind in ("file", "exec") or "path" in part(record, "object"):
        evidence["file"] = objects.file(record)
    if get(record, "object", "target"):
        evidence["process"] = objects.target(record)
    if kind in ("net", "packet"):
        event = _packet(record) if kind == "packet" else _socket(record)
        ends = ("src_endpoint", "dst_endpoint", "connection_info")
        evidence |= {name: event[name] for name in ends if name in event}
    evidence["data"] = {"object": part(record, "object")}
    made["evidences"] = [evidence]
    return made


def _log(record: Record) -> dict[str, Any]:
    event = str(record.get("event"))
    failed = is_failure(record)
    made = _base(record, 1008, _LOG_ACTIVITIES.get(event, (_OTHER, event)))
    made["metadata"]["profiles"] = ["datetime", "host"]
    made |= {
        "actor": objects.actor(record),
        "device": objects.device(record),
        "log_name": "guard",
        "log_provider": "guard",
        "log_type_id": _APPLICATION_LOG,
        "log_type": "Application",
        "status_id": 2 if failed else 1,
        "status": "Failure" if failed else "Success",
    }
    made |= present(status_detail=record.get("because") or record.get("detail"))
    return made


def _decision(record: Record, class_uid: int, activity: tuple[int, str]) -> dict[str, Any]:
    """What all decisions have: the security control profile."""
    made = _base(record, class_uid, activity)
    verdict = str(record.get("verdict"))
    action_id, action, disposition_id, disposition = _OUTCOMES.get(
        verdict, (0, "Unknown", 0, "Unknown")
    )
    denied = verdict == "denied"
    policy, rule = part(record, "policy"), part(record, "rule")
    made["metadata"]["profiles"] = ["container", "datetime", "host", "security_control"]
    made |= {
        "action_id": action_id,
        "action": action,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "is_alert": verdict != "allowed",
        "status_id": 2 if denied else 1,
        "status": "Failure" if denied else "Success",
    }
    made |= present(
        status_code=record.get("error"),
        status_detail=record.get("reason"),
        attacks=objects.attacks(record),
    )
    if policy.get("name") is not None:
        made["policy"] = present(
            name=policy["name"],
            type=policy.get("mode"),
            version=str(policy.get("generation")),
            is_applied=policy.get("mode") == "enforce",
            desc=rule.get("why"),
        )
        # OCSF's only place for the rule of a control, whatever it controls.
        made["firewall_rule"] = present(
            name=rule.get("id") or "default",
            desc=rule.get("why"),
            match_location=f"{rule.get('file')}:{rule.get('line')}",
        )
    if record.get("suppressed"):
        made["count"] = record["suppressed"] + 1
    return made


def _base(record: Record, class_uid: int, activity: tuple[int, str]) -> dict[str, Any]:
    severity_id, severity = _SEVERITIES[level(record)]
    category = class_uid // 1000
    time = record.get("time")
    made: dict[str, Any] = {
        "metadata": present(
            version=OCSF_VERSION,
            product={"name": "guard", "vendor_name": "guard", "version": VERSION},
            uid=record_id(record),
            sequence=record.get("seq"),
            event_code=record.get("event"),
            original_time=time,
            log_name="guard",
            log_version=str(record.get("schema")),
            labels=other_tags(record) or None,
        ),
        "category_uid": category,
        "category_name": _CATEGORIES[category],
        "class_uid": class_uid,
        "class_name": _CAPTIONS[class_uid],
        "activity_id": activity[0],
        "activity_name": activity[1],
        "type_uid": class_uid * 100 + activity[0],
        "type_name": f"{_CAPTIONS[class_uid]}: {activity[1]}",
        "time": milliseconds(record),
        "time_dt": time,
        "severity_id": severity_id,
        "severity": severity,
        "message": summary(record),
        "unmapped": unmapped(record),
    }
    return made


def _connection(protocol: Any, version: int | None, direction: tuple[int, str]) -> dict[str, Any]:
    number = None
    if protocol is not None:
        number = _PROTOCOL_NUMBERS.get(protocol)
        if number is None and str(protocol).isdecimal():
            number = int(protocol)
    return present(
        direction_id=direction[0],
        direction=direction[1],
        protocol_name=protocol,
        protocol_num=number,
        protocol_ver_id=version,
    )


def _first(verbs: list[str], activities: dict[str, tuple[int, str]]) -> tuple[int, str]:
    for word, activity in activities.items():
        if word in verbs:
            return activity
    return (_OTHER, " ".join(verbs) or "Other")
