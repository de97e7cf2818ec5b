# SPDX-License-Identifier: Apache-2.0
"""Loading is all or nothing, and switching puts the gate's hint on the safe side."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import engine, pins, repeats, tables
from guard.kernel.attachment import Attachment
from guard.kernel.libbpf import MODIFY_RETURN, TRACE_FENTRY, LibbpfError
from guard.plan.encode import Tables, value_size
from guard.plan.gates import GATES, SWEEP
from tests.kernel_unit.fakes import FEATURES, TABLES, FakeLibbpf, open_descriptors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "guard"


@pytest.fixture(autouse=True)
def map_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's descriptors are no maps, and have no id."""
    monkeypatch.setattr(engine, "fdinfo", lambda _fd: {"map_id": 7})


CHOSEN = engine.choose_gates(FEATURES, [])


def load(
    fake: FakeLibbpf, root: Path, name: str = "host", way: Attachment = Attachment.LSM
) -> engine.Engine:
    return engine.load(fake, FEATURES, name, TABLES, 18, CHOSEN, way, root=root)  # type: ignore[arg-type]


def everything_below(root: Path) -> list[Path]:
    return list(root.rglob("*")) if root.exists() else []


def test_a_loaded_instance_has_every_map_and_every_link_pinned(root: Path) -> None:
    fake = FakeLibbpf()
    before = open_descriptors()
    loaded = load(fake, root)
    (instance,) = pins.instances(root)
    assert instance == loaded.instance and instance.name == "host"
    assert set(instance.links()) == {*(gate.program for gate in CHOSEN), SWEEP}
    pinned = {one.name for one in (instance.directory / "maps").iterdir()}
    assert pinned == {*engine.MAPS, *engine.RINGS, *repeats.PINS}
    assert fake.objects == set() and fake.links == {}
    loaded.close()
    assert open_descriptors() == before


def test_the_tables_are_in_force_before_the_first_hook_is_attached(root: Path) -> None:
    fake = FakeLibbpf()
    load(fake, root).close()
    steps = [call[:2] for call in fake.calls]
    first_attach = next(at for at, call in enumerate(steps) if call[0] == "attach")
    assert steps.index(("map_update", "fill tables")) < steps.index(("map_freeze",))
    assert steps.index(("map_freeze",)) < steps.index(("map_update", "switch")) < first_attach
    attached = [call[1] for call in steps if call[0] == "attach"]
    assert attached.index("guard_task_alloc") < attached.index("guard_file_open")


def test_the_kernels_cast_is_told_to_the_programs_before_they_are_loaded(root: Path) -> None:
    fake = FakeLibbpf()
    load(fake, root).close()
    assert fake.rodata[0] == b"\1"
    calls = [call[0] for call in fake.calls]
    assert calls.index("map_initial_value") < calls.index("object_load")


def test_programs_that_no_policy_needs_are_not_loaded(root: Path) -> None:
    fake = FakeLibbpf()
    load(fake, root).close()
    spared = [call for call in fake.calls if call[0] == "program_set_autoload"]
    assert len(spared) == len(GATES) - len(CHOSEN) > 0
    assert all(call[1] is False for call in spared)
    assert not any(call[0] == "program_retarget" for call in fake.calls)


def test_without_bpf_among_the_lsms_programs_go_to_the_security_functions(root: Path) -> None:
    fake = FakeLibbpf()
    load(fake, root, way=Attachment.FMOD_RET).close()
    targets = {call[2]: call[1] for call in fake.calls if call[0] == "program_retarget"}
    assert targets == {
        "security_task_alloc": MODIFY_RETURN,
        "security_bprm_creds_for_exec": MODIFY_RETURN,
        "security_bprm_check": MODIFY_RETURN,
        "security_bprm_committed_creds": TRACE_FENTRY,
        "security_file_open": MODIFY_RETURN,
    }
    names = [call[0] for call in fake.calls]
    assert names.index("program_retarget") < names.index("object_load")


def count_calls(root: Path) -> int:
    fake = FakeLibbpf()
    loaded = load(fake, root)
    loaded.close()
    pins.remove(loaded.instance)
    return len(fake.calls)


def test_a_failure_at_any_step_leaves_nothing_pinned_open_or_attached(root: Path) -> None:
    steps = count_calls(root)
    assert steps > 40
    failed = []
    for step in range(steps):
        before = open_descriptors()
        fake = FakeLibbpf(fail_at=step)
        with pytest.raises(LibbpfError) as caught:
            load(fake, root)
        failed.append(fake.calls[step][0])
        assert caught.value.log == ("verifier: no",)
        assert everything_below(root) == [], fake.calls[step]
        assert open_descriptors() == before, fake.calls[step]
        assert fake.objects == set() and fake.links == {}, fake.calls[step]
    assert {"map_create", "object_load", "attach", "pin", "open_pin", "map_freeze"} <= set(failed)


