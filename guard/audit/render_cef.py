# SPDX-License-Identifier: Apache-2.0
"""Flat record → ArcSight's Common Event Format, version 0 (CEF implementation standard, V25).

One line, without a syslog header: ``CEF:0|guard|guard|version|event|name|severity|extension``.
Extension keys are the standard's where it has one, else ``guard…``. In values
``\\`` and ``=`` are escaped, in the header ``\\`` and ``|``; control characters
have become U+FFFD by then (see plaintext.py), so no line feed is left to escape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from guard.audit.plaintext import exact_bytes, printable
from guard.audit.reading import (
    Level,
    Record,
    is_decision,
    level,
    milliseconds,
    object_name,
    part,
    process_id,
    record_id,
)
from guard.version import VERSION

_SEVERITIES = {Level.INFORMATION: 2, Level.NOTICE: 4, Level.WARNING: 6, Level.ERROR: 8}

_NOT_KEY = re.compile(r"[^A-Za-z0-9]+")

_Pairs: TypeAlias = Iterator[tuple[str, Any]]

# Members that all records have, and those that all decisions have besides.
_HEAD = ("schema", "event", "time", "boot_ns", "host", "epoch", "cpu", "seq", "chain")
_DECIDED = ("verdict", "error", "reason", "verbs", "policy", "rule", "others", "masks")
_DONE = ("object", "process", "flags", "killed", "suppressed", "stack")

# Members of guard's own records that are groups, with the prefix of their keys.
_GROUPS = ("lost", "checkpoint", "set", "policy")


def render_cef(record: Record) -> bytes:
    """The record as one line of UTF-8, without the newline."""
    event = str(record.get("event"))
    name = event
    if is_decision(record):
        name = f"{event} {record.get('verdict')}"
    header = ("CEF:0", "guard", "guard", VERSION, event, name, str(_SEVERITIES[level(record)]))
    pairs = _decision(record) if is_decision(record) else _own(record)
    extension = " ".join(
        f"{key}={_value(value)}" for key, value in (*_common(record), *pairs) if value is not None
    )
    return f"{'|'.join(map(_header, header))}|{extension}".encode()


def _common(record: Record) -> _Pairs:
    host, chain = part(record, "host"), part(record, "chain")
    yield "rt", milliseconds(record)
    yield "externalId", record_id(record)
    yield "dvchost", host.get("name")
    yield "deviceExternalId", host.get("id")
    yield "guardTime", record.get("time")
    yield "guardBoot", host.get("boot")
    yield "guardBootNs", record.get("boot_ns")
    yield "guardEpoch", record.get("epoch")
    yield "guardCpu", record.get("cpu")
    yield "guardSeq", record.get("seq")
    if chain:
        yield "guardChain", _json(chain)


def _decision(record: Record) -> _Pairs:
    policy, rule = part(record, "policy"), part(record, "rule")
    denied = record.get("verdict") == "denied"
    yield "act", record.get("verdict")
    yield "outcome", "failure" if denied else "success"
    yield "reason", record.get("error")
    yield "guardReason", record.get("reason")
    yield "guardVerbs", ",".join(map(str, record.get("verbs") or ())) or None
    yield "guardFlags", ",".join(map(str, record.get("flags") or ())) or None
    yield "guardKilled", "true" if record.get("killed") else None
    if record.get("suppressed"):
        yield "cnt", record["suppressed"] + 1
    if policy.get("name") is not None:
        yield "cs1Label", "policy"
        yield "cs1", policy["name"]
        yield "cs2Label", "rule"
        yield "cs2", rule.get("id") or "default"
        yield "cs3Label", "ruleFile"
        yield "cs3", f"{rule.get('file')}:{rule.get('line')}"
        yield "guardMode", policy.get("mode")
    yield "cn1Label", "generation"
    yield "cn1", policy.get("generation")
    if rule.get("tags"):
        yield "cs4Label", "tags"
        yield "cs4", ",".join(map(str, rule["tags"]))
    yield "guardWhy", rule.get("why")
    yield "guardOthers", ",".join(map(str, record.get("others") or ())) or None
    yield from _process(record)
    yield from _object(record)
    if record.get("masks"):
        yield "guardMasks", _json(record["masks"])
    if record.get("stack"):
        yield "guardStack", _json(record["stack"])
    for name, value in record.items():  # of a later guard
        if name not in _HEAD and name not in _DECIDED and name not in _DONE:
            yield f"guard{_camel(name)}", _json(value)


def _process(record: Record) -> _Pairs:
    who = part(record, "process")
    if not who:
        return
    yield "spid", who.get("pid")
    yield from _named(who, "exe", "sproc", "guardExeHex")
    yield "suid", who.get("uid")
    yield from _named(who, "user", "suser", "guardUserHex")
    yield "guardGid", who.get("gid")
    yield from _named(who, "group", "guardGroup", "guardGroupHex")
    yield from _named(who, "comm", "guardComm", "guardCommHex")
    yield "guardProcess", process_id(record, who)
    yield "guardTid", who.get("tid")
    yield "guardParent", who.get("parent")
    yield "guardExeDevice", who.get("exe_device")
    yield "guardExeInode", who.get("exe_inode")
    yield "guardCgroup", who.get("cgroup")
    yield from _named(who, "cgroup_path", "guardCgroupPath", "guardCgroupPathHex")
    if who.get("unit") is not None:
        yield "cs5Label", "unit"
    yield from _named(who, "unit", "cs5", "guardUnitHex")
    yield from _named(who, "user_unit", "guardUserUnit", "guardUserUnitHex")
    container = part(who, "container")
    if container:
        yield "cs6Label", "container"
        yield "cs6", container.get("id")
        yield "guardContainer", _json(container)
    if who.get("ancestors"):
        yield "guardAncestors", _json(who["ancestors"])


def _object(record: Record) -> _Pairs:
    what = part(record, "object")
    kind = what.get("kind")
    if kind == "packet":
        source, destination = part(what, "source"), part(what, "destination")
        yield "src", source.get("address")
        yield "spt", source.get("port")
        yield "dst", destination.get("address")
        yield "dpt", destination.get("port")
        yield "proto", what.get("protocol")
        yield "deviceDirection", 0
        yield from _named(what, "interface", "deviceInboundInterface", "guardInterfaceHex")
        yield "in", what.get("length")
        yield "guardIcmpType", what.get("icmp_type")
        yield "guardTcpFlags", ",".join(map(str, what.get("tcp_flags") or ())) or None
        yield "guardVlan", what.get("vlan")
        yield "guardFragment", what.get("fragment")
        yield "guardHead", what.get("head") or None
        return
    if kind == "net":
        inbound = "accept" in (record.get("verbs") or ())
        yield "src" if inbound else "dst", what.get("address")
        yield "spt" if inbound else "dpt", what.get("port")
        yield "proto", what.get("protocol")
        yield "deviceDirection", 0 if inbound else 1
        yield "guardFamily", what.get("family")
        yield "guardType", what.get("type")
        yield from _named(what, "abstract", "guardAbstract", "guardAbstractHex")
    if kind == "kernel":
        yield "guardOperation", what.get("operation")
        target = part(what, "target")
        yield "dpid", target.get("pid")
        yield from _named(target, "exe", "dproc", "guardTargetHex")
        yield "guardTarget", process_id(record, target)
    if "path" in what:
        yield "fname", object_name(record) if kind == "net" else _base(what["path"])
        yield from _named(what, "path", "filePath", "guardPathHex")
        yield "fileId", what.get("inode")
        yield "guardDevice", what.get("device")
    if "to" in what:
        yield from _named(what, "to", "guardTo", "guardToHex")
    digest = part(what, "hash")
    yield "fileHash", digest.get("sha256")
    yield "guardHashNote", digest.get("note")


def _own(record: Record) -> _Pairs:
    """The members of guard's own records: groups member by member, lists as JSON."""
    caller = part(record, "caller")
    if caller:
        yield "spid", caller.get("pid")
        yield "suid", caller.get("uid")
        yield from _named(caller, "user", "suser", "guardUserHex")
        yield from _named(caller, "exe", "sproc", "guardExeHex")
        yield "guardGid", caller.get("gid")
    for name, value in record.items():
        if name in _HEAD or name == "caller" or value is None:
            continue
        key = "reason" if name == "because" else f"guard{_camel(name)}"
        if name in _GROUPS and isinstance(value, dict):
            for inner, item in value.items():
                plain = not isinstance(item, list | dict)
                yield f"{key}{_camel(inner)}", item if plain else _json(item)
        elif isinstance(value, list | dict):
            yield key, _json(value)
        elif isinstance(value, bool):
            yield key, "true" if value else "false"
        else:
            yield key, value


def _named(group: Record, name: str, key: str, hex_key: str) -> _Pairs:
    yield key, group.get(name)
    yield hex_key, exact_bytes(group, name)


def _json(value: Any) -> str:
    """What has no form in CEF: JSON in ASCII, in which every control is an escape already."""
    return json.dumps(value, separators=(",", ":"))


def _camel(name: str) -> str:
    """A member's name as a key, which has letters and digits only."""
    return "".join(word.capitalize() for word in _NOT_KEY.split(name))


def _header(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: Any) -> str:
    return printable(str(value)).replace("\\", "\\\\").replace("=", "\\=")


def _base(path: str) -> str:
    return path.rpartition("/")[2] or path
