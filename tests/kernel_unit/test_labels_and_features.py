# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002 - fakes have the arguments of what they stand for
"""Labels as the kernel reads them; what is said about a kernel that refuses."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from guard.errors import HostError
from guard.kernel import features
from guard.kernel.attachment import Attachment, preemptible, traceable
from guard.kernel.labels import Label, Labels
from guard.kernel.libbpf import LibbpfError
from guard.plan.gates import GATES
from guard.wire.layout import TASK
from tests.kernel_unit.fakes import FEATURES

LABEL = Label(1 << 63 | 1, 2, 3, 0xFFFFFFFE, 5, 6)


def test_a_label_is_packed_where_the_layout_says() -> None:
    packed = LABEL.pack()
    assert len(packed) == TASK.size
    for name in TASK.fields:
        field = TASK.fields[name]
        (value,) = struct.unpack_from(f"<{field.code}", packed, field.offset)
        assert value == getattr(LABEL, name)


class Storage:
    """Task storage as a dictionary by what the pidfd in the key is of."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    @staticmethod
    def _process(key: bytes) -> str:
        (pidfd,) = struct.unpack("=i", key)
        info = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
        return next(line for line in info.splitlines() if line.startswith("Pid:"))

    def map_update(self, fd: int, key: bytes, value: bytes, what: str) -> None:
        self.values[self._process(key)] = value

    def map_lookup(self, fd: int, key: bytes, size: int, what: str) -> bytes | None:
        return self.values.get(self._process(key))


def test_a_label_that_is_set_is_read_back_and_no_descriptor_stays() -> None:
    labels = Labels(Storage(), 9)  # type: ignore[arg-type]
    before = os.listdir("/proc/self/fd")
    assert labels.get(os.getpid()) is None
    labels.set(os.getpid(), LABEL)
    assert labels.get(os.getpid()) == LABEL
    assert labels.get(os.getppid()) is None
    assert os.listdir("/proc/self/fd") == before


def test_a_process_that_is_gone_cannot_be_labelled() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        Labels(Storage(), 9).set(pid, LABEL)  # type: ignore[arg-type]


REFUSED = LibbpfError("load", errno.EPERM, [])
PRIVILEGE = (
    "run as root with CAP_BPF and CAP_PERFMON, on a kernel with CONFIG_BPF_LSM=y "
    "that is not locked down"
)
INVALID = LibbpfError("load", errno.EINVAL, ["R1 !read_ok"])


@pytest.mark.parametrize(
    ("error", "kernel", "message", "remedy"),
    [
        (
            INVALID,
            replace(FEATURES, btf=False),
            "kernel 6.12.1 has no BTF at /sys/kernel/btf/vmlinux",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are",
        ),
        (
            INVALID,
            replace(FEATURES, rename_lock=False),
            "kernel 6.12.1 does not tell where rename_lock is",
            "boot a kernel built with CONFIG_KALLSYMS_ALL=y, as Debian's are",
        ),
        (
            REFUSED,
            FEATURES,
            "kernel 6.12.1 refuses LSM programs: load: Operation not permitted (EPERM)",
            PRIVILEGE,
        ),
    ],
)
def test_a_refusal_is_one_sentence_with_its_remedy(
    error: LibbpfError, kernel: features.Features, message: str, remedy: str
) -> None:
    said = features.refusal(error, kernel)
    assert (str(said), said.remedy) == (message, remedy)


def test_a_refusal_without_a_known_cause_is_the_kernels_own_with_its_log() -> None:
    said = features.refusal(INVALID, FEATURES)
    assert said is INVALID
    assert str(said) == "load: Invalid argument (EINVAL)"
    assert INVALID.log == ("R1 !read_ok",)
    unknown = replace(FEATURES, lsm_list=None)
    assert unknown.bpf_in_lsm_list is None
    assert features.refusal(INVALID, unknown) is INVALID


class WithoutBtf:
    def kernel_functions(self, names: Iterable[str]) -> dict[str, int]:
        raise LibbpfError("kernel BTF", errno.ENOENT, [])


