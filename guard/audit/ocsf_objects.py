# SPDX-License-Identifier: Apache-2.0
"""Parts of flat records as OCSF 1.8.0 objects: device, process, file, endpoint, attack.

Knows OCSF's objects; which class of event they go into is render_ocsf's business.
"""

from __future__ import annotations

import re
from typing import Any

from guard.audit.reading import Record, get, part, process_id, started_at, tactics, techniques

# OCSF's numbers: https://schema.ocsf.io/1.8.0
SHA_256 = 3
_DEVICE_UNKNOWN = 0
_FILE_UNKNOWN, _FILE_FOLDER, _FILE_EXECUTABLE = 0, 2, 8
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def present(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def device(record: Record) -> dict[str, Any]:
    """The host."""
    host = part(record, "host")
    return present(
        type_id=_DEVICE_UNKNOWN,
        hostname=str(host.get("name")),
        uid=host.get("id"),
        boot_uid=host.get("boot"),
    )


def process(record: Record) -> dict[str, Any] | None:
    """The process that did it; None where there is none."""
    who = part(record, "process")
    if not who:
        return None
    made = _bare_process(record, who)
    made["tid"] = who.get("tid")
    made["user"] = user(who)
    made["container"] = container(who)
    ancestors = [_entity(record, one) for one in who.get("ancestors") or ()]
    parent = ancestors[0] if ancestors else present(pid=who.get("parent"))
    made["parent_process"] = parent
    made["ancestry"] = ancestors or None
    return present(**made)


def target(record: Record) -> dict[str, Any]:
    """The process that it was done to."""
    return present(**_bare_process(record, part(record, "object", "target")))


def program(record: Record) -> dict[str, Any]:
    """The process as it would be after the exec: the same one with the new program."""
    who, what = part(record, "process"), part(record, "object")
    return present(
        pid=who.get("pid"),
        uid=process_id(record, who),
        name=_base(what.get("path")),
        path=what.get("path"),
        file=file(record),
        container=container(who),
    )


def actor(record: Record) -> dict[str, Any]:
    """Who did it: the process and its user; for guard's own records the caller, or guard."""
    found = process(record)
    if found is not None:
        return present(process=found, user=user(part(record, "process")))
    caller = part(record, "caller")
    if caller:
        exe = caller.get("exe")
        called = present(pid=caller.get("pid"), path=exe, name=_base(exe))
        return {"process": called, "user": user(caller)}
    return {"app_name": "guard"}


def user(who: Record) -> dict[str, Any]:
    """A user id with its name, and the group that counts."""
    groups = None
    if who.get("gid") is not None:
        groups = [present(uid=str(who["gid"]), name=who.get("group"))]
    return present(uid=str(who.get("uid")), name=who.get("user"), groups=groups)


def container(who: Record) -> dict[str, Any] | None:
    """The container of a process."""
    found = part(who, "container")
    if not found:
        return None
    pod = found.get("pod")
    return present(
        uid=found.get("id"),
        runtime=found.get("runtime"),
        pod_uuid=pod if pod and _UUID.fullmatch(pod) else None,
    )


def file(record: Record, path: str | None = None) -> dict[str, Any]:
    """The object as a file; ``path`` instead of its own for a rename's result."""
    what = part(record, "object")
    verbs = record.get("verbs") or ()
    kind = _FILE_UNKNOWN
    if what.get("kind") == "exec":
        kind = _FILE_EXECUTABLE
    elif "list" in verbs:
        kind = _FILE_FOLDER
    digest = get(what, "hash", "sha256")
    named = str(what.get("path") if path is None else path)
    identity = None
    if path is None and what.get("inode") is not None:
        identity = f"{what.get('device')}/{what['inode']}"
    return present(
        name=_base(named),
        path=named,
        type_id=kind,
        uid=identity,
        hashes=[fingerprint(digest)] if digest else None,
    )


def fingerprint(digest: str) -> dict[str, Any]:
    """A SHA-256."""
    return {"algorithm_id": SHA_256, "algorithm": "SHA-256", "value": digest}


def endpoint(address: Any, port: Any, **more: Any) -> dict[str, Any] | None:
    """One end of a connection; None if nothing is known of it."""
    made = present(ip=address, port=port, **more)
    known = made.keys() - {"port"}
    return made if known else None


def attacks(record: Record) -> list[dict[str, Any]] | None:
    """The rule's ATT&CK tags."""
    found: list[dict[str, Any]] = []
    for tag in techniques(record):
        top, _, sub = tag.partition(".")
        made: dict[str, Any] = {"technique": {"uid": top}}
        if sub:
            made["sub_technique"] = {"uid": tag}
        found.append(made)
    found += [{"tactic": {"uid": tag}} for tag in tactics(record)]
    return found or None


def _bare_process(record: Record, who: Record) -> dict[str, Any]:
    exe = who.get("exe")
    begun = started_at(record, who)
    made = {
        "pid": who.get("pid"),
        "uid": process_id(record, who),
        "name": who.get("comm", _base(exe)),
        "path": exe,
        "created_time": None if begun is None else int(begun.timestamp() * 1000),
    }
    if exe is not None:
        identity = None
        if who.get("exe_inode") is not None:
            identity = f"{who.get('exe_device')}/{who['exe_inode']}"
        made["file"] = present(name=_base(exe), path=exe, type_id=_FILE_EXECUTABLE, uid=identity)
    return made


def _entity(record: Record, who: Record) -> dict[str, Any]:
    made = _bare_process(record, who)
    made.pop("file", None)
    return present(**made)


def _base(path: str | None) -> str | None:
    if path is None:
        return None
    return path.rpartition("/")[2] or path
