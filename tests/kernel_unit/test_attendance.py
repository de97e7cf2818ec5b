# SPDX-License-Identifier: Apache-2.0
"""One process attends an instance; what it told of and how it is laid out outlive it."""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from guard.errors import HostError
from guard.kernel import about, progress
from guard.kernel.attendance import attend
from guard.kernel.pins import Instance
from guard.kernel.progress import Told
from guard.version import VERSION
from guard.wire import layout
from guard.wire.fingerprint import fingerprint
from tests.kernel_unit.fakes import FakeLibbpf


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    (tmp_path / "host" / "maps").mkdir(parents=True)
    return Instance(tmp_path / "host")


def test_a_second_one_is_refused_until_the_first_has_ended(instance: Instance) -> None:
    first = attend(instance)
    with pytest.raises(HostError) as caught:
        attend(instance)
    assert str(caught.value) == ("guard instance 'host' is already loaded, and a guard attends it")
    assert caught.value.remedy == (
        "see it with `guard status`; `guard reload` has it read its policies again,"
        " `guard unload` takes it off"
    )
    assert not os.get_inheritable(first), "a command that guard starts must not hold it"
    os.close(first)
    os.close(attend(instance))


def test_the_lock_outlives_the_renaming_of_the_directory(instance: Instance) -> None:
    first = attend(instance)
    renamed = Instance(instance.directory.with_name("shown"))
    instance.directory.rename(renamed.directory)
    with pytest.raises(HostError):
        attend(renamed)
    os.close(first)


def test_losses_are_written_when_they_grow_and_only_then(instance: Instance) -> None:
    fake = FakeLibbpf()
    kept = progress.begin(fake, instance)  # type: ignore[arg-type]
    cpus = len(kept.told.dropped)
    assert Path(instance.map(progress.PIN)).exists()
    fake.calls.clear()
    kept.tell(0, [0] * cpus)
    assert fake.calls == []
    kept.tell(2, [3] * cpus)
    kept.tell(2, [3] * cpus)
    assert fake.calls == [("map_update", "progress", Told(2, (3,) * cpus).pack())]
    kept.close()


def test_a_successor_reads_what_was_told_of(instance: Instance) -> None:
    class Holding(FakeLibbpf):
        def map_lookup(self, fd: int, key: bytes, size: int, what: str) -> bytes | None:
            assert (key, what) == (bytes(4), "progress") and os.fstat(fd)
            return Told(7, tuple(range(size // 8 - 1))).pack()

    Path(instance.map(progress.PIN)).touch()
    kept = progress.adopt(Holding(), instance)  # type: ignore[arg-type]
    assert kept.told.missed == 7
    assert kept.told.dropped == tuple(range(FakeLibbpf().possible_cpus()))
    kept.close()


@pytest.mark.parametrize("told", [{}, {"layout": "1.1-000000000000", "guard": "0.0"}])
def test_another_layout_is_refused_with_the_way_on(told: dict[str, Any]) -> None:
    instance = Instance(Path("/pins/host"))
    about.require_layout(instance, {"layout": about.layout()})
    with pytest.raises(HostError) as caught:
        about.require_layout(instance, told)
    assert str(caught.value) == (
        f"the instance 'host' was loaded by guard {told.get('guard', '?')} in layout"
        f" {told.get('layout', 'unnumbered')}, and this is guard {VERSION}, which knows layout"
        f" {about.layout()} alone"
    )
    assert caught.value.remedy is not None and "goes on enforcing" in caught.value.remedy


def test_the_digest_follows_every_number_and_every_struct(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fingerprint()
    assert ours == fingerprint() and len(ours) == 12
    monkeypatch.setattr(layout, "STRUCTS", layout.STRUCTS[:-1])
    without = fingerprint()
    assert without != ours
    monkeypatch.undo()
    monkeypatch.setattr(layout, "Abi", IntEnum("Abi", {"VERSION": 99}))
    assert fingerprint() not in (ours, without)