def test_an_instance_of_the_same_name_is_refused_and_stays(root: Path) -> None:
    load(FakeLibbpf(), root).close()
    pinned = everything_below(root)
    fake = FakeLibbpf()
    with pytest.raises(HostError, match="already loaded") as caught:
        load(fake, root)
    assert caught.value.remedy is not None and "guard unload" in caught.value.remedy
    assert fake.calls == []
    assert everything_below(root) == pinned


def test_what_a_killed_loader_left_is_no_obstacle(root: Path) -> None:
    hidden = pins.begin("host", root)
    Path(hidden.map("current")).touch()
    load(FakeLibbpf(), root).close()
    assert pins.unfinished(root) == ()
    assert [one.name for one in pins.instances(root)] == ["host"]


def test_an_object_of_another_layout_is_refused_before_anything_is_done(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guard-18.bpf.o").write_bytes(b"\x7fELF\x02\x01")
    monkeypatch.setattr(engine, "OBJECTS", tmp_path)
    fake = FakeLibbpf()
    with pytest.raises(HostError, match="does not belong to this guard") as caught:
        load(fake, root)
    assert caught.value.remedy is not None and "make objects" in caught.value.remedy
    assert fake.calls == [] and everything_below(root) == []


def test_a_missing_object_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "OBJECTS", tmp_path)
    with pytest.raises(HostError, match=r"guard-22\.bpf\.o is missing") as caught:
        engine.object_path(22)
    assert caught.value.remedy is not None and "make objects" in caught.value.remedy


def test_the_gate_is_opened_before_the_switch_and_narrowed_after_it(root: Path) -> None:
    fake = FakeLibbpf()
    tables.switch(fake, 3, 4, 5, (0b01, 0b10))  # type: ignore[arg-type]
    assert fake.calls == [
        ("map_update", "gate", struct.pack("=Q", 0b11)),
        ("map_update", "switch", struct.pack("=I", 5)),
        ("map_update", "gate", struct.pack("=Q", 0b10)),
    ]


def test_a_failed_switch_leaves_the_gate_open_for_both_generations(root: Path) -> None:
    fake = FakeLibbpf(fail_at=1)
    with pytest.raises(LibbpfError):
        tables.switch(fake, 3, 4, 5, (0b01, 0b10))  # type: ignore[arg-type]
    assert fake.calls[-1][1] == "switch"
    assert fake.calls[0] == ("map_update", "gate", struct.pack("=Q", 0b11))


def test_the_engine_switches_from_the_policies_that_were_in_force(root: Path) -> None:
    fake = FakeLibbpf()
    loaded = load(fake, root)
    fake.calls.clear()
    before = open_descriptors()
    loaded.switch(Tables(b"root", b"other", b"devices", 18, 0b100))
    gates = [call[2] for call in fake.calls if call[:2] == ("map_update", "gate")]
    assert gates == [struct.pack("=Q", 0b110), struct.pack("=Q", 0b100)]
    assert loaded.host == 0b100
    assert open_descriptors() == before
    fake.fail_at = len(fake.calls)
    with pytest.raises(LibbpfError):
        loaded.switch(TABLES)
    assert loaded.host == 0b100, "a switch that failed has changed nothing"
    assert open_descriptors() == before
    loaded.close()


def test_tables_that_are_too_large_for_the_programs_are_refused(root: Path) -> None:
    fake = FakeLibbpf()
    loaded = load(fake, root)
    fake.calls.clear()
    with pytest.raises(HostError, match=f"{(1 << 18) + 4} bytes") as caught:
        loaded.switch(Tables(b"", bytes((1 << 18) + 4), b"", 22, 0))
    assert caught.value.remedy is not None
    assert fake.calls == []
    loaded.close()


def test_a_generations_map_is_as_large_as_its_size_class() -> None:
    fake = FakeLibbpf()
    os.close(tables.create(fake, TABLES, 22))  # type: ignore[arg-type]
    assert fake.calls[0] == ("map_create", "guard_tables", value_size(22))


def test_counters_come_one_structure_a_processor(root: Path) -> None:
    fake = FakeLibbpf()
    loaded = load(fake, root)
    assert [len(one) for one in loaded.counters()] == [fake.counters_size() // 2] * 2
    loaded.close()
