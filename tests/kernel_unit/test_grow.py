# SPDX-License-Identifier: Apache-2.0
"""More programs for a loaded instance: on its own maps, and all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import engine
from guard.kernel.features import Features
from guard.kernel.grow import grow, lacking
from guard.policy.load import load as parse
from guard.policy.model import Policy
from tests.kernel_unit.fakes import FEATURES, TABLES, FakeLibbpf, open_descriptors


@pytest.fixture(autouse=True)
def map_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's descriptors are no maps, and have no id."""
    monkeypatch.setattr(engine, "fdinfo", lambda _fd: {"map_id": 7})


def load(fake: FakeLibbpf, root: Path) -> engine.Engine:
    chosen = engine.choose_gates(FEATURES, [])
    return engine.load(fake, FEATURES, "host", TABLES, 18, chosen, root=root)  # type: ignore[arg-type]


def executing() -> Policy:
    text = """version: 1
name: p
mode: enforce
subject: {host: true}
exec: {default: allow, rules: [{deny: exec, path: /x}]}
"""
    (policy,) = parse([("p.yaml", text.encode())]).policies
    return policy


def test_what_new_policies_need_is_asked_by_program_and_not_by_hook(tmp_path: Path) -> None:
    """Labels have a program on the same hook, which must not be taken for the section's."""
    loaded = load(FakeLibbpf(), tmp_path / "guard")
    assert lacking(loaded, FEATURES, []) == ()
    assert [gate.program for gate in lacking(loaded, FEATURES, [executing()])] == [
        "guard_exec_judge"
    ]
    loaded.close()


def test_new_programs_go_on_the_maps_that_are_there(tmp_path: Path) -> None:
    fake = FakeLibbpf()
    loaded = load(fake, tmp_path / "guard")
    before, links = open_descriptors(), loaded.instance.links()
    fake.calls.clear()
    assert [gate.program for gate in grow(loaded, FEATURES, [executing()])] == ["guard_exec_judge"]
    reused = [call[1] for call in fake.calls if call[0] == "map_reuse"]
    assert set(reused) == {hash(name) for name in engine.MAPS.values()}
    assert all(call[0] not in ("map_create", "map_set_inner", "map_update") for call in fake.calls)
    assert [call[1] for call in fake.calls if call[0] == "attach"] == ["guard_exec_judge"]
    assert set(loaded.instance.links()) == {*links, "guard_exec_judge"}
    assert "guard_exec_judge" in {gate.program for gate in loaded.gates}
    assert open_descriptors() == before
    fake.calls.clear()
    assert grow(loaded, FEATURES, [executing()]) == () and fake.calls == []
    loaded.close()


def test_whatever_fails_leaves_the_instance_as_it_was(tmp_path: Path) -> None:
    fake = FakeLibbpf()
    loaded = load(fake, tmp_path / "guard")
    begin = len(fake.calls)
    there = sorted(loaded.instance.directory.rglob("*"))
    gates, before = loaded.gates, open_descriptors()
    failed = 0
    while True:
        fake.fail_at = begin + failed
        fake.calls = fake.calls[:begin]
        try:
            grow(loaded, FEATURES, [executing()])
        except HostError:
            failed += 1
        else:
            break
        assert sorted(loaded.instance.directory.rglob("*")) == there
        assert (loaded.gates, open_descriptors(), fake.objects) == (gates, before, set())
    assert failed > len(engine.MAPS), "every call on the way failed once"
    loaded.close()


def test_a_hook_that_the_kernel_lacks_is_refused(tmp_path: Path) -> None:
    loaded = load(FakeLibbpf(), tmp_path / "guard")
    functions = {k: v for k, v in FEATURES.functions.items() if "bprm_check" not in k}
    old = Features("6.1.0", True, ("bpf",), functions, True, False)
    with pytest.raises(HostError, match=r"kernel 6\.1\.0 has no hook bprm_check_security"):
        grow(loaded, old, [executing()])
    loaded.close()
