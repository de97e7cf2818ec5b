# SPDX-License-Identifier: Apache-2.0
"""`guard doctor`: what this kernel can do, a line each, and the remedy for what it cannot."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

from guard.cli.exits import Exit
from guard.daemon.hostplan import MOUNTINFO
from guard.daemon.session import require_root
from guard.errors import GuardError, HostError
from guard.kernel import engine, features, pins
from guard.kernel.features import Features
from guard.kernel.libbpf import Libbpf, LibbpfError


class Finding(NamedTuple):
    """One thing looked at: what it is, whether it is well, and what to do if not."""

    what: str
    well: bool
    remedy: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Loads guard's programs for a moment, without attaching them; changes nothing.\n\n"
        "example:\n  guard doctor\n\n"
        "exit code: 0 this host can enforce, 3 it cannot"
    )


def run(_arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    findings = examine()
    for finding in findings:
        print(f"{'ok     ' if finding.well else 'MISSING'}  {finding.what}")
        if not finding.well and finding.remedy:
            print(f"         remedy: {finding.remedy}")
    return Exit.CLEAN if all(finding.well for finding in findings) else Exit.UNABLE


def examine() -> list[Finding]:
    """Everything that enforcing needs, in the order in which it is needed."""
    root = _attempt("root", require_root)
    try:
        libbpf = Libbpf()
    except HostError as error:
        return [root, Finding(str(error), False, error.remedy)]
    kernel = features.probe(libbpf, os.uname().release)
    findings = [root, Finding("libbpf", True), *_kernel(kernel)]
    mounts = MOUNTINFO.read_text(errors="surrogateescape")
    findings.append(_attempt("bpf file system", lambda: pins.require_bpffs(mounts)))
    if root.well:
        findings.append(_trial(libbpf, kernel))
    return findings


def _kernel(kernel: Features) -> list[Finding]:
    way = "without a helper" if kernel.rdonly_cast else "by helper: no bpf_rdonly_cast before 6.2"
    return [
        Finding(
            f"kernel {kernel.release} with BTF",
            kernel.btf,
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are",
        ),
        Finding(
            f"address of rename_lock in /proc/kallsyms, read {way}",
            kernel.rename_lock,
            "boot a kernel built with CONFIG_KALLSYMS_ALL=y, as Debian's are",
        ),
        _attaching(kernel),
    ]


def _attaching(kernel: Features) -> Finding:
    listed = ", ".join(kernel.lsm_list or ("list not readable",))
    if kernel.bpf_in_lsm_list is not False:
        return Finding(f"bpf among the LSMs ({listed})", True)
    instead = f"bpf is not among the LSMs ({listed}): security functions are used instead"
    if kernel.preemptible:
        return Finding(
            f"{instead}, and on a kernel that preempts itself they can be passed by",
            False,
            f"{features.BPF_REMEDY}; or boot with preempt=voluntary",
        )
    return Finding(f"{instead}; this kernel does not preempt itself", True)


def _trial(libbpf: Libbpf, kernel: Features) -> Finding:
    what = "the kernel takes guard's programs"
    try:
        engine.trial(libbpf, kernel, features.attachment(kernel))
    except LibbpfError as error:
        refused = features.refusal(error, kernel)
        return Finding(f"{what}: {refused}", False, refused.remedy)
    except HostError as error:
        return Finding(f"{what}: {error}", False, error.remedy)
    return Finding(what, True)


def _attempt(what: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except GuardError as error:
        return Finding(f"{what}: {error}", False, error.remedy)
    return Finding(what, True)
