# SPDX-License-Identifier: Apache-2.0
"""The demo itself: policies on a shell's process tree, denials, a killed guard, and away again.

Uses guard as anybody would, by its commands, and prints only what they, the
kernel and the shell said. Everything it shows it also expects: the exit status
is 1 as soon as something else happened. Needs root and a kernel that takes LSM
programs; packaging/demo/run finds one.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path("packaging/demo")
POLICIES = (HERE / "demo.yaml", HERE / "watch.yaml")
FILES = Path("/run/guard-demo")  # in the policies as well; /run is root's and not kept
LOG = FILES / "audit.jsonl"
INSTANCE = "demo"
PINS = Path("/sys/fs/bpf/guard") / INSTANCE
GUARD = str(Path(sys.executable).with_name("guard"))

PUBLIC, PRIVATE, PAYROLL = FILES / "keys/web.pub", FILES / "keys/web.key", FILES / "payroll.csv"
CONTENTS = {
    PUBLIC: "ssh-ed25519 AAAAC3Nz... the public half",
    PRIVATE: "-----BEGIN PRIVATE KEY----- (not a real one)",
    PAYROLL: "name,salary",
}

# Ends a command's output in the pipe from the shell; no output of the demo has it.
MARK = "\x1e"

# How long a record may take from the kernel to the log before the demo gives up.
RECORD_SECONDS = 30.0

# A program says in words what errno it got; these are the words (LC_ALL=C).
ERRNO_OF_WORDS = {os.strerror(number): name for number, name in errno.errorcode.items()}

Record = dict[str, Any]


class Unexpected(Exception):
    """Something did not happen as it must; the text says what."""


def expect(what: str, holds: bool) -> None:
    """Raise Unexpected unless it holds."""
    if not holds:
        raise Unexpected(what)


class Page:
    """What people see, in colour or plain."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def title(self, text: str) -> None:
        print(f"\n{self.paint('1', text)}", flush=True)

    def command(self, text: str, output: str, who: str = "$") -> None:
        print(f"\n  {self.paint('36', who)} {self.paint('1', text)}")
        for line in output.splitlines():
            print(f"    {line}")

    def fact(self, name: str, text: str, code: str = "0") -> None:
        print(f"    {self.paint('2', f'{name:7}')} {self.paint(code, text)}", flush=True)


