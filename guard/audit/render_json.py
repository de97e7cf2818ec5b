# SPDX-License-Identifier: Apache-2.0
"""Record → guard's own JSON: one object, one line, ASCII.

Knows the order and spelling of the members; what they mean is in
record_fields.py, and the tests hold every line against the schema made of it.

Names that are not UTF-8 get a ``_hex`` twin (see text.py). Numbers of 64 bits
that are not counts (inodes, cgroup ids, nanoseconds) are decimal strings: many
JSON readers keep 53 bits.

Written out piece by piece rather than through a dict and json.dumps, which
costs about five times as much.
"""

from __future__ import annotations

from typing import Protocol

from guard.audit.decode import Event
from guard.audit.fields import SCHEMA
from guard.audit.objects import (
    ExecObject,
    FileObject,
    Frame,
    Hash,
    KernelObject,
    NetObject,
    Object,
    PacketObject,
    Stack,
)
from guard.audit.origin import Origin
from guard.audit.record import PacketRecord, Record, Resolution
from guard.audit.text import member, quoted

# Entries of a cache of fragments; beyond it everything is forgotten at once.
_CACHE = 1024


# What stands in a process whose identity nobody looks up.
NO_IDENTITY = (
    b'"user":null,"group":null,"cgroup_path":null,"unit":null,"user_unit":null,'
    b'"container":null,"ancestors":null'
)


class Identities(Protocol):
    """What the host knows of processes: guard.audit.identity.ProcessCache."""

    @property
    def version(self) -> int:
        """Counts up when a piece given before would be another now."""

    def fragment(
        self,
        pid: int,
        start_ns: int,
        parent: int,
        uid: int,
        gid: int,
        cgroup: int,
        exe_device: int,
        exe_inode: int,
    ) -> bytes:
        """The members of ``process`` from ``user`` on, without a comma at either end.

        Good for as long as ``version`` stays the same.
        """


class JsonRenderer:
    """Renders the records of one origin. ``identities`` None: nothing is looked up."""

    def __init__(self, origin: Origin, identities: Identities | None = None) -> None:
        self._identities = identities
        self._version = 0
        self._origin = (
            f'"host":{{"name":{quoted(origin.name)},"id":{quoted(origin.id)},'
            f'"boot":{quoted(origin.boot)}}},"epoch":{quoted(origin.epoch)}'
        )
        # Few policies and processes make most records: their parts are kept.
        self._policies: dict[tuple[Resolution, int], str] = {}
        self._processes: dict[tuple[object, ...], str] = {}
        self._words: dict[tuple[str, ...], str] = {}

    def line(self, record: Record) -> bytes:
        """The record as JSON without the newline. Never raises, never holds a newline."""
        event = record.event
        error = f'"{record.error}"' if record.error else "null"
        masks = ""
        if not record.resolved:
            masks = f',"masks":{{"denied":"{event.denied:x}","audited":"{event.audited:x}"}}'
        return (
            f'{{"schema":{SCHEMA},"event":"{record.kind}","time":"{record.time}",'
            f'"boot_ns":"{event.boot_ns}",{self._origin},'
            f'"cpu":{event.cpu},"seq":{event.sequence},'
            f'"verdict":"{record.verdict}","error":{error},"reason":"{record.reason}",'
            f'"verbs":{self._list(record.verbs)},'
            f"{self._policy(record.resolution, event.generation)}{masks},"
            f'"object":{_object(record.object)},'
            f'{self._process(event, record.exe)},"flags":{self._list(record.flags)},'
            f'"killed":{"true" if record.killed else "false"},'
            f'"suppressed":{record.suppressed}{_stack(record.stack)}}}'
        ).encode("ascii")

    def packet(self, record: PacketRecord) -> bytes:
        """The same for a packet."""
        return (
            f'{{"schema":{SCHEMA},"event":"{record.kind}","time":"{record.time}",'
            f'"boot_ns":"{record.boot_ns}",{self._origin},'
            f'"cpu":{record.cpu},"seq":{record.sequence},'
            f'"verdict":"{record.verdict}","error":null,"reason":"{record.reason}",'
            f'"verbs":["receive"],'
            f"{self._policy(record.resolution, record.generation)},"
            f'"object":{_object(record.object)},'
            f'"process":null,"flags":{self._list(record.flags)},'
            f'"killed":false,"suppressed":{record.suppressed}}}'
        ).encode("ascii")

    def _policy(self, resolution: Resolution, generation: int) -> str:
        key = (resolution, generation)
        text = self._policies.get(key)
        if text is None:
            if len(self._policies) >= _CACHE:
                self._policies.clear()
            text = self._policies[key] = _policy(resolution, generation)
        return text

    def _process(self, event: Event, exe: bytes | None) -> str:
        identities = self._identities
        if identities is not None and identities.version != self._version:
            self._version = identities.version
            self._processes.clear()
        # All that the fragment holds: a process may change any of it.
        key = (
            event.tid,
            event.start_ns,
            event.pid,
            event.parent,
            event.uid,
            event.gid,
            event.cgroup,
            event.exe_device,
            event.exe_inode,
            exe,
            event.comm,
        )
        text = self._processes.get(key)
        if text is None:
            if len(self._processes) >= _CACHE:
                self._processes.clear()
            text = self._processes[key] = _process(event, exe, self._identity(event))
        return text

    def _identity(self, event: Event) -> str:
        if self._identities is None:
            return NO_IDENTITY.decode()
        return self._identities.fragment(
            event.pid,
            event.start_ns,
            event.parent,
            event.uid,
            event.gid,
            event.cgroup,
            event.exe_device,
            event.exe_inode,
        ).decode("ascii")

    def _list(self, words: tuple[str, ...]) -> str:
        text = self._words.get(words)
        if text is None:
            if len(self._words) >= _CACHE:
                self._words.clear()
            text = self._words[words] = _strings(words)
        return text


