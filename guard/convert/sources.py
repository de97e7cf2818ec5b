# SPDX-License-Identifier: Apache-2.0
"""From a source's bytes to the text of guard's policies: the whole way of a conversion.

Pure: whoever calls has read the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from guard.analysis.passes import analyse
from guard.convert import apparmor, emit, kubearmor, limits, tetragon
from guard.convert.apparmor_names import Load
from guard.convert.model import Converted, NotConverted, Subject, policy_name
from guard.policy.canonical import NotFormatted
from guard.policy.codes import Severity
from guard.policy.load import load

FORMATS = ("apparmor", "kubearmor", "tetragon")

_SIGNS = {
    "kubearmor": re.compile(rb"^kind:[ \t]*[\"']?KubeArmor(Host)?Policy\b", re.MULTILINE),
    "tetragon": re.compile(rb"^kind:[ \t]*[\"']?TracingPolicy(Namespaced)?\b", re.MULTILINE),
    "apparmor": re.compile(rb"^[ \t]*(profile[ \t]|[\"/@])[^\n]*\{[ \t]*(#[^\n]*)?$", re.MULTILINE),
}


class Written(NamedTuple):
    """The policies' text, '' where there are none, and what did not carry over."""

    text: str
    converted: Converted


def guess(data: bytes) -> str | None:
    """The format of a source, None where it is not certain."""
    fits = [name for name, sign in _SIGNS.items() if sign.search(data[: limits.SOURCE_SIZE])]
    return fits[0] if len(fits) == 1 else None


def convert(
    files: Sequence[tuple[str, bytes, str]], load: Load, subject: Subject | None
) -> Written:
    """Convert files, each with its name, content and format.

    ``load`` finds what AppArmor profiles include. Raises NotConverted.
    """
    whole = Converted()
    for name, data, form in files:
        made = _one(name, data, form, load, subject)
        for policy in made.policies:
            policy.name = policy_name(policy.name, (each.name for each in whole.policies))
            if emit.gates(policy):
                whole.policies.append(policy)
        whole.losses += made.losses
    return Written(_written(whole), whole)


def _one(name: str, data: bytes, form: str, load: Load, subject: Subject | None) -> Converted:
    if len(data) > limits.SOURCE_SIZE:
        raise NotConverted(
            f"{name} has more than {limits.SOURCE_SIZE // 1048576} MiB, which is the limit",
            "convert its parts one by one",
        )
    if form == "kubearmor":
        return kubearmor.convert(data, name, subject)
    if form == "tetragon":
        return tetragon.convert(data, name, subject)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise NotConverted(
            f"{name}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8"
        ) from None
    return apparmor.convert(text, name, load, subject)


def _written(whole: Converted) -> str:
    """The policies as text that `guard check` accepts and `guard fmt` leaves as it is."""
    if not whole.policies:
        return ""
    raw = emit.emit(whole.policies)
    loaded = analyse(load([("", raw.encode())]))
    for found in loaded.diagnostics:
        if found.severity is Severity.ERROR:
            raise NotConverted(
                f"what it becomes is more than guard takes: {found.message}",
                "convert its parts one by one",
            )
    try:
        return emit.formed(raw)
    except NotFormatted as reason:
        raise NotConverted(f"what it becomes cannot be written: {reason}") from None
