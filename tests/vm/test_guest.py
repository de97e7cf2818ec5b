# SPDX-License-Identifier: Apache-2.0
"""How a guest is started, and what is made of its end; the emulator is a stand-in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.vm import guest, initramfs
from tests.vm.guest import GuestError, Machine, Outcome
from tests.vm.kernels import Kernel

# Finds the console's and the exchange directory's paths in its own arguments.
STAND_IN = """\
#!/bin/sh
for word; do
	case $word in
	file,id=console,path=*) console=${word#*path=} ;;
	local,id=exchange,path=*) exchange=${word#*path=}; exchange=${exchange%%,*} ;;
	esac
done
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    root = tmp_path / "6.1.0-1-amd64"
    monkeypatch.setattr(initramfs, "obtain", lambda kernel: kernel.root / "initramfs")
    return Kernel(release="6.1.0-1-amd64", root=root)


def run_stand_in(
    script: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, timeout: float = 60
) -> tuple[Outcome, bytes]:
    programs = kernel.root.parent / "programs"
    programs.mkdir()
    stand_in = programs / guest.QEMU
    stand_in.write_text(STAND_IN + script)
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    output = io.BytesIO()
    outcome = guest.run(kernel, Machine(timeout=timeout), ["true"], output)
    return outcome, output.getvalue()


def test_the_commands_output_and_status_come_through(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'echo said; : >"$exchange/uptime"; echo 7 >"$exchange/status"'
    outcome, output = run_stand_in(script, kernel, monkeypatch)
    assert outcome.status == 7
    assert output == b"said\n"


@pytest.mark.parametrize(
    "words", ["Kernel panic - not syncing: oops", "BUG: kernel NULL pointer", "Oops: int3"]
)
def test_a_fault_of_the_kernel_fails_even_a_command_that_succeeded(
    words: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'echo "{words}" >"$console"; : >"$exchange/uptime"; echo 0 >"$exchange/status"'
    with pytest.raises(GuestError, match="the kernel faulted") as caught:
        run_stand_in(script, kernel, monkeypatch)
    assert words in str(caught.value)


def test_a_guest_that_ends_early_is_a_failure(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'echo "reboot: Power down, loops_per_jiffy" >"$console"'
    with pytest.raises(GuestError, match="without the command's status") as caught:
        run_stand_in(script, kernel, monkeypatch)
    assert "reboot: Power down" in str(caught.value)


def test_an_emulator_that_refuses_is_quoted(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GuestError, match="no such device"):
        run_stand_in("echo no such device >&2; exit 1", kernel, monkeypatch)


def test_a_guest_that_does_not_end_is_ended(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "exec sleep 1000"
    with pytest.raises(GuestError, match=r"the time of 0\.2 s was up"):
        run_stand_in(script, kernel, monkeypatch, timeout=0.2)


def test_a_machine_without_the_emulator_is_told_what_to_install(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GuestError, match="install the package qemu-system-x86"):
        guest.run(kernel, Machine(), ["true"], io.BytesIO())


@pytest.mark.parametrize(
    ("release", "accelerator"),
    [
        ("6.12.117+deb13-amd64", "tcg,thread=single"),
        ("7.0.4+deb13-amd64", "tcg,thread=single"),
    ],
)
def test_a_guest_is_emulated_in_one_thread(
    release: str, accelerator: str, kernel: Kernel, tmp_path: Path
) -> None:
    words = guest._command_line(Kernel(release, tmp_path), Machine(), tmp_path)
    assert accelerator in words


def test_counting_instructions_takes_one_processor_and_its_clock(
    kernel: Kernel, tmp_path: Path
) -> None:
    words = guest._command_line(kernel, Machine(counted=True, lsm="capability,bpf"), tmp_path)
    assert words[words.index("-smp") + 1] == "1"
    assert words[words.index("-icount") + 1] == "shift=0,sleep=off"
    assert "clocksource=tsc lsm=capability,bpf" in words[words.index("-append") + 1]
