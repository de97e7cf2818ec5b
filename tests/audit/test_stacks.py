# SPDX-License-Identifier: Apache-2.0
"""Stacks: symbols where the symboliser is and answers, addresses whatever it does."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.audit import stacks
from guard.audit.objects import Frame, Stack
from guard.audit.stacks import Stacks, command
from guard.audit.symbols_child import KernelSymbols

BARE = Stack((Frame(0xFFFF10), Frame(0xFFFF20)), (Frame(0x7F00),))

# A child that answers as told: ``answer`` is an expression of the question q.
CHILD = """
import json, sys, time, os
{first}
print("{{}}", flush=True)
for line in sys.stdin:
    q = json.loads(line)
    {act}
"""
GOOD = (
    'print(json.dumps({"kernel": [["61ff", 3, "6b"], None], "user": [[None, 5, "6d"]]}),'
    " flush=True)"
)
NAMED = Stack(
    (Frame(0xFFFF10, b"a\xff", 3, b"k"), Frame(0xFFFF20)), (Frame(0x7F00, None, 5, b"m"),)
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests wait for the thread's answer, however slow the machine is."""
    monkeypatch.setattr(stacks, "WAIT", 60.0)
    monkeypatch.setattr(stacks, "WAIT_A_SECOND", 1e9)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Stacks]]:
    all_made = []

    def make(act: str, first: str = "") -> Stacks:
        script = tmp_path / "child.py"
        script.write_text(CHILD.format(act=act, first=first))
        all_made.append(Stacks([sys.executable, "-I", str(script)]))
        return all_made[-1]

    yield make
    for one in all_made:
        one.close()


def ask(of: Stacks) -> Stack:
    return of.of(7, 10**9, [0xFFFF10, 0xFFFF20, 0], [0x7F00, 0])


def test_without_a_symboliser_there_are_addresses() -> None:
    assert ask(Stacks(None)) == BARE


def test_a_symbolisers_answer_is_taken_and_remembered(made: Callable[..., Stacks]) -> None:
    of = made(GOOD + "; sys.exit()")
    assert ask(of) == NAMED
    assert ask(of) == NAMED


