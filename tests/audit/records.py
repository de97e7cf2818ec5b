# SPDX-License-Identifier: Apache-2.0
"""Flat records of every kind, as guard writes them and decoded; and hostile ones for fuzzing.

``decisions`` and ``own_lines`` are made by the real renderer and Lifecycle, so
that what is tested of other formats holds for what is really shipped.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from guard.audit.decode import Decoder
from guard.audit.lifecycle import Caller, Checkpoint, Finding, Lifecycle, LoadedPolicy
from guard.audit.loss import LossCause
from guard.audit.objects import (
    ExecObject,
    FileObject,
    Frame,
    Hash,
    HashNote,
    KernelObject,
    NetObject,
    Object,
    PacketObject,
    Stack,
    Target,
    Verdict,
)
from guard.audit.record import PacketRecord, Record, Recorder, Resolution
from guard.audit.render_json import Identities, JsonRenderer
from guard.audit.text import member
from guard.ship.reports import ShipRecords
from tests.audit.samples import ORIGIN, FakeIndex, fixed_clock, wire_event

Flat = dict[str, Any]

DEVICE = 8 << 20 | 1
CHAIN = {
    "series": "denials",
    "n": 17,
    "first": 4711,
    "records": 2,
    "crc": "1c2d3e4f5a6b7c8d",
    "prev": "a" * 64,
    "hash": "b" * 64,
}

OBJECTS: dict[str, Object] = {
    "open": FileObject(b"/etc/shadow", DEVICE, 1234),
    "rename": FileObject(b"/a", DEVICE, 1, b"/b"),
    "exec": ExecObject(b"/usr/bin/nc", DEVICE, 5, Hash("c" * 64, None)),
    "unhashed": ExecObject(b"/usr/bin/nc", DEVICE, 5, Hash(None, HashNote.TOO_LARGE)),
    "bare": ExecObject(b"/usr/bin/nc", DEVICE, 5),
    "tcp": NetObject("inet", "stream", "tcp", "192.0.2.7", 443),
    "udp6": NetObject("inet6", "dgram", "udp", "2001:db8::1", 53),
    "create": NetObject("packet", "raw", "3", None, None),
    "unix": NetObject("unix", "stream", None, None, None, b"/run/x.sock", DEVICE, 9),
    "abstract": NetObject("unix", "dgram", None, None, None, abstract=b"\x00name"),
    "ptrace": KernelObject("ptrace", Target(77, 5_000_000_000, b"/usr/sbin/sshd")),
    "signal": KernelObject("signal", Target(77, None, None)),
    "mount": KernelObject("mount", None, b"/mnt"),
    "bpf": KernelObject("bpf"),
}
KINDS = {
    "open": ("file.open", ("read",)),
    "rename": ("file.rename", ("rename",)),
    "exec": ("exec.program", ("exec",)),
    "unhashed": ("exec.program", ("exec",)),
    "bare": ("exec.map", ("map",)),
    "tcp": ("net.connect", ("connect",)),
    "udp6": ("net.send", ("send",)),
    "create": ("net.create", ("create",)),
    "unix": ("net.accept", ("accept",)),
    "abstract": ("net.bind", ("bind",)),
    "ptrace": ("kernel.ptrace", ("ptrace",)),
    "signal": ("kernel.signal", ("signal",)),
    "mount": ("kernel.mount", ("mount",)),
    "bpf": ("kernel.bpf", ("bpf",)),
}
PACKET = PacketObject(
    b"eth0",
    "tcp",
    "192.0.2.1",
    5555,
    "198.51.100.2",
    22,
    tcp_flags=("syn", "ack"),
    vlan=7,
    fragment="first",
    length=60,
    head=b"\x00\x01",
)
SHORT_PACKET = PacketObject(b"eth0", None, None, None, None, None)
STACK = Stack((Frame(0xFFFFFFFF81000000, b"vfs_open", 16, b"kernel"),), (Frame(0x7F00, None),))


class FixedIdentity:
    """An identity with something in every member; any bytes may be chosen."""

    @property
    def version(self) -> int:
        return 0

    def __init__(self, user: bytes = b"www-data", unit: bytes = b"nginx.service") -> None:
        self._fragment = (
            f"{member('user', user)},{member('group', b'www-data')},"
            f"{member('cgroup_path', b'/system.slice/' + unit)},{member('unit', unit)},"
            '"user_unit":null,"container":{"id":"' + "d" * 64 + '","runtime":"docker",'
            '"pod":"12345678-1234-1234-1234-123456789abc","delegated":false},'
            f'"ancestors":[{{"pid":9,"start_ns":"1000000000",{member("exe", unit)},'
            f'{member("comm", user)}}},{{"pid":1,"start_ns":null,"exe":null,"comm":null}}]'
        ).encode()

    def fragment(self, *_: int) -> bytes:
        return self._fragment


def recorded(event: bytes, index: FakeIndex | None = None) -> Record:
    """The record of an event by the real Recorder."""
    known = index or FakeIndex()
    return Recorder(fixed_clock(), lambda _generation: known).record(Decoder().event(event))


def decisions(identity: Identities | None = None) -> dict[str, Flat]:
    """One decoded record of each kind of object, and more in other respects."""
    renderer = JsonRenderer(ORIGIN, identity)
    base = recorded(wire_event())
    made = {
        name: renderer.line(base._replace(kind=KINDS[name][0], verbs=KINDS[name][1], object=what))
        for name, what in OBJECTS.items()
    }
    packet = PacketRecord(
        cpu=0,
        sequence=3,
        boot_ns=base.event.boot_ns,
        generation=4,
        kind="packet.ingress",
        time=base.time,
        verdict=Verdict.DENIED,
        reason="policy",
        flags=(),
        object=PACKET,
        resolution=base.resolution,
        suppressed=41,
    )
    made["packet"] = renderer.packet(packet)
    made["short packet"] = renderer.packet(packet._replace(object=SHORT_PACKET))
    made["stack"] = renderer.line(base._replace(stack=STACK, killed=True, suppressed=3))
    made["would deny"] = renderer.line(
        base._replace(verdict=Verdict.WOULD_DENY, error=None, object=OBJECTS["bpf"])
    )
    default = Resolution("p", "audit", None, "p.yaml", 3, None, ())
    made["default"] = renderer.line(
        base._replace(verdict=Verdict.ALLOWED, error=None, resolution=default)
    )
    odd = Resolution("p", "audit", "r", "p", 3, None, (), ("TA0006", "T1003", "pci"))
    made["tags"] = renderer.line(base._replace(resolution=odd))
    made["unresolved"] = renderer.line(recorded(wire_event(denied=0b100)))
    made["kernel thread"] = renderer.line(base._replace(exe=None))
    decoded = {name: json.loads(line) for name, line in made.items()}
    decoded["sealed"] = {**decoded["open"], "chain": CHAIN}
    decoded["first sealed"] = {**decoded["open"], "chain": {**CHAIN, "n": 0, "prev": "0" * 64}}
    return decoded


def own_lines(text: str = "web", raw: bytes = b"root") -> list[bytes]:
    """One line of each of guard's own records, with these texts wherever there is one."""
    say = Lifecycle(ORIGIN, fixed_clock())
    ship = ShipRecords(ORIGIN, fixed_clock())
    caller = Caller(10, 0, 0, raw, raw)
    policy = LoadedPolicy(text, "enforce", 4)
    findings = [Finding("G101", text, 3, text), Finding(None, None, None, text)] * 9
    return [
        say.started("1.0", adopted=False),
        say.adopted("1.0", None, 4),
        say.stopped(text, enforcing=True),
        say.policy_loaded(text, "enforce", text, 4, 9),
        say.policy_rejected([text], text, findings, 4, caller),
        say.policy_rejected([], text),
        *(say.lost(cause, 5, 1, (7, 30), text, text) for cause in LossCause),
        say.lost(LossCause.SINK, 5),
        say.unsafe(2, text),
        say.clock_stepped(-3_600_000),
        say.checkpoint(Checkpoint("denials", 7, 99, "e" * 64, text, "ab" * 64)),
        say.checkpoint(Checkpoint("others", 7, 99, "e" * 64, None, None)),
        say.set_expired(text, ["192.0.2.0/24"] * 40, 99, text),
        say.ingress_interface(text, None, text),
        say.control_called("reload", [text], caller, "done"),
        say.control_called("unlock", [], Caller(10, 1000, 1000), "refused", text),
        say.ingress_confirmed(policy, [text], text, caller),
        say.ingress_rolled_back(policy, [text], text),
        say.unlocked(60, text, caller),
        say.unlocked(None, text, None),
        ship.started("1.0"),
        ship.ended(text),
        *(
            ship.sink_turned(event, text, text, 3, 5000)
            for event in ("sink.failing", "sink.recovered", "sink.refused")
        ),
    ]