class Tree:
    """A shell under `guard run ... -- sh`, which executes what it is given line by line."""

    def __init__(self) -> None:
        command = [GUARD, "run", "--name", INSTANCE, "--log", str(LOG), *map(str, POLICIES)]
        self.words = ["guard", *command[1:], "--", "sh"]
        # A session of its own: it must outlive guard, and a terminal's interrupt.
        self.guard = subprocess.Popen(
            [*command, "--", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """Output, errors included, and exit status of one command line."""
        assert self.guard.stdin and self.guard.stdout
        self.guard.stdin.write(f"{{ {command}\n}} 2>&1; echo {MARK}$?\n")
        self.guard.stdin.flush()
        output = ""
        while MARK not in output:
            line = self.guard.stdout.readline()
            expect("the shell under guard answers", line != "")
            output += line
        output, _, status = output.partition(MARK)
        return output, int(status)

    def close(self) -> None:
        """End the shell, and with it guard if that is still there."""
        assert self.guard.stdin and self.guard.stdout
        self.guard.stdin.close()
        self.guard.stdout.close()
        self.guard.wait()


def records() -> list[Record]:
    """The audit records of the demo's own policies that are in the log."""
    if not LOG.exists():
        return []
    whole = LOG.read_bytes().rpartition(b"\n")[0]
    parsed = [json.loads(line) | {"line": line.decode()} for line in whole.splitlines()]
    return [one for one in parsed if one["event"] == "file.open" and one["policy"]["name"]]


def wait_for_records(count: int) -> list[Record]:
    """All records, once there are that many."""
    deadline = time.monotonic() + RECORD_SECONDS
    while len(found := records()) < count:
        expect(f"{count} audit records came, not {len(found)}", time.monotonic() < deadline)
        time.sleep(0.02)
    return found


def guard(*words: str) -> str:
    """What a guard command printed. It must succeed."""
    done = subprocess.run([GUARD, *words], capture_output=True, text=True, check=False)
    expect(f"guard {shlex.join(words)} succeeds: {done.stderr}", done.returncode == 0)
    return done.stdout


def errno_of(output: str, status: int) -> str:
    """The name of the errno that a program complains of; ``none`` if it succeeded."""
    if status == 0:
        return "none"
    return ERRNO_OF_WORDS.get(output.strip().rpartition(": ")[2], "unknown")


def make_files() -> None:
    """The demo's own files, in a directory that nobody else can have prepared."""
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(mode=0o700)
    (FILES / "keys").mkdir()
    for path, text in CONTENTS.items():
        path.write_text(f"{text}\n")


def show_policies(page: Page) -> None:
    page.title("1. Two policies: one refuses, one only watches.")
    for path in POLICIES:
        lines = path.read_text().splitlines()
        numbered = [f"{number:3}  {line}" for number, line in enumerate(lines, 1)]
        page.command(f"cat {path}", "\n".join(numbered[1:]))
    page.command(f"guard check {HERE}", guard("check", str(HERE)))


def show_record(page: Page, record: Record) -> None:
    rule, process = record["rule"], record["process"]
    colour = {"denied": "31", "would-deny": "33"}[record["verdict"]]
    page.fact(
        "record",
        f"{record['verdict']}: {', '.join(record['verbs'])} {record['object']['path']}",
        colour,
    )
    policy = f"{record['policy']['name']} ({record['policy']['mode']})"
    page.fact("", f"policy {policy}, rule {rule['id']}, {rule['file']}:{rule['line']}")
    page.fact("", f"why: {rule['why']}")
    told = f"uid {process['uid']}, child of {process['parent']}"
    page.fact("", f"process {process['pid']} {process['exe']}, {told}")


def show_gate(page: Page, tree: Tree) -> Record:
    """Real commands, their errno, their record. Returns the first denial's record."""
    page.title("2. Real commands, executed by that shell.")
    detour = FILES / "notes"
    steps: list[tuple[str, str, str, Path | None]] = [
        (f"cat {PUBLIC}", "none", "", None),
        (f"cat {PRIVATE}", "EACCES", "denied", PRIVATE),
        (f"cat {PAYROLL}", "none", "would-deny", PAYROLL),
        (f"ln -s {PRIVATE} {detour}; cat {detour}", "EACCES", "denied", PRIVATE),
    ]
    ran = [(step, *tree.run(step[0])) for step in steps]
    came = wait_for_records(sum(bool(step[2]) for step in steps))
    expect("there is one record for each denial", len(came) == 3)
    left = iter(came)
    for (command, wanted, verdict, path), output, status in ran:
        page.command(command, output)
        found = errno_of(output, status)
        page.fact("errno", found, "31" if found != "none" else "32")
        expect(f"errno is {wanted}", found == wanted)
        if not verdict:
            page.fact("record", "none")
        else:
            record = next(left)
            show_record(page, record)
            expect(f"the verdict is {verdict}", record["verdict"] == verdict)
            expect(f"the record names {path}", record["object"]["path"] == str(path))
            expect("errno and record agree", (record["error"] or "none") == found)
    outside = subprocess.run(["cat", PRIVATE], capture_output=True, text=True, check=False)
    page.command(f"cat {PRIVATE}", outside.stdout + outside.stderr, "outside the tree $")
    page.fact("errno", errno_of(outside.stderr, outside.returncode), "32")
    page.fact("record", "none")
    expect("who is not in the tree is not touched", outside.stdout == f"{CONTENTS[PRIVATE]}\n")
    expect("nothing else was recorded", len(records()) == len(came))
    return came[0]


def status(page: Page, shown: tuple[str, ...], state: str) -> int:
    """Run and show `guard status`, the lines that begin so; how many denials the kernel counts."""
    lines = guard("status").splitlines()
    page.command("guard status", "\n".join(line for line in lines if line.startswith(shown)))
    expect(f"guard status says: {state}", f"{INSTANCE}: {state}" in lines)
    counted = re.search(r"^  counters +(\d+) denied", "\n".join(lines), re.MULTILINE)
    assert counted
    return int(counted[1])


def show_kill(page: Page, tree: Tree) -> None:
    page.title("4. The guard process is killed. The kernel goes on refusing.")
    before = status(page, ("kernel", INSTANCE, "  "), "enforcing")
    pid = tree.guard.pid
    os.kill(pid, signal.SIGKILL)
    tree.guard.wait()
    page.command(f"kill -KILL {pid}", f"guard, process {pid}, has ended by signal 9")
    expect("guard ended by SIGKILL", tree.guard.returncode == -signal.SIGKILL)
    output, code = tree.run(f"cat {PRIVATE}")
    page.command(f"cat {PRIVATE}", output)
    page.fact("errno", errno_of(output, code), "31")
    page.fact("record", "in the kernel's ring, which nobody reads now; `denied` below counts it")
    expect("the denial holds without guard", errno_of(output, code) == "EACCES")
    told = (INSTANCE, "  daemon", "  hook", "  counters")
    after = status(page, told, "enforcing")
    expect("the kernel has counted one more denial", after == before + 1)


def show_unload(page: Page, tree: Tree) -> None:
    page.title("5. Off again.")
    page.command(f"guard unload {INSTANCE}", guard("unload", INSTANCE))
    output, code = tree.run(f"cat {PRIVATE}")
    page.command(f"cat {PRIVATE}", output)
    page.fact("errno", errno_of(output, code), "32")
    expect("the file is readable again", (output, code) == (f"{CONTENTS[PRIVATE]}\n", 0))
    pins = subprocess.run(["ls", PINS], capture_output=True, text=True, check=False)
    page.command(f"ls {PINS}", pins.stdout + pins.stderr)
    expect("nothing of it is pinned", not PINS.exists())


def demonstrate(page: Page) -> None:
    """The whole demo. Raises Unexpected; leaves nothing behind however it ends."""
    make_files()
    tree: Tree | None = None
    try:
        show_policies(page)
        started = time.monotonic()
        tree = Tree()
        _, ready = tree.run("true")
        expect("a shell runs under guard", ready == 0)
        page.command(shlex.join(tree.words), f"in force after {time.monotonic() - started:.1f} s")
        denial = show_gate(page, tree)
        page.title("3. The first denial's record as it went into the log: one line of JSON.")
        print(f"\n{denial['line']}", flush=True)
        show_kill(page, tree)
        show_unload(page, tree)
    finally:
        if tree is not None:
            tree.close()
        if PINS.exists():
            guard("unload", INSTANCE)
        shutil.rmtree(FILES, ignore_errors=True)


def main() -> int:
    """Show everything; 1 when something was not as it should be."""
    page = Page(bool(os.environ.get("GUARD_DEMO_COLOUR")))
    os.environ["LC_ALL"] = "C"  # see ERRNO_OF_WORDS
    started = time.monotonic()
    if PINS.exists():
        print(f"a demo is loaded already: `guard unload {INSTANCE}` takes it off", file=sys.stderr)
        return 1
    try:
        demonstrate(page)
    except Unexpected as error:
        page.title(page.paint("31", f"NOT AS EXPECTED: {error}"))
        return 1
    except KeyboardInterrupt:
        page.title("Interrupted; everything is off again.")
        return 130
    page.title(page.paint("32", f"All as expected, in {time.monotonic() - started:.0f} s."))
    return 0


if __name__ == "__main__":
    sys.exit(main())