def test_what_is_asked_is_as_documented(made: Callable[..., Stacks]) -> None:
    wanted = {"pid": 7, "ticks": 10**9 // stacks._TICK, "kernel": ["ffff10", "ffff20"]}
    of = made(f"assert q == {{**{wanted!r}, 'user': ['7f00']}}; {GOOD}")
    assert ask(of) == NAMED


@pytest.mark.parametrize(
    "act",
    [
        "sys.exit()",
        "os.abort()",
        "print('nonsense', flush=True)",
        "print('[]', flush=True)",
        'print(json.dumps({"kernel": [], "user": []}), flush=True)',
        'print(json.dumps({"kernel": [["zz", 1, None], None], "user": [None]}), flush=True)',
        'print(json.dumps({"kernel": [[1, 2, 3], None], "user": [None]}), flush=True)',
        'print(json.dumps({"kernel": [[None, "x", None], None], "user": [None]}), flush=True)',
        'print(json.dumps({"kernel": [None, None]}), flush=True)',
        "print('x' * (2 << 20), flush=True)",
    ],
)
def test_a_symboliser_that_fails_costs_the_symbols_only(
    made: Callable[..., Stacks], act: str
) -> None:
    of = made(act)
    for _ in range(stacks.CHILDREN + 2):
        assert ask(of) == BARE
    assert of._asker is not None
    assert of._asker._failed == stacks.CHILDREN
    assert of._asker._child is None


def test_a_symboliser_that_hangs_is_ended(
    made: Callable[..., Stacks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "ANSWER_SECONDS", 0.0)
    of = made("time.sleep(1000)")
    assert ask(of) == BARE
    assert of._asker is not None
    assert of._asker._child is None


def test_one_that_is_not_there_costs_the_symbols_only() -> None:
    of = Stacks(["/none/such"])
    assert ask(of) == BARE


def release(gate: Path) -> None:
    """Let a child go on that reads a FIFO; not by an open that would wait for one that is gone."""
    for _ in range(6000):
        try:
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(0.01)
        else:
            return
    pytest.fail("the child never opened its gate")


def test_a_late_answer_is_there_for_the_next_record(
    made: Callable[..., Stacks], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    of = made(f"open({str(gate)!r}).read(); {GOOD}")
    of._patience._once = 0.0
    assert ask(of) == BARE
    release(gate)
    of._patience._once = 60.0
    other = of.of(8, 1, [], [])  # behind it in the queue: its answer is another's shape
    assert other == Stack((), ())
    assert ask(of) == NAMED


def test_long_stacks_are_cut() -> None:
    stack = Stacks(None).of(1, 1, range(1, 1000), range(1, 1000))
    assert (len(stack.kernel), len(stack.user)) == (stacks.FRAMES, stacks.FRAMES)


def test_a_host_without_bcc_has_no_symboliser(tmp_path: Path) -> None:
    assert command("/none/such") is None
    nothing = tmp_path / "python"
    nothing.write_text("#!/bin/sh\nexit 1\n")
    nothing.chmod(0o755)
    assert command(str(nothing)) is None


# A process whose addresses are known: it says where getpid is, then waits.
TARGET = """
import ctypes, sys
libc = ctypes.CDLL("libc.so.6")
print(ctypes.cast(libc.getpid, ctypes.c_void_p).value, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def symboliser() -> list[str]:
    """bcc's, which Debian's python3-bpfcc brings; `make setup` installs it."""
    found = command()
    assert found is not None, "python3-bpfcc is not installed: make packages"
    return found


def test_bccs_symboliser_names_functions_of_a_process_and_of_the_kernel(
    symboliser: list[str],
) -> None:
    of = Stacks(symboliser)
    target = subprocess.Popen(
        [sys.executable, "-c", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert target.stdout is not None
    address = int(target.stdout.readline())
    fields = Path(f"/proc/{target.pid}/stat").read_bytes().rpartition(b")")[2].split()
    start_ns = int(fields[19]) * stacks._TICK
    table = Path("/proc/kallsyms").read_text()
    found = re.search(r"^([0-9a-f]+) T vfs_read$", table, re.MULTILINE)
    assert found is not None
    kernel = int(found[1], 16)
    try:
        stack = of.of(target.pid, start_ns, [kernel + 1], [address + 2, 5])
        # Another process that had this pid: no address of it means anything here.
        reused = of.of(target.pid, start_ns + 5 * stacks._TICK, [], [address + 2])
    finally:
        target.communicate()
        of.close()
    assert stack.user[0].symbol in (b"getpid", b"__getpid")  # Debian's libc has both
    assert stack.user[0].offset == 2
    assert b"libc" in (stack.user[0].module or b"")
    assert stack.user[1] == Frame(5)
    assert reused.user == (Frame(address + 2),)
    if kernel:  # else this host hides the kernel's addresses
        assert stack.kernel == (Frame(kernel + 1, b"vfs_read", 1, b"kernel"),)


def test_the_kernels_symbols_are_those_below_an_address(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_text(
        "ffffffff81000100 T second\nffffffff81000000 t first\nffffffff81000180 D data\n"
        "ffffffffc0000000 t inside\t[ext4]\nbad\n"
    )
    symbols = KernelSymbols(str(table))
    assert symbols.resolve(0xFFFFFFFF81000000, True) == (b"first", 0, b"kernel")
    assert symbols.resolve(0xFFFFFFFF810001FF, True) == (b"second", 0xFF, b"kernel")
    assert symbols.resolve(0xFFFFFFFFC0000010, True) == (b"inside", 16, b"ext4")
    assert symbols.resolve(5, True) == (None, 5, None)
    table.write_text("0000000000000000 T hidden\n")
    assert KernelSymbols(str(table)).resolve(2**63, True) == (None, 2**63, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the child less")
def test_the_symboliser_is_nobody_with_the_least_it_needs(symboliser: list[str]) -> None:
    of = Stacks(symboliser)
    of.of(os.getpid(), 1, [1], [])
    assert of._asker is not None
    assert of._asker._child is not None
    text = Path(f"/proc/{of._asker._child.pid}/status").read_text()
    of.close()
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(stacks.NOBODY)}
    assert status["Groups"].strip() == ""
    assert status["NoNewPrivs"] == "1"
    # include/uapi/linux/capability.h: DAC_READ_SEARCH, SYS_PTRACE, SYSLOG
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 2 | 1 << 19 | 1 << 34


def test_closing_ends_the_thread_and_the_child(made: Callable[..., Stacks]) -> None:
    of = made(GOOD)
    assert ask(of) == NAMED
    assert of._asker is not None
    of.close()
    of._asker._thread.join(60)
    assert not of._asker._thread.is_alive()
    assert of._asker._child is None
