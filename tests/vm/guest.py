# SPDX-License-Identifier: Apache-2.0
"""Run one command in a QEMU guest: a stock kernel on this machine's file system.

The guest sees the host's whole file system, read-only under an overlay in
memory, so a checkout and its virtual environment are at their own paths and
nothing the command does reaches the host. Emulated in software: no KVM, no
privilege, no network is needed. Knows nothing about what the command is for.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.vm import initramfs
from tests.vm.kernels import Kernel

ROOT_SCRIPT = Path(__file__).with_name("root.sh")
QEMU = "qemu-system-x86_64"

_KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM", "CI")
# Every oops ends in a panic (oops=panic); a plain "BUG:" may not.
_FAULT = re.compile(rb"Kernel panic|\bOops\b|\bBUG:")


class GuestError(Exception):
    """The guest did not run the command to its end; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the guest looks like."""

    processors: int = 2
    memory: str = "3G"
    counted: bool = False
    """Count instructions: one processor, and a nanosecond of guest time is an instruction."""
    append: str = ""
    """More of the kernel's command line."""
    lsm: str = ""
    """The ``lsm=`` list; by default the kernel's own."""
    timeout: float = 600.0
    """Seconds of host time for everything."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set for the command, beside a few variables that are passed on from here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    """Its exit status."""
    boot_seconds: float
    """Host time until the command was started."""


def run(kernel: Kernel, machine: Machine, command: Sequence[str], output: BinaryIO) -> Outcome:
    """Run ``command`` in this working directory and copy what it writes to ``output``.

    Raises GuestError when there is no QEMU, the kernel faulted, the time was
    up, or the guest ended without the command's status.
    """
    if shutil.which(QEMU) is None:
        raise GuestError(f"{QEMU} is not here: install the package qemu-system-x86")
    with tempfile.TemporaryDirectory(prefix="guard-vm-") as name:
        directory = Path(name)
        exchange = directory / "exchange"
        exchange.mkdir()
        _fill_exchange(exchange, kernel, machine, command)
        console = directory / "console"
        started = time.time()
        reason = _emulate(_command_line(kernel, machine, directory), machine, output, directory)
        log = console.read_bytes() if console.exists() else b""
        status = exchange / "status"
        if _FAULT.search(log):
            raise GuestError(_report("the kernel faulted", log))
        if reason is not None:
            raise GuestError(_report(reason, log))
        if not status.exists():
            raise GuestError(_report("the guest ended without the command's status", log))
        booted = (exchange / "uptime").stat().st_mtime - started
        return Outcome(status=int(status.read_text()), boot_seconds=booted)


def _fill_exchange(
    exchange: Path, kernel: Kernel, machine: Machine, command: Sequence[str]
) -> None:
    directory = Path.cwd()
    kept = [path for path in (directory, kernel.root) if Path("/tmp") in path.parents]
    (exchange / "settings").write_text(
        f"RELEASE={shlex.quote(kernel.release)}\n"
        f"MODULES={shlex.quote(str(kernel.modules))}\n"
        f"KEEP={shlex.quote(' '.join(str(path) for path in kept))}\n"
    )
    passed = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    variables = {**passed, **machine.environment, "GUARD_GUEST": kernel.release}
    exports = [f"export {key}={shlex.quote(value)}\n" for key, value in variables.items()]
    (exchange / "command.sh").write_text(
        "".join(exports) + f"cd {shlex.quote(str(directory))} || exit 126\n{shlex.join(command)}\n"
    )
    shutil.copyfile(ROOT_SCRIPT, exchange / "root.sh")


def _command_line(kernel: Kernel, machine: Machine, directory: Path) -> list[str]:
    # One thread for all emulated processors: with one each, kernels that patch
    # their own text (6.12 while it boots, 7.3 while programs are attached) were
    # seen to run into an int3 that the emulator had half replaced.
    # No soft-lockup watchdog: a busy host would be reported as a bug of the guest.
    append = ["console=ttyS0", "panic=-1", "oops=panic", "nowatchdog", "quiet"]
    emulation = ["-accel", "tcg,thread=single", "-smp", str(machine.processors)]
    if machine.counted:
        append += ["tsc=reliable", "clocksource=tsc"]
        emulation = ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"]
    if machine.lsm:
        append.append(f"lsm={machine.lsm}")
    append.append(machine.append)
    # As root the guest may read all that root can; otherwise what this user can.
    model = "passthrough" if os.geteuid() == 0 else "none"
    share = f"security_model={model},multidevs=remap"
    return [
        # The emulator must not outlive this process, however that one ends.
        *("setpriv", "--pdeathsig", "KILL", QEMU),
        *emulation,
        *("-cpu", "max", "-m", machine.memory),
        *("-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-nic", "none"),
        *("-chardev", f"file,id=console,path={directory / 'console'}"),
        *("-serial", "chardev:console"),
        # Not "stdio": a port whose input is at its end counts as unplugged and drops output.
        *("-chardev", "file,id=output,path=/dev/stdout"),
        *("-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=output,name=guard.output"),
        *("-fsdev", f"local,id=root,path=/,readonly=on,{share}"),
        *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
        *("-fsdev", f"local,id=exchange,path={directory / 'exchange'},{share}"),
        *("-device", "virtio-9p-pci,fsdev=exchange,mount_tag=exchange"),
        *("-kernel", str(kernel.image), "-initrd", str(initramfs.obtain(kernel))),
        *("-append", " ".join(append)),
    ]


def _emulate(
    command: Sequence[str], machine: Machine, output: BinaryIO, directory: Path
) -> str | None:
    """Run QEMU to its end; what went wrong, or None."""
    deadline = time.monotonic() + machine.timeout
    errors = directory / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return f"the time of {machine.timeout:g} s was up"
                block = os.read(process.stdout.fileno(), 65536)
                if not block:
                    break
                output.write(block)
                output.flush()
        if process.wait():
            return f"{QEMU} failed: {errors.read_text(errors='replace').strip()}"
        return None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _report(reason: str, log: bytes) -> str:
    last = log.decode(errors="replace").replace("\r", "").strip().splitlines()[-60:]
    return "\n".join([reason, "the kernel's last words:", *last] if last else [reason])
