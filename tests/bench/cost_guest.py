# SPDX-License-Identifier: Apache-2.0
"""What an open costs, inside a guest that counts instructions; tests.bench.cost starts it.

One boot, one ``lsm=`` list, every variant. Each line printed is one JSON
object: a measurement, a load of guard, a note. Knows nothing of the host.

Run as ``python -m tests.bench.cost_guest DRIVER``, DRIVER being drive.c's program.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guard.audit.decode import counters as decode_counters
from guard.kernel import engine, features, pins
from guard.kernel.engine import Engine
from guard.kernel.features import Features
from guard.kernel.libbpf import LIBRARY, Libbpf
from guard.plan.encode import Tables, encode
from guard.plan.host import HostPlan, build_host_plan
from guard.plan.mounts import parse_mountinfo
from guard.policy.model import Policy
from tests.bench.compile import plain
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule

# Virtual, so free: after it the boot's own work no longer disturbs (seconds).
SETTLE = 15

BATCHES, COUNT = 12, 2000
# Few enough that the ring, which nobody drains here, holds every event.
DENIED_BATCHES, DENIED_COUNT = 8, 200

SHORT = "/run/x"
DEEP = "/run/d1/d2/d3/d4/file.conf"
LONG = "/run/l/x86_64-linux/libfoobar/plugins/module-alpha.conf"
DIRECTORY = "/run/d1/d2/d3/d4/dir.conf"
REFUSED = "/run/d1/d2/d3/d4/file.secret"
READS = tuple(f"r:{path}" for path in (SHORT, DEEP, LONG))
OTHERS = (f"w:{DEEP}", f"b:{DEEP}", f"l:{DIRECTORY}")

# The rules that allow these files: none is decided before its last component.
ALLOWING = ("/run/x", "/run/d1/d2/d3/d4/*.conf", "/run/l/**/*.conf", "/run/l/*/x")

# The driver under the name that the policies' subject has, and under another.
HELD, FREE = "/run/held", "/run/free"

SIZES = (10, 1000, 10_000)


def say(kind: str, **fields: Any) -> None:
    """One line for the host."""
    print(json.dumps({"kind": kind, **fields}), flush=True)


def drive(
    variant: str,
    program: str,
    opens: Sequence[str],
    options: Sequence[str] = (),
    batches: int = BATCHES,
    count: int = COUNT,
) -> None:
    """Run the driver and say what it measured; a confined run must open what it may."""
    command = [program, *options, str(batches), str(count), *opens]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say("note", text=f"{variant}: {done.stderr.strip()}")
        return
    for line in done.stdout.splitlines():
        what, error, least, median, most = line.rsplit(" ", 4)
        say(
            "open",
            variant=variant,
            mode=what[0],
            path=what[2:],
            error=int(error),
            min=float(least),
            median=float(median),
            max=float(most),
        )


def make_files(driver: str) -> None:
    """The objects, on the guest's tmpfs /run, and the driver under its two names."""
    for path in (SHORT, DEEP, LONG, REFUSED):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text("x")
    os.makedirs(DIRECTORY, exist_ok=True)
    for name in (HELD, FREE):
        shutil.copy(driver, name)


def rules(count: int) -> list[str]:
    """``count`` random subtrees that no file here is in: the same each time."""
    return plain(random.Random(count), count)  # noqa: S311 - the same rules each time


# Guard


def bench_policy(count: int, *more: Any, name: str = "bench") -> Policy:
    """A policy for the held driver: random subtrees, what allows the files, default deny."""
    allowing = [rule(ALLOW, [READ, WRITE, LIST], path) for path in ALLOWING]
    srv = [rule(ALLOW, [READ], path, line=at + 9) for at, path in enumerate(rules(count))]
    return policy(*srv, *allowing, *more, name=name, exe=[HELD])


def two_automata() -> list[Policy]:
    """Policies of which the driver's one has its rules in two automata."""
    words = [letter * 3 for letter in "abcdefghijk"]
    first = bench_policy(10, rule(DENY, [READ], f"/**/{words[0]}/**"))
    others = [
        policy(
            rule(DENY, [READ], f"/**/{word}/**"),
            rule(ALLOW, [READ], f"/x/*{word[0]}*"),
            rule(ALLOW, [READ], "/**"),
            name=word,
            exe=["/usr/bin/other"],
        )
        for word in words[1:]
    ]
    return [first, *others]


def compiled(policies: Sequence[Policy], generation: int) -> tuple[HostPlan, Tables]:
    """Policies for this guest's mount table."""
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
    plan = build_host_plan(policies, mounts)
    return plan, encode(plan, generation)


