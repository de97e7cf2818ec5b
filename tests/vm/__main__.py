# SPDX-License-Identifier: Apache-2.0
"""``python3 -m tests.vm``: fetch kernels, and run a command on one of them.

Exit status of ``run``: the command's own, or 3 when the guest could not run it
to its end (no QEMU, no kernel, a fault of the kernel, the time was up).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from tests.vm import guest, initramfs, kernels
from tests.vm.archive import ArchiveError

CANNOT = 3


def main() -> int:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    # So that the emulator is ended, and the temporary files go, on a polite kill too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if arguments.do == "fetch":
            return _fetch(arguments.names)
        return _run(arguments)
    except (ArchiveError, guest.GuestError, initramfs.InitramfsError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm")
    commands = parser.add_subparsers(dest="do", required=True)
    fetch = commands.add_parser("fetch", help="get kernels from the Debian archive")
    fetch.add_argument("names", nargs="+", metavar="KERNEL", help="6.1, 6.12, newest")
    run = commands.add_parser("run", help="run a command in a guest")
    run.add_argument("--kernel", required=True, help="6.1, 6.12, newest")
    run.add_argument("--smp", type=int, default=2, help="processors (2)")
    run.add_argument("--memory", default="3G", help="as QEMU takes it (3G)")
    run.add_argument("--icount", action="store_true", help="count instructions; one processor")
    run.add_argument("--append", default="", help="more of the kernel's command line")
    run.add_argument("--lsm", default="", help="the lsm= list; by default the kernel's own")
    run.add_argument("--timeout", type=float, default=600.0, help="seconds for everything (600)")
    run.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="set or pass on"
    )
    run.add_argument("--quiet", action="store_true", help="no lines about the guest itself")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    return parser


def _fetch(names: list[str]) -> int:
    for name in names:
        kernel = kernels.obtain(name, refresh=True)
        print(f"kernel {name}: {kernel.release}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    kernel = kernels.obtain(arguments.kernel)
    variables = dict(item.partition("=")[::2] for item in arguments.env)
    for item in arguments.env:
        if "=" not in item:
            variables[item] = os.environ.get(item, "")
    machine = guest.Machine(
        processors=arguments.smp,
        memory=arguments.memory,
        counted=arguments.icount,
        append=arguments.append,
        lsm=arguments.lsm,
        timeout=arguments.timeout,
        environment=variables,
    )
    started = time.monotonic()
    outcome = guest.run(kernel, machine, arguments.command, sys.stdout.buffer)
    if not arguments.quiet:
        print(
            f"guest {kernel.release}: up after {outcome.boot_seconds:.1f} s, "
            f"done after {time.monotonic() - started:.1f} s, exit status {outcome.status}",
            file=sys.stderr,
        )
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
