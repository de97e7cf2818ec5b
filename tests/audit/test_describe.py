# SPDX-License-Identifier: Apache-2.0
"""Events of every section become the objects that records show."""

from __future__ import annotations

import socket

import pytest

from guard.audit.objects import (
    ExecObject,
    FileObject,
    Hash,
    HashNote,
    KernelObject,
    NetObject,
    Target,
)
from guard.audit.record import Record, Recorder
from guard.wire.layout import EventFlag, Hook, KernelOp, NetVerb, PathVerb, Section
from tests.audit.records import recorded
from tests.audit.samples import FakeIndex, fixed_clock, wire_event

DEVICE = 8 << 20 | 1
NET = {"section": Section.NET, "flags": EventFlag.NET_OBJECT, "type": 1}


def record_of(**values: object) -> Record:
    return recorded(wire_event(**values))  # type: ignore[arg-type]


def test_a_rename_has_both_paths() -> None:
    record = record_of(
        hook=Hook.INODE_RENAME, verbs=1 << PathVerb.RENAME, path=b"/a", second=b"/b/c"
    )
    assert record.kind == "file.rename"
    assert record.verbs == ("rename",)
    assert record.object == FileObject(b"/a", DEVICE, 1234, b"/b/c")


def test_a_cut_second_path_keeps_its_own_name() -> None:
    record = record_of(second=b"/b/c", flags=EventFlag.SECOND_CUT)
    assert record.object == FileObject(b"/etc/shadow", DEVICE, 1234, b"b/c")
    assert record.flags == ("second-cut",)


@pytest.mark.parametrize(
    ("family", "raw", "shown"),
    [
        (socket.AF_INET, bytes([192, 0, 2, 7]), "192.0.2.7"),
        (socket.AF_INET6, bytes.fromhex("20010db8" + "00" * 11 + "01"), "2001:db8::1"),
    ],
)
def test_an_address_is_canonical(family: int, raw: bytes, shown: str) -> None:
    record = record_of(
        **NET,
        hook=Hook.SOCKET_CONNECT,
        verbs=1 << NetVerb.CONNECT,
        family=family,
        protocol=6,
        port=443,
        address=raw,
    )
    assert (record.kind, record.verbs, record.flags) == ("net.connect", ("connect",), ())
    word = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}[socket.AddressFamily(family)]
    assert record.object == NetObject(word, "stream", "tcp", shown, 443)


def test_what_has_no_port_yet_shows_none() -> None:
    values = {**NET, "flags": EventFlag.NET_OBJECT | EventFlag.ANY_PORT}
    record = record_of(**values, hook=Hook.SOCKET_CREATE, verbs=1, family=socket.AF_INET)
    assert record.object == NetObject("inet", "stream", None, None, None)
    assert record.flags == ()


def test_unknown_families_types_and_protocols_are_numbers() -> None:
    record = record_of(**{**NET, "type": 77}, family=200, protocol=253)
    assert record.object == NetObject("200", "77", "253", None, None)


def test_a_named_unix_socket_is_a_path_on_the_host() -> None:
    record = record_of(
        section=Section.NET,
        hook=Hook.UNIX_STREAM_CONNECT,
        verbs=1 << PathVerb.CONNECT,
        path=b"/run/x",
        type=1,
    )
    assert (record.kind, record.verbs) == ("net.connect", ("connect",))
    assert record.object == NetObject("unix", "stream", None, None, None, b"/run/x", DEVICE, 1234)


def test_an_abstract_name_is_shown_as_it_is() -> None:
    record = recorded(
        wire_event(
            section=Section.NET,
            hook=Hook.UNIX_MAY_SEND,
            verbs=1 << PathVerb.SEND,
            flags=EventFlag.ABSTRACT,
            abstract=b"a/b\x00\xff",
        )
    )
    assert record.object == NetObject("unix", None, None, None, None, abstract=b"a/b\x00\xff")
    assert (record.kind, record.flags) == ("net.send", ())


def test_an_operation_on_a_process_names_it() -> None:
    record = record_of(
        section=Section.KERNEL,
        hook=Hook.PTRACE_ACCESS_CHECK,
        operation=KernelOp.PTRACE,
        target=77,
        path=b"/",
        device=0,
    )
    assert (record.kind, record.verbs) == ("kernel.ptrace", ("ptrace",))
    assert record.object == KernelObject("ptrace", Target(77, None, None))
    assert record.flags == ()


def test_a_capability_is_called_as_policies_call_it() -> None:
    record = record_of(section=Section.KERNEL, operation=KernelOp.CAP_SYS_ADMIN, path=b"/")
    assert record.kind == "kernel.cap_sys_admin"
    assert record.object == KernelObject("cap_sys_admin")


def test_an_unknown_operation_is_a_number() -> None:
    assert record_of(section=Section.KERNEL, operation=95).kind == "kernel.operation-95"


def test_a_mount_shows_where() -> None:
    record = record_of(section=Section.KERNEL, operation=KernelOp.MOUNT, path=b"/mnt")
    assert record.object == KernelObject("mount", None, b"/mnt")


class FakeHasher:
    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int, int, int]] = []

    def of(self, path: bytes, device: int, inode: int, boot_ns: int) -> Hash:
        self.asked.append((path, device, inode, boot_ns))
        return Hash(None, HashNote.GONE)


def hashed(hasher: FakeHasher, **values: object) -> Record:
    from guard.audit.decode import Decoder

    index = FakeIndex()
    recorder = Recorder(fixed_clock(), lambda _generation: index, hasher)
    return recorder.record(Decoder().event(wire_event(**values)))  # type: ignore[arg-type]


def test_a_program_to_execute_is_hashed() -> None:
    hasher = FakeHasher()
    record = hashed(
        hasher, section=Section.EXEC, hook=Hook.BPRM_CHECK_SECURITY, verbs=1 << PathVerb.EXEC
    )
    assert (record.kind, record.verbs) == ("exec.program", ("exec",))
    gone = Hash(None, HashNote.GONE)
    assert record.object == ExecObject(b"/etc/shadow", DEVICE, 1234, gone)
    assert hasher.asked == [(b"/etc/shadow", DEVICE, 1234, record.event.boot_ns)]


@pytest.mark.parametrize("flag", [EventFlag.FOREIGN, EventFlag.PATH_CUT, EventFlag.UNLINKED])
def test_a_program_that_the_host_cannot_find_is_not_looked_for(flag: EventFlag) -> None:
    hasher = FakeHasher()
    hashed(hasher, section=Section.EXEC, flags=flag)
    assert hasher.asked == []


def test_what_was_looked_up_is_not_the_same_for_the_next_event() -> None:
    assert not hashed(FakeHasher(), section=Section.EXEC).lasting
    assert not record_of(section=Section.KERNEL, operation=KernelOp.PTRACE, target=7).lasting
    assert record_of(section=Section.EXEC).lasting
    assert record_of().lasting


def test_files_are_not_hashed() -> None:
    hasher = FakeHasher()
    hashed(hasher)
    assert hasher.asked == []


def test_a_rule_that_kills_is_said_only_of_what_was_denied() -> None:
    assert record_of(killed=1).killed
    assert not record_of(killed=1, error=0).killed
    assert record_of(suppressed=9).suppressed == 9
