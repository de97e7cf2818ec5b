# SPDX-License-Identifier: Apache-2.0
"""Record → guard's own JSON: one object, one line, ASCII.

Knows the names and order of the members; asks nobody anything.

The members, in this order; ``schema`` counts up when one changes its meaning:

- ``schema``: 1. ``event``: the gate, ``file.open``.
- ``time``: RFC 3339, UTC, microseconds. ``boot_ns``: nanoseconds since boot.
- ``host``: ``name``, ``id``, ``boot``. ``epoch``, ``cpu``, ``seq``: with host
  and boot they name the record; per CPU, ``seq`` has no holes but lost ones.
- ``verdict``: denied, would-deny or allowed. ``error``: the errno's name that
  the caller got, or null. ``reason``: policy, or why no policy could decide.
- ``verbs``: what was asked for.
- ``policy``: ``name``, ``mode``, ``generation``. ``rule``: ``id`` (null: the
  section's default), ``file``, ``line``, ``why``. ``others``: more policies
  that refuse it, those in mode audit too (or, allowed, that want a record).
  Only if the policies could not be told: ``masks``, the kernel's own ``denied``
  and ``audited`` bits in hexadecimal.
- ``object``: ``path``, ``device`` (major:minor), ``inode``.
- ``process``: ``pid``, ``tid``, ``parent``, ``start_ns``, ``exe`` (null: a
  kernel thread), ``exe_device``, ``exe_inode``, ``uid``, ``gid``, ``cgroup``, ``comm``.
- ``flags``: path-cut, exe-cut, foreign, exe-foreign, no-exe, unlinked.

``path_hex``, ``exe_hex`` and ``comm_hex`` stand behind a name that is not
UTF-8 (see text.py). Numbers of 64 bits that are not counts (inodes, cgroup
ids, nanoseconds) are decimal strings: many JSON readers keep 53 bits.

Written out piece by piece rather than through a dict and json.dumps, which
costs about five times as much; the tests hold it against json.loads.
"""

from __future__ import annotations

from guard.audit.decode import Event
from guard.audit.origin import Origin
from guard.audit.record import Record, Resolution
from guard.audit.text import member, quoted

SCHEMA = 1

# Entries of a cache of fragments; beyond it everything is forgotten at once.
_CACHE = 1024


class JsonRenderer:
    """Renders the records of one origin."""

    def __init__(self, origin: Origin) -> None:
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
        device = event.device
        return (
            f'{{"schema":{SCHEMA},"event":"{record.kind}","time":"{record.time}",'
            f'"boot_ns":"{event.boot_ns}",{self._origin},'
            f'"cpu":{event.cpu},"seq":{event.sequence},'
            f'"verdict":"{record.verdict}","error":{error},"reason":"{record.reason}",'
            f'"verbs":{self._list(record.verbs)},'
            f"{self._policy(record.resolution, event.generation)}{masks},"
            f'"object":{{{member("path", record.path)},'
            f'"device":"{device >> 20}:{device & 0xFFFFF}","inode":"{event.inode}"}},'
            f'{self._process(event, record.exe)},"flags":{self._list(record.flags)}}}'
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
            text = self._processes[key] = _process(event, exe)
        return text

    def _list(self, words: tuple[str, ...]) -> str:
        text = self._words.get(words)
        if text is None:
            if len(self._words) >= _CACHE:
                self._words.clear()
            text = self._words[words] = _strings(words)
        return text


def _process(event: Event, exe: bytes | None) -> str:
    device = event.exe_device
    name = '"exe":null' if exe is None else member("exe", exe)
    return (
        f'"process":{{"pid":{event.pid},"tid":{event.tid},"parent":{event.parent},'
        f'"start_ns":"{event.start_ns}",{name},'
        f'"exe_device":"{device >> 20}:{device & 0xFFFFF}",'
        f'"exe_inode":"{event.exe_inode}","uid":{event.uid},"gid":{event.gid},'
        f'"cgroup":"{event.cgroup}",{member("comm", event.comm)}}}'
    )


def _policy(resolution: Resolution, generation: int) -> str:
    policy, mode, rule, file, line, why, others = resolution
    return (
        f'"policy":{{"name":{_text(policy)},"mode":{_text(mode)},"generation":{generation}}},'
        f'"rule":{{"id":{_text(rule)},"file":{_text(file)},'
        f'"line":{"null" if line is None else line},"why":{_text(why)}}},'
        f'"others":{_strings(others)}'
    )


def _text(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _strings(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(quoted, texts))}]"
