# SPDX-License-Identifier: Apache-2.0
"""Events become records, and records lines from which everything can be read back."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.decode import Decoder
from guard.audit.objects import FileObject, Verdict
from guard.audit.record import Record, Recorder, Resolution
from guard.audit.render_json import JsonRenderer
from guard.wire.layout import EVENT, EventFlag, Hook, PathVerb, Reason, Section
from tests.audit.samples import ORIGIN, FakeIndex, fixed_clock, wire_event

decode = Decoder().event
index = FakeIndex()
recorder = Recorder(fixed_clock(), lambda generation: index if generation == 4 else None)
renderer = JsonRenderer(ORIGIN)


def record_of(*args: bytes, **values: object) -> Record:
    return recorder.record(decode(wire_event(*args, **values)))


def read(name: str, group: dict[str, object]) -> bytes:
    """The original bytes of a name in a line, by the documented rule."""
    if name + "_hex" in group:
        return bytes.fromhex(str(group[name + "_hex"]))
    return str(group[name]).encode()


GOLDEN = (
    b'{"schema":2,"event":"file.open","time":"2026-03-16T09:05:05.000042Z",'
    b'"boot_ns":"5000042000","host":{"name":"web-1",'
    b'"id":"0123456789abcdef0123456789abcdef","boot":"b0071d"},"epoch":"e1",'
    b'"cpu":1,"seq":7,"verdict":"denied","error":"EACCES","reason":"policy",'
    b'"verbs":["read","write"],"policy":{"name":"nginx","mode":"enforce","generation":4},'
    b'"rule":{"id":"no-shadow","file":"nginx.yaml","line":12,"why":"credential theft",'
    b'"tags":["T1003.008"]},"others":["base"],"object":{"kind":"file","path":"/etc/shadow","device":"8:1","inode":"1234"},'
    b'"process":{"pid":100,"tid":101,"parent":1,"start_ns":"3000000000",'
    b'"exe":"/usr/bin/cat","exe_device":"8:2","exe_inode":"77","uid":33,"gid":34,'
    b'"cgroup":"1152921504606846977","comm":"cat",'
    b'"user":null,"group":null,"cgroup_path":null,"unit":null,"user_unit":null,'
    b'"container":null,"ancestors":null},"flags":[],"killed":false,"suppressed":0}'
)


def test_the_line_is_stable() -> None:
    assert renderer.line(record_of()) == GOLDEN


def test_hostile_names_are_readable_and_recoverable() -> None:
    path = b'/a\n"\\\x7f\x80\xff'
    line = renderer.line(record_of(path, b"/x\xfe", b"co\xc3mm"))
    members = json.loads(line)
    assert members == orjson.loads(line)
    assert b"\n" not in line
    assert members["object"]["path"] == '/a\n"\\\x7f\ufffd\ufffd'
    assert members["object"]["path_hex"] == path.hex()
    assert members["process"]["exe_hex"] == b"/x\xfe".hex()
    assert members["process"]["comm_hex"] == b"co\xc3mm".hex()


NAME = st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name)


@given(st.lists(NAME, max_size=4), NAME, st.binary(max_size=16))
def test_every_name_is_recovered_from_the_line_exactly(
    names: list[bytes], exe: bytes, comm: bytes
) -> None:
    path = b"/" + b"/".join(names)
    members = orjson.loads(line := renderer.line(record_of(path, b"/" + exe, comm)))
    assert line.isascii() and b"\n" not in line
    assert read("path", members["object"]) == path
    assert read("exe", members["process"]) == b"/" + exe
    assert read("comm", members["process"]) == comm.partition(b"\0")[0]


@given(st.binary(min_size=EVENT.size, max_size=EVENT.size), st.booleans())
def test_random_events_make_lines_that_strict_parsers_take(head: bytes, known: bool) -> None:
    for size in ("path_size", "second_size", "exe_size"):  # no names: all sizes are 0
        at = EVENT.fields[size].offset
        head = head[:at] + bytes(4) + head[at + 4 :]
    at = EVENT.fields["address_size"].offset
    head = head[:at] + bytes([head[at] % 17]) + head[at + 1 :]
    recorder = Recorder(fixed_clock(), lambda _generation: index if known else None)
    event = decode(head)
    members = orjson.loads(renderer.line(recorder.record(event)))
    assert members["seq"] == event.sequence
    assert int(members["boot_ns"]) == event.boot_ns
    assert int(members["process"]["cgroup"]) == event.cgroup


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"error": -13, "denied": 1, "enforced": 1}, Verdict.DENIED),
        ({"error": -1, "denied": 0, "enforced": 0}, Verdict.DENIED),
        ({"error": 0, "denied": 1, "enforced": 0}, Verdict.WOULD_DENY),
        ({"error": 0, "denied": 0, "enforced": 0, "audited": 1}, Verdict.ALLOWED),
    ],
)
def test_the_verdict_is_what_happened(values: dict[str, int], verdict: Verdict) -> None:
    assert record_of(**values).verdict is verdict


def test_errors_have_names_and_none_is_null() -> None:
    assert record_of(error=-1).error == "EPERM"
    assert record_of(error=-99999).error == "-99999"
    assert record_of(error=0).error is None
    assert orjson.loads(renderer.line(record_of(error=0)))["error"] is None


def test_every_member_of_the_wires_enums_has_a_word_of_its_own() -> None:
    assert [record_of(hook=hook).kind for hook in Hook][:2] == ["file.open", "task.alloc"]
    every_verb = (1 << len(PathVerb)) - 1
    assert record_of(verbs=every_verb).verbs == tuple(verb.name.lower() for verb in PathVerb)
    assert record_of(reason=Reason.TOO_DEEP).reason == "too-deep"
    assert len({record_of(reason=reason).reason for reason in Reason}) == len(Reason)
    every = sum(EventFlag)
    assert record_of(flags=every).flags == (
        "path-cut",
        "exe-cut",
        "foreign",
        "no-exe",
        "unlinked",
        "second-cut",
    )


def test_numbers_without_a_word_are_shown_as_numbers() -> None:
    record = record_of(hook=99, verbs=1 << 31 | 1, reason=77, flags=1 << 30)
    assert record.kind == "hook.99"
    assert record.verbs == ("read", "bit-31")
    assert record.reason == "reason-77"
    assert record.flags == ("bit-30",)


def test_a_memory_of_words_stays_right_beyond_its_size() -> None:
    for number in range(1000, 2000):
        assert record_of(reason=number).reason == f"reason-{number}"


def test_an_object_that_the_host_does_not_mount_keeps_its_own_path() -> None:
    record = record_of(device=9 << 20, exe_device=9 << 20)
    assert isinstance(record.object, FileObject)
    assert (record.object.path, record.exe) == (b"/etc/shadow", b"/usr/bin/cat")
    assert record.flags == ("foreign", "exe-foreign")


def test_foreign_is_said_once_when_the_kernel_said_it_already() -> None:
    assert record_of(device=9 << 20, flags=EventFlag.FOREIGN).flags == ("foreign",)


def test_a_cut_path_is_not_looked_up_on_the_host() -> None:
    record = record_of(b"/b/c", flags=EventFlag.PATH_CUT)
    assert isinstance(record.object, FileObject)
    assert record.object.path == b"b/c"
    assert record.flags == ("path-cut",)


def test_a_cut_executable_is_not_looked_up_on_the_host() -> None:
    record = record_of(flags=EventFlag.EXE_CUT)
    assert record.exe == b"usr/bin/cat"
    assert record.flags == ("exe-cut",)


def test_a_kernel_thread_has_no_executable() -> None:
    record = record_of(exe=b"/", flags=EventFlag.NO_EXE)
    assert record.exe is None
    assert orjson.loads(renderer.line(record))["process"]["exe"] is None


@pytest.mark.parametrize("values", [{"generation": 5}, {"denied": 0b100}])
def test_what_no_index_knows_is_recorded_with_the_kernels_masks(values: dict[str, int]) -> None:
    record = record_of(**{"audited": 0x20, **values})
    members = orjson.loads(renderer.line(record))
    assert members["policy"]["name"] is None
    assert members["masks"] == {"denied": f"{record.event.denied:x}", "audited": "20"}
    assert members["verdict"] == "denied"


def test_a_sections_default_has_no_rule_id_but_a_place() -> None:
    default = Resolution("p", "audit", None, "p.yaml", 3, None, ())
    members = orjson.loads(renderer.line(record_of()._replace(resolution=default)))
    assert members["rule"] == {"id": None, "file": "p.yaml", "line": 3, "why": None, "tags": []}


def test_policies_may_be_named_with_anything() -> None:
    odd = Resolution('p"\n\udcff', "audit", "r\\", "ü.yaml", 3, "\u2028", ("a\nb",))
    line = renderer.line(record_of()._replace(resolution=odd))
    members = orjson.loads(line)
    assert line.isascii() and b"\n" not in line
    assert members["policy"]["name"] == 'p"\n\ufffd'
    assert members["others"] == ["a\nb"]


def test_a_hosts_name_may_be_anything() -> None:
    odd = JsonRenderer(replace(ORIGIN, name='"\n'))
    assert orjson.loads(odd.line(record_of()))["host"]["name"] == '"\n'


@pytest.mark.parametrize(
    "field",
    ["pid", "tid", "parent", "uid", "gid", "start_ns", "exe_inode", "exe_device", "cgroup"],
)
def test_a_process_that_changes_is_shown_as_it_is_now(field: str) -> None:
    renderer = JsonRenderer(ORIGIN)
    first, second = (
        orjson.loads(renderer.line(record_of(**{field: number})))["process"] for number in (5, 6)
    )
    assert first[field] != second[field]
    assert {**first, field: second[field]} == second


def test_fragments_are_right_beyond_the_size_of_their_cache() -> None:
    renderer = JsonRenderer(ORIGIN)
    for number in range(3000):
        comm = b"c%d" % number
        record = record_of(comm=comm, generation=4)
        resolution = record.resolution._replace(line=number)
        members = orjson.loads(renderer.line(record._replace(resolution=resolution)))
        assert members["process"]["comm"] == comm.decode()
        assert members["rule"]["line"] == number


class Hasher:
    """Fails whoever asks it for a hash."""

    def of(self, *_: object) -> None:
        raise AssertionError("memory has no content to be hashed")


def test_memory_that_no_file_stands_behind_reads_anonymous() -> None:
    """The kernel names nothing: an empty list of components, no device, no inode."""
    values: dict[str, object] = {
        "section": Section.EXEC,
        "hook": Hook.MMAP_FILE,
        "verbs": 1 << PathVerb.MAP,
        "reason": Reason.ANONYMOUS,
        "error": -13,
    }
    event = Decoder().event(wire_event(path=b"/", device=0, inode=0, **values))
    made = Recorder(fixed_clock(), lambda _: index, Hasher()).record(event)
    line = json.loads(JsonRenderer(ORIGIN).line(made))
    assert line["object"] == {"kind": "exec", "path": "anonymous", "device": "0:0", "inode": "0"}
    assert line["flags"] == []
    # A file that has lost its name is a file: it keeps what is known of it.
    nameless = record_of(path=b"/memfd:x", inode=7, **values)
    assert nameless.object.path != b"anonymous"
