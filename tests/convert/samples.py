# SPDX-License-Identifier: Apache-2.0
"""Sources of this project's own, and how the tests ask what became of them."""

from __future__ import annotations

from guard.analysis.evaluate import decide
from guard.convert.apparmor_names import nothing_to_load
from guard.convert.model import Change, Loss
from guard.convert.sources import Subject, Written, convert
from guard.policy.load import load
from guard.policy.model import (
    KernelOperation,
    NetOperation,
    Operation,
    PathOperation,
    Policy,
)
from guard.policy.words import EXEC, FILE, KERNEL, NET


def converted(text: str, form: str, subject: Subject | None = None) -> Written:
    """A source as policies."""
    return convert([("src", text.encode(), form)], nothing_to_load, subject)


def policies(written: Written) -> tuple[Policy, ...]:
    """The written text as guard reads it; there is nothing wrong with it."""
    loaded = load([("out.yaml", written.text.encode())])
    assert loaded.diagnostics == ()
    return loaded.policies


def allowed(written: Written, *words: str) -> bool:
    """Whether all policies allow an operation: a verb and a path, or an operation on the kernel."""
    return all(decide(each, operation(*words)).allowed for each in policies(written))


def operation(verb: str, path: str = "") -> Operation:
    """An operation from words."""
    if not path:
        return KernelOperation(KERNEL.words[verb])
    return PathOperation({**FILE.words, **EXEC.words}[verb], path)


def socket(verb: str, family: int, type_: int, protocol: int = 0) -> NetOperation:
    """An operation on a socket; with an address where the verb has one."""
    address = bytes([198, 51, 100, 7]) if family == 2 and verb != "create" else None
    port = 443 if address else None
    return NetOperation(NET.words[verb], family, type_, protocol, address, port)


def told(written: Written, change: Change | None = None) -> list[tuple[int, str]]:
    """Lines and reasons of what did not carry over."""
    return [
        (loss.span.line, loss.reason)
        for loss in written.converted.losses
        if change in (None, loss.change)
    ]


def losses_at(written: Written, line: int) -> list[Loss]:
    """What is told about one line."""
    return [loss for loss in written.converted.losses if loss.span.line == line]