class WithFunctions:
    def kernel_functions(self, names: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(names, 2)


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel whose files are in a folder: none yet."""
    for name in ("LSM_LIST", "KERNEL_BTF", "KALLSYMS"):
        monkeypatch.setattr(features, name, tmp_path / name)
    return tmp_path


def test_a_kernel_without_anything_is_described_as_that(pretended: Path) -> None:
    found = features.probe(WithoutBtf(), "5.4")  # type: ignore[arg-type]
    assert (found.btf, found.lsm_list, found.functions, found.rename_lock) == (
        False,
        None,
        {},
        False,
    )
    assert not found.rdonly_cast


def test_a_kernel_with_everything_is_described_as_that(pretended: Path) -> None:
    (pretended / "LSM_LIST").write_text("capability,bpf\n")
    (pretended / "KERNEL_BTF").write_bytes(b"\x9f\xeb")
    (pretended / "KALLSYMS").write_bytes(b"0000 B not_rename_lock\n0000 D rename_lock\n")
    found = features.probe(WithFunctions(), "6.12")  # type: ignore[arg-type]
    assert (found.btf, found.lsm_list, found.rename_lock) == (True, ("capability", "bpf"), True)
    assert found.rdonly_cast and found.bpf_in_lsm_list


def test_a_name_that_only_ends_like_the_lock_is_not_the_lock(pretended: Path) -> None:
    (pretended / "KALLSYMS").write_bytes(b"0000 B not_rename_lock\n0000 D rename_lock_x\n")
    found = features.probe(WithFunctions(), "6.12")  # type: ignore[arg-type]
    assert not found.rename_lock


def test_btf_that_libbpf_cannot_read_is_none(pretended: Path) -> None:
    (pretended / "KERNEL_BTF").write_bytes(b"")
    assert not features.probe(WithoutBtf(), "6.12").btf  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("preempt", "version", "command_line", "wanted"),
    [
        ("none (voluntary) full\n", "#1 SMP PREEMPT_DYNAMIC", "preempt=full", False),
        ("none voluntary (full)\n", "#1 SMP PREEMPT_DYNAMIC", "", True),
        ("none voluntary full (lazy)\n", "#1 SMP PREEMPT_DYNAMIC", "", True),
        (None, "#1 SMP PREEMPT_DYNAMIC", "quiet preempt=voluntary", False),
        (None, "#1 SMP PREEMPT_DYNAMIC", "preempt=voluntary preempt=full", True),
        (None, "#1 SMP PREEMPT_DYNAMIC", "quiet", True),
        (None, "#1 SMP", "quiet", False),
    ],
)
def test_whether_a_kernel_preempts_itself(
    preempt: str | None, version: str, command_line: str, wanted: bool
) -> None:
    assert preemptible(preempt, version, command_line) is wanted


def test_security_functions_are_no_sound_place_on_a_kernel_that_preempts_itself() -> None:
    still = replace(FEATURES, lsm_list=("landlock",), preemptible=False)
    assert features.attachment(still) is Attachment.FMOD_RET
    assert features.attachment(FEATURES) is Attachment.LSM
    features.require_sound(Attachment.FMOD_RET, still, allow_degraded=False)
    preempting = replace(still, preemptible=True)
    features.require_sound(Attachment.FMOD_RET, preempting, allow_degraded=True)
    features.require_sound(Attachment.LSM, preempting, allow_degraded=False)
    with pytest.raises(HostError, match="can be passed by") as caught:
        features.require_sound(Attachment.FMOD_RET, preempting, allow_degraded=False)
    assert caught.value.remedy is not None and "--allow-degraded" in caught.value.remedy


def test_a_function_with_other_parameters_than_its_hook_stands_in_for_nothing() -> None:
    (gate,) = [gate for gate in GATES if gate.program == "guard_file_open"]
    same = {gate.function: 1, "security_file_open": 1}
    assert traceable([gate], same) == {gate.function: 1}
    assert traceable([gate], {**same, "security_file_open": 2}) == {}
    assert traceable([gate], {gate.function: 1}) == {}


def test_a_refusal_is_an_error_for_people() -> None:
    assert isinstance(features.refusal(REFUSED, FEATURES), HostError)