def everything() -> dict[str, Flat]:
    """All of them, by a name for the test's id."""
    own = [json.loads(line) for line in own_lines()]
    named = {f"{one['event']} {number}": one for number, one in enumerate(own)}
    return {**decisions(FixedIdentity()), **named}


# Bytes that break formats: separators of CEF, RFC 5424 and JSON, controls,
# line separators beyond ASCII, bad UTF-8 of all sorts, U+FFFD itself.
_NASTY = [
    *(bytes([one]) for one in b'|=]"\\\n\r\t\x00\x1b\x7f[ ,:{}<>%'),
    "\u2028\u0085\u202e\ufeff\ufffd".encode(),
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\\n",
    b"\\u0000",
    b'","chain":{"series":"',
    b"cs1=x",
    b"CEF:0|",
    b"] [guard",
]
hostile_bytes = st.lists(
    st.one_of(
        st.sampled_from(_NASTY),
        st.binary(max_size=8),
        st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    max_size=8,
).map(b"".join)
hostile_texts = st.one_of(
    hostile_bytes.map(lambda raw: raw.decode("utf-8", "surrogateescape")), st.text(max_size=20)
)


@st.composite
def hostile_records(draw: st.DrawFn) -> Flat:
    """A record of any kind with hostile bytes in every name that somebody can choose."""
    if draw(st.integers(0, 3)) == 0:
        lines = own_lines(draw(hostile_texts), draw(hostile_bytes))
        return dict(json.loads(draw(st.sampled_from(lines))))
    raw = [draw(hostile_bytes) for _ in range(6)]
    texts = [draw(hostile_texts) for _ in range(4)]
    identity = FixedIdentity(raw[3], raw[4])
    renderer = JsonRenderer(ORIGIN, identity)
    base = recorded(wire_event(comm=raw[2][:16]))
    resolution = Resolution(
        texts[0], "enforce", texts[1], texts[2], 3, texts[3], (texts[0],), (texts[1], "T1003.001")
    )
    if draw(st.booleans()):
        packet = PacketRecord(
            cpu=0,
            sequence=3,
            boot_ns=1,
            generation=4,
            kind="packet.ingress",
            time=base.time,
            verdict=draw(st.sampled_from(Verdict)),
            reason="policy",
            flags=(),
            object=PACKET._replace(interface=raw[0]),
            resolution=resolution,
        )
        line = renderer.packet(packet)
    else:
        objects: list[Object] = [
            FileObject(raw[0], DEVICE, 7, raw[1]),
            ExecObject(raw[0], DEVICE, 7, Hash("0" * 64, HashNote.CHANGED)),
            NetObject("unix", "stream", None, None, None, raw[0], DEVICE, 3),
            NetObject("unix", "stream", None, None, None, abstract=raw[0]),
            KernelObject("mount", None, raw[0]),
            KernelObject("ptrace", Target(5, 6, raw[0])),
        ]
        name = draw(st.sampled_from(sorted(KINDS)))
        stack = Stack((Frame(1, raw[5], 2, raw[4]),), ()) if draw(st.booleans()) else None
        line = renderer.line(
            base._replace(
                kind=KINDS[name][0],
                verbs=KINDS[name][1],
                verdict=draw(st.sampled_from(Verdict)),
                object=draw(st.sampled_from(objects)),
                exe=raw[1],
                resolution=resolution,
                stack=stack,
            )
        )
    record: Flat = json.loads(line)
    if draw(st.booleans()):
        record["chain"] = CHAIN
    return record