def _process(event: Event, exe: bytes | None, identity: str) -> str:
    return (
        f'"process":{{"pid":{event.pid},"tid":{event.tid},"parent":{event.parent},'
        f'"start_ns":"{event.start_ns}",{_name("exe", exe)},'
        f'"exe_device":{_device(event.exe_device)},'
        f'"exe_inode":"{event.exe_inode}","uid":{event.uid},"gid":{event.gid},'
        f'"cgroup":"{event.cgroup}",{member("comm", event.comm)},{identity}}}'
    )


def _policy(resolution: Resolution, generation: int) -> str:
    policy, mode, rule, file, line, why, others, tags = resolution
    return (
        f'"policy":{{"name":{_text(policy)},"mode":{_text(mode)},"generation":{generation}}},'
        f'"rule":{{"id":{_text(rule)},"file":{_text(file)},'
        f'"line":{"null" if line is None else line},"why":{_text(why)},'
        f'"tags":{_strings(tags)}}},'
        f'"others":{_strings(others)}'
    )


def _text(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _strings(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(quoted, texts))}]"


def _object(of: Object) -> str:
    match of:
        case FileObject(path, device, inode, to):
            more = "" if to is None else f",{member('to', to)}"
            return (
                f'{{"kind":"file",{member("path", path)},"device":{_device(device)},'
                f'"inode":"{inode}"{more}}}'
            )
        case ExecObject(path, device, inode, found):
            return (
                f'{{"kind":"exec",{member("path", path)},"device":{_device(device)},'
                f'"inode":"{inode}"{_hash(found)}}}'
            )
        case NetObject(family, kind, protocol, address, port, path, device, inode, abstract):
            more = ""
            if path is not None:
                more = f',{member("path", path)},"device":{_device(device)},"inode":"{inode}"'
            more += "" if abstract is None else f",{member('abstract', abstract)}"
            return (
                f'{{"kind":"net","family":{quoted(family)},"type":{_text(kind)},'
                f'"protocol":{_text(protocol)},"address":{_text(address)},'
                f'"port":{_number(port)}{more}}}'
            )
        case KernelObject(operation, target, path):
            aim = "null"
            if target is not None:
                start = "null" if target.start_ns is None else f'"{target.start_ns}"'
                aim = f'{{"pid":{target.pid},"start_ns":{start},{_name("exe", target.exe)}}}'
            more = "" if path is None else f",{member('path', path)}"
            return f'{{"kind":"kernel","operation":{quoted(operation)},"target":{aim}{more}}}'
        case PacketObject():
            return (
                f'{{"kind":"packet",{member("interface", of.interface)},'
                f'"protocol":{_text(of.protocol)},'
                f'"source":{_end(of.source, of.source_port)},'
                f'"destination":{_end(of.destination, of.destination_port)},'
                f'"icmp_type":{_number(of.icmp_type)},'
                f'"tcp_flags":{"null" if of.tcp_flags is None else _strings(of.tcp_flags)},'
                f'"vlan":{_number(of.vlan)},"fragment":{_text(of.fragment)},'
                f'"length":{of.length},"head":"{of.head.hex()}"}}'
            )


def _hash(found: Hash | None) -> str:
    if found is None:
        return ""
    return f',"hash":{{"sha256":{_text(found.sha256)},"note":{_text(found.note)}}}'


def _end(address: str | None, port: int | None) -> str:
    return f'{{"address":{_text(address)},"port":{_number(port)}}}'


def _device(device: int) -> str:
    return f'"{device >> 20}:{device & 0xFFFFF}"'


def _stack(of: Stack | None) -> str:
    if of is None:
        return ""
    kernel, user = (",".join(map(_frame, frames)) for frames in of)
    return f',"stack":{{"kernel":[{kernel}],"user":[{user}]}}'


def _frame(frame: Frame) -> str:
    return (
        f'{{"address":"{frame.address:x}",{_name("symbol", frame.symbol)},'
        f'"offset":{_number(frame.offset)},{_name("module", frame.module)}}}'
    )


def _name(name: str, raw: bytes | None) -> str:
    return f'"{name}":null' if raw is None else member(name, raw)


def _number(number: int | None) -> str:
    return "null" if number is None else str(number)