class Programs:
    """The kernel's account of loaded programs, beyond what guard itself asks for."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(LIBRARY, use_errno=True)

    def verified(self) -> dict[str, int]:
        """Instructions that the verifier processed, by program (/proc/PID/fdinfo)."""
        counts = {}
        number = ctypes.c_uint32(0)
        while self._c.bpf_prog_get_next_id(number, ctypes.byref(number)) == 0:
            fd = self._c.bpf_prog_get_fd_by_id(number)
            if fd < 0:
                continue
            text = Path(f"/proc/self/fdinfo/{fd}").read_text()
            os.close(fd)
            fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            if "verified_insns" in fields:
                counts[number.value] = int(fields["verified_insns"])
        return {str(key): value for key, value in counts.items()}


def load(libbpf: Libbpf, found: Features, variant: str, tables: Tables) -> Engine:
    """Load guard as it does itself, and say what that took."""
    before = Programs().verified()
    began = time.monotonic()
    chosen = engine.choose_gates(found, [])
    loaded = engine.load(libbpf, found, "bench", tables, tables.bits, chosen)
    seconds = time.monotonic() - began
    after = Programs().verified()
    say(
        "load",
        variant=variant,
        bits=tables.bits,
        data=len(tables.data),
        instructions=round(seconds * 1e9),
        verified={key: count for key, count in after.items() if key not in before},
    )
    return loaded


def unload(loaded: Engine) -> None:
    """Take it off again."""
    pins.remove(loaded.instance)
    loaded.close()


def guard(sizes: Sequence[int]) -> None:
    """All of guard's variants."""
    libbpf = Libbpf()
    found = features.probe(libbpf, os.uname().release)
    for count in sizes:
        variant = f"guard, {count} rules"
        began = time.monotonic()
        _, tables = compiled([bench_policy(count)], 1)
        say("note", text=f"{variant}: compiled in {time.monotonic() - began:.1f} s here")
        loaded = load(libbpf, found, variant, tables)
        if count == sizes[0]:
            drive("guard loaded, task without policy", FREE, (*READS, *OTHERS))
            drive(variant, HELD, (*READS, *OTHERS))
            denied(loaded)
            drive_switched(loaded)
        else:
            drive(variant, HELD, READS)
        unload(loaded)


def denied(loaded: Engine) -> None:
    """An open that is refused, with its event, as long as the ring has room."""
    drive("guard, denied, with event", HELD, [f"r:{REFUSED}"], (), DENIED_BATCHES, DENIED_COUNT)
    counted = [decode_counters(raw) for raw in loaded.counters()]
    refused = sum(one.denied for one in counted)
    dropped = sum(one.dropped for one in counted)
    say("note", text=f"denied {refused}, events dropped {dropped}")


def drive_switched(loaded: Engine) -> None:
    """Other policies in the loaded programs."""
    _, early = compiled([policy(rule(ALLOW, [READ], "/run/**"), exe=[HELD])], 2)
    loaded.switch(early)
    drive("guard, decided at /run/**", HELD, READS)
    plan, two = compiled(two_automata(), 3)
    automata = sum(mask & 1 for mask in plan.plan.group_mask)
    loaded.switch(two)
    drive(f"guard, 10 rules in {automata} automata", HELD, READS)


# The peers


def apparmor(count: int) -> None:
    """The same patterns as a profile, which the driver enters by itself."""
    name = f"bench-{count}"
    lines = [f"  {path} r,\n" for path in rules(count)]
    lines += [f"  {path} rw,\n" for path in ALLOWING]
    lines.append(f"  {DIRECTORY}/ r,\n")
    profile = f"profile {name} {{\n{''.join(lines)}}}\n"
    done = subprocess.run(
        ["apparmor_parser", "-r", "-K"], input=profile, capture_output=True, text=True, check=False
    )
    variant = f"AppArmor, {count} rules"
    if done.returncode:
        say("note", text=f"{variant}: apparmor_parser: {done.stderr.strip()[-200:]}")
        return
    drive(variant, FREE, (*READS, *OTHERS) if count == SIZES[0] else READS, ["-a", name])


def landlock(count: int, allowing: Sequence[str], variant: str) -> None:
    """A directory for each rule, and what allows the files."""
    top = Path("/run/srv")
    paths = [top / path.removeprefix("/srv/").removesuffix("/**") for path in rules(count)]
    for path in paths:
        path.mkdir(parents=True, exist_ok=True)
    listed = Path("/run/landlock")
    listed.write_text("".join(f"{path}\n" for path in (*paths, *allowing)))
    drive(variant, FREE, (*READS, *OTHERS) if count == SIZES[0] else READS, ["-l", str(listed)])


def main(driver: str, sizes: Sequence[int] = SIZES) -> None:
    """All variants, each in its turn."""
    make_files(driver)
    time.sleep(SETTLE)
    say("guest", release=os.uname().release, lsm=features.LSM_LIST.read_text().strip())
    drive("no policy anywhere", FREE, (*READS, *OTHERS))
    needed = (SHORT, str(Path(DEEP).parent), "/run/l")
    for count in sizes:
        landlock(count, needed, f"Landlock, {count} rules")
    landlock(sizes[0], ("/run",), f"Landlock, {sizes[0]} rules, allowed at /run")
    for count in sizes[:2]:
        apparmor(count)
    guard(sizes)
    drive("no policy anywhere, at the end", FREE, READS)


if __name__ == "__main__":
    main(sys.argv[1])
