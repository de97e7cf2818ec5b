# SPDX-License-Identifier: Apache-2.0
"""The corpus of policies and how it is judged, shared by the tests of guard.policy."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from guard.analysis.passes import analyse
from guard.cli.check import with_refused
from guard.plan import platform
from guard.plan.shadowed import add_shadowed
from guard.policy.load import Loaded, load

CORPUS = Path(__file__).parent.parent / "corpus"
GOOD = sorted((CORPUS / "good").glob("*.yaml"))
BAD = sorted((CORPUS / "bad").glob("*.yaml"))

TODAY = dt.date(2026, 7, 1)
"""The day on which everything here is judged."""

# The first line of a policy that is to be judged for a kernel.
_FOR_KERNEL = re.compile(rb"# kernel: (\S+)\n")

HEAD = "version: 1\nname: demo\nmode: audit\nsubject: {host: true}\n"


def included(file: str, path: str) -> tuple[str, bytes]:
    """The fragments that the corpus and the pages include."""
    directory = CORPUS / "bad" / Path(file).parent
    if not (directory / path).exists():
        directory = CORPUS / "bad/include"
    return str(Path(file).parent / path), (directory / path).read_bytes()


def judge(*texts: str | bytes, kernel: str | None = None) -> Loaded:
    """Everything that `guard check` finds in files of these texts, with --kernel if given."""
    loaded = load(
        [
            (f"{number}.yaml", text if isinstance(text, bytes) else text.encode())
            for number, text in enumerate(texts)
        ],
        included,
        TODAY,
    )
    judged = add_shadowed(with_refused(analyse(loaded)))
    if kernel is None:
        return judged
    return judged.with_findings(platform.find(judged.policies, [platform.read_release(kernel)]))


def kernel_of(path: Path) -> str | None:
    """The release that a policy of the corpus is to be judged for, if any."""
    found = _FOR_KERNEL.match(path.read_bytes())
    return found[1].decode() if found else None


def options(path: Path) -> list[str]:
    """The words by which `guard check` finds in a policy of the corpus what its name says."""
    kernel = kernel_of(path)
    return [str(path)] if kernel is None else ["--kernel", kernel, str(path)]


def codes(loaded: Loaded) -> list[str]:
    """The codes found, in order."""
    return [found.code.number for found in loaded.diagnostics]


def with_rules(rules: str, default: str = "allow") -> str:
    """A policy with these rules, given as a YAML list without indentation."""
    indented = "".join(f"    {line}\n" for line in rules.splitlines())
    return f"{HEAD}file:\n  default: {default}\n  rules:\n{indented}"
