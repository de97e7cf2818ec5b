# SPDX-License-Identifier: Apache-2.0
"""What operations of every section cost, inside a guest that counts instructions;
tests.bench.cost_ops starts it.

One boot, one ``lsm=`` list, one load of guard; between variants its tables are
switched. Each line printed is one JSON object. Knows nothing of the host.

Run as ``python -m tests.bench.cost_ops_guest DRIVER``, DRIVER being drive.c's program.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from guard.kernel import engine, features
from guard.kernel.engine import Engine
from guard.kernel.libbpf import LIBRARY, Libbpf
from guard.plan.encode import Tables
from guard.policy.model import Effect, NetRule, NetSection, PathSection, Policy, Ports, Prefix
from guard.wire.layout import NetVerb, PathVerb
from tests.bench.cost_guest import (
    ALLOWING,
    DEEP,
    DIRECTORY,
    FREE,
    HELD,
    LONG,
    SETTLE,
    SHORT,
    Programs,
    compiled,
    make_files,
    rules,
    say,
    unload,
)
from tests.plan.make import ALLOW, DENY, LIST, READ, WRITE, policy, rule, span

BATCHES, COUNT = 8, 1000
SIZES = (10, 1000, 10_000)
POLICIES = (1, 16, 64)
NET_RULES = 200
"""At most so many rules on addresses, whatever the other sections have."""

TOOL = "/run/d1/d2/d3/d4/tool.conf"
CONNECT, SEND, BIND = 40_001, 40_002, 40_003
WHAT = (
    f"r:{SHORT}",
    f"r:{DEEP}",
    f"r:{LONG}",
    f"s:{DEEP}",
    f"x:{TOOL}",
    f"m:{DEEP}",
    f"c:{CONNECT}",
    f"u:{SEND}",
    f"n:{BIND}",
)


def drive(variant: str, program: str, what: Sequence[str], options: Sequence[str] = ()) -> None:
    """Run the driver and say what it measured; what failed is said too."""
    command = [program, *options, str(BATCHES), str(COUNT), *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say("note", text=f"{variant}: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        name, error, least, median, _ = line.rsplit(" ", 4)
        fields = {"what": name, "error": int(error), "min": float(least), "median": float(median)}
        say("cost", variant=variant, **fields)


def net_rules(count: int) -> tuple[NetRule, ...]:
    """What the driver does, and ``count`` connects to random addresses and ports."""
    rng = random.Random(count)  # noqa: S311 - the same rules each time
    loopback = Prefix(bytes((127, 0, 0, 0)), 8, span())
    verbs = (NetVerb.CONNECT, NetVerb.SEND, NetVerb.BIND)
    found = [
        NetRule(id="own", effect=ALLOW, span=span(), verbs=verbs, to=(loopback,)),
        NetRule(id="any", effect=ALLOW, span=span(), verbs=(NetVerb.CREATE,)),
    ]
    for line in range(count):
        address = bytes((10, *(rng.randrange(256) for _ in range(3))))
        port = rng.randrange(1, 65536)
        found.append(
            NetRule(
                id=f"n{line}",
                effect=Effect.ALLOW,
                span=span(line + 9),
                verbs=(NetVerb.CONNECT,),
                to=(Prefix(address, 32, span()),),
                ports=(Ports(port, port, span()),),
            )
        )
    return tuple(found)


def bench_policy(count: int, seed: int = 0, name: str = "bench", exe: str = HELD) -> Policy:
    """File, exec and net sections of ``count`` rules each and what the driver needs."""
    trees = rules(count + seed)[seed:] if seed else rules(count)
    allowing = [rule(ALLOW, [READ, WRITE, LIST], path) for path in ALLOWING]
    files = [rule(ALLOW, [READ], path, line=at + 9) for at, path in enumerate(trees)]
    made = policy(*files, *allowing, name=name, exe=[exe], inherit=True)
    verbs = [PathVerb.EXEC, PathVerb.MAP]
    code = [rule(ALLOW, verbs, path, line=at + 9) for at, path in enumerate(trees)]
    code += [rule(ALLOW, verbs, path) for path in (*ALLOWING, HELD)]
    return Policy(
        made.name,
        made.mode,
        made.subject,
        made.file,
        made.source,
        made.span,
        exec=PathSection(DENY, tuple(code), span()),
        net=NetSection(DENY, net_rules(min(count, NET_RULES)), span()),
    )


def memory_of_all() -> tuple[int, int]:
    """Bytes that the kernel accounts to all maps and to all programs (fdinfo's memlock)."""
    library = ctypes.CDLL(LIBRARY, use_errno=True)
    totals = []
    for kind in ("map", "prog"):
        step = getattr(library, f"bpf_{kind}_get_next_id")
        opened = getattr(library, f"bpf_{kind}_get_fd_by_id")
        number, total = ctypes.c_uint32(0), 0
        while step(number, ctypes.byref(number)) == 0:
            fd = opened(number)
            if fd < 0:
                continue
            text = Path(f"/proc/self/fdinfo/{fd}").read_text()
            os.close(fd)
            fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            total += int(fields.get("memlock", "0"))
        totals.append(total)
    return totals[0], totals[1]


def load(
    libbpf: Libbpf, policies: Sequence[Policy], tables: Tables, bits: int, variant: str
) -> Engine:
    """Load guard with the hooks that these policies need, and say what that took and holds."""
    found = features.probe(libbpf, os.uname().release)
    before = Programs().verified()
    maps, programs = memory_of_all()
    began, worked = time.monotonic(), time.process_time()
    chosen = engine.choose_gates(found, policies)
    loaded = engine.load(libbpf, found, "bench", tables, bits, chosen)
    seconds, busy = time.monotonic() - began, time.process_time() - worked
    after = Programs().verified()
    now = memory_of_all()
    say(
        "load",
        variant=variant,
        bits=bits,
        data=len(tables.data),
        seconds=seconds,
        busy=busy,
        verified=sum(count for key, count in after.items() if key not in before),
        programs=len(after) - len(before),
        map_bytes=now[0] - maps,
        program_bytes=now[1] - programs,
    )
    return loaded


def switched(loaded: Engine, tables: Tables, variant: str) -> None:
    """Put other tables in force and say how long that took."""
    began, worked = time.monotonic(), time.process_time()
    loaded.switch(tables)
    took, busy = time.monotonic() - began, time.process_time() - worked
    say("switch", variant=variant, seconds=took, busy=busy, data=len(tables.data))


def apparmor(count: int) -> None:
    """Like rules as a profile, which the driver enters by itself."""
    name = f"bench-ops-{count}"
    lines = [f"  {path} rmix,\n" for path in rules(count)]
    lines += [f"  {path} rwmix,\n" for path in ALLOWING]
    lines += [f"  {DIRECTORY}/ r,\n", "  network inet dgram,\n"]
    profile = f"profile {name} {{\n{''.join(lines)}}}\n"
    done = subprocess.run(
        ["apparmor_parser", "-r", "-K"], input=profile, capture_output=True, text=True, check=False
    )
    variant = f"AppArmor, {count} rules"
    if done.returncode:
        say("note", text=f"{variant}: apparmor_parser: {done.stderr.strip()[-200:]}")
        return
    drive(variant, FREE, WHAT, ["-a", name])


def landlock() -> None:
    """Files alone: it has no gate for stat and mappings, and none for UDP."""
    listed = Path("/run/landlock")
    listed.write_text("".join(f"{path}\n" for path in (SHORT, str(Path(DEEP).parent), "/run/l")))
    drive("Landlock, 3 rules", FREE, [one for one in WHAT if one[0] in "rx"], ["-l", str(listed)])


def guard() -> None:
    """All of guard's variants: one load, of a size class that holds them all."""
    sets = {f"guard, {size} rules": [bench_policy(size)] for size in SIZES}
    for count in POLICIES:
        many = [bench_policy(10, seed=10 * at, name=f"p{at}") for at in range(count)]
        sets[f"guard, {count} policies of 10 rules"] = many
    libbpf = Libbpf()
    thousand = sets["guard, 1000 rules"]
    tables = compiled(thousand, 1)[1]
    alone = load(libbpf, thousand, tables, tables.bits, "1000 rules")
    switched(alone, compiled(thousand, 2)[1], "1000 rules, in their own class")
    unload(alone)
    time.sleep(SETTLE)
    other = [bench_policy(10, exe="/usr/bin/other")]
    loaded = load(libbpf, other, compiled(other, 1)[1], 26, "10 rules, largest class")
    drive("guard, no policy matches", FREE, WHAT)
    for generation, (variant, policies) in enumerate(sets.items(), 2):
        tables = compiled(policies, generation)[1]
        switched(loaded, tables, variant)
        drive(variant, HELD, WHAT)
    unload(loaded)


def main(driver: str) -> None:
    """All variants, each in its turn."""
    make_files(driver)
    shutil.copy(driver, TOOL)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    time.sleep(SETTLE)
    say("guest", release=os.uname().release, lsm=features.LSM_LIST.read_text().strip())
    drive("no policy anywhere", FREE, WHAT)
    landlock()
    apparmor(10)
    apparmor(1000)
    guard()
    # The kernel lets go of programs some time after their pins are gone.
    time.sleep(SETTLE)
    drive("no policy anywhere, at the end", FREE, WHAT)


if __name__ == "__main__":
    main(sys.argv[1])
