# SPDX-License-Identifier: Apache-2.0
"""The ingress filter's figures: cost of the program alone, and live against its peers.

``python -m tests.bench.xdp [program] [live] [compile]``. Everything is measured
in one run, the contenders in turn, the least of the rounds counts; a live figure
is refused unless the frames arrived. Needs root and Debian's nftables, ipset,
iptables, xdp-tools and ethtool; makes and removes a namespace and a veth pair.
"""

from __future__ import annotations

import json
import os
import platform
import struct
import sys
import time
from collections.abc import Callable

import numpy as np

from guard.plan.ingress.build import Host, Options, Plan, build
from guard.plan.set_file import Prefixes, read_set
from guard.policy.ingress import Action, Default, FlowMatch, IngressRule, IngressSection, Limit, Per
from tests.bench import xdp_policies as policies
from tests.bench.xdp_peers import Keys, Link, sh
from tests.ingress.native import Filter

ROUNDS, REPEAT = 9, 300_000
LIVE_ROUNDS = 7
HOST = Host({"lo": 1}, 250)
SILENT = Options(default_sample=0, reason_sample=0)


def _loaded(plan: Plan) -> Filter:
    filter_ = Filter(plan.bits)
    filter_.swap(plan)
    return filter_


def _least(keys: Keys, contenders: dict[str, int], repeat: int = REPEAT) -> dict[str, int]:
    """Each program's least cost over the rounds, in turn."""
    best: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, program in contenders.items():
            cost = keys.cost(program, repeat)
            best[name] = min(cost, best.get(name, cost))
    return best


def _set_plan(some: Prefixes) -> Plan:
    return build(policies.set_section(), {"s": some}, HOST)


def _section(*rules: IngressRule, default: Default = Default.ALLOW) -> IngressSection:
    return IngressSection(("lo",), default, rules, policies.SPAN, established=None)


def _told(what: str, figures: dict[str, int], base: int) -> None:
    print(f"\n{what} (ns a packet with the harness; over a trivial program)")
    for name, cost in figures.items():
        print(f"  {name:<44}{cost:>7}{cost - base:>+7}")


def program(keys: Keys) -> None:
    """The cost of programs over 32 768 different headers."""
    trivial = keys.program("bench_trivial_drop")
    keys.headers(policies.misses(1))
    rate = IngressRule(
        "limit",
        Action.LIMIT,
        FlowMatch(),
        policies.SPAN,
        limit=Limit(10**6, 10**6, Per.SOURCE),
        sample=0,
    )
    some = {
        "empty policy": _loaded(build(_section(), {}, HOST, SILENT)),
        "default drop, no rules": _loaded(build(_section(default=Default.DROP), {}, HOST, SILENT)),
        "limit per source": _loaded(build(_section(rate), {}, HOST, SILENT)),
    }
    contenders = {"trivial program": trivial} | {n: f.program() for n, f in some.items()}
    best = _least(keys, contenders)
    _told("Small policies, 32 768 sources", best, best["trivial program"])
    keys.headers(policies.misses(1)[:256])
    quiet = _least(keys, {k: contenders[k] for k in ("trivial program", "limit per source")})
    _told("The same, 256 sources", quiet, quiet["trivial program"])
    for filter_ in some.values():
        filter_.close()

    for count in (10, 100, 1000, 10000):
        fields = policies.fields(count)
        keys.headers(policies.rule_hits(fields, 1))
        filter_ = _loaded(build(policies.rules_section(fields), {}, HOST))
        best = _least(keys, {"trivial program": trivial, f"{count} rules": filter_.program()})
        _told(f"{count} multi-field rules, each as likely", best, best["trivial program"])
        filter_.close()

    for count in (10_000, 100_000, 1_000_000):
        prefixes = policies.cidrs(count, 2)
        filter_ = _loaded(_set_plan(prefixes))
        contenders = {"trivial program": trivial, f"set of {count}": filter_.program()}
        if count == 10_000:
            contenders |= _xdp_filter(keys, prefixes)
        if count == 1_000_000:
            print(f"\nLPM trie of {count}: built in {_trie(keys, prefixes):.1f} s")
            contenders["LPM trie lookup alone"] = keys.program("bench_lpm")
        for what, frames in (("hit", policies.set_hits(prefixes, 3)), ("miss", policies.misses(4))):
            keys.headers(frames)
            best = _least(keys, contenders, REPEAT if count < 10**6 else REPEAT // 3)
            _told(f"A set of {count} prefixes, {what}", best, best["trivial program"])
        filter_.close()
        if count == 10_000:
            sh("xdp-filter unload --all")
            sh(f"ip link del {_FILTERED}")


_FILTERED = f"gbx{os.getpid()}"


def _xdp_filter(keys: Keys, some: Prefixes) -> dict[str, int]:
    """xdp-filter with all its features and as many sources as its map takes, loaded on a veth."""
    sh(f"ip link add {_FILTERED} type veth peer name {_FILTERED}p")
    sh(f"xdp-filter load -m native -f tcp,udp,ipv4,ipv6,ethernet -p allow {_FILTERED}")
    fd = keys.b.bpf_obj_get(b"/sys/fs/bpf/xdp-filter/filter_ipv4")
    cpus = keys.b.libbpf_num_possible_cpus()
    full = 0
    for address in some.v4.tolist():
        # MAP_FLAG_SRC of xdp-filter's prog_features.h, in every CPU's counter.
        value = struct.pack("=Q", 1) * cpus
        full += keys.c.drive_update(fd, struct.pack(">I", address), value) != 0
    os.close(fd)
    (info,) = json.loads(sh(f"ip -j link show {_FILTERED}"))
    number = info["xdp"]["prog"]["id"]
    print(f"\nxdp-filter: {len(some.v4) - full} of {len(some.v4)} sources fit its map")
    return {"xdp-filter, all features": keys.by_id(number)}


def _trie(keys: Keys, some: Prefixes) -> float:
    began = time.perf_counter()
    for address, length in zip(some.v4.tolist(), some.v4_lengths.tolist(), strict=True):
        key = struct.pack("=I", length) + struct.pack(">I", address)
        keys.update("trie", key, struct.pack("=I", 1))
    return time.perf_counter() - began


def _live(link: Link, contenders: dict[str, tuple[Callable[[], None], int]]) -> None:
    best: dict[str, float] = {}
    for _ in range(LIVE_ROUNDS):
        for name, (set_up, frames) in contenders.items():
            link.inside("nft flush ruleset")
            link.inside("iptables-legacy -t raw -F")
            if name.startswith(("guard", "trivial")):
                program_ = _PROGRAMS[name]
                with link.attached(program_):
                    cost = link.send(frames)
            else:
                set_up()
                cost = link.send(frames)
            best[name] = min(cost, best.get(name, cost))
    guard = best["guard"]
    for name, cost in best.items():
        print(f"  {name:<44}{cost:>9.0f}   {cost / guard:>6.2f} x guard")


_PROGRAMS: dict[str, int] = {}


def _nothing() -> None:
    pass


def live(keys: Keys) -> None:
    """Frames dropped at the far end of a veth pair, sender included."""
    link = Link(keys)
    try:
        _PROGRAMS["trivial drop"] = keys.program("bench_trivial_drop")
        prefixes = policies.cidrs(100_000, 2)
        filter_ = _loaded(_set_plan(prefixes))
        _PROGRAMS["guard"] = filter_.program()
        keys.headers(policies.set_hits(prefixes, 3))
        named = [
            f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/{n}"
            for a, n in zip(prefixes.v4.tolist(), prefixes.v4_lengths.tolist(), strict=True)
        ]
        restore = ["create s hash:net maxelem 200000", *(f"add -exist s {n}" for n in named)]
        link.inside("ipset restore", "\n".join(restore) + "\n")

        def nft_set() -> None:
            elements = ", ".join(named)
            link.inside(
                "nft -f -",
                "table netdev t {\nset s { type ipv4_addr; flags interval; auto-merge; elements = "
                f"{{ {elements} }} }}\nchain c {{ type filter hook ingress device {link.far} "
                "priority 0; ip saddr @s drop\n}\n}\n",
            )

        def ipset() -> None:
            link.inside("iptables-legacy -t raw -A PREROUTING -m set --match-set s src -j DROP")

        print("\nLive, 100 000 prefixes, all frames dropped (ns a frame)")
        _live(
            link,
            {
                "trivial drop": (_nothing, 200_000),
                "guard": (_nothing, 200_000),
                "nftables, netdev hook": (nft_set, 50_000),
                "ipset, iptables-legacy raw": (ipset, 50_000),
            },
        )
        filter_.close()

        fields = policies.fields(1000)
        filter_ = _loaded(build(policies.rules_section(fields), {}, HOST))
        _PROGRAMS["guard"] = filter_.program()
        keys.headers(policies.rule_hits(fields, 3))

        def dotted(a: int) -> str:
            return f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}"

        def nft_concat() -> None:
            elements = ", ".join(
                f"{dotted(f.source)}/24 . {dotted(f.destination)}/30 . {f.first}-{f.last}"
                for f in fields
            )
            link.inside(
                "nft -f -",
                "table netdev t {\nset s { type ipv4_addr . ipv4_addr . inet_service; "
                f"flags interval; elements = {{ {elements} }} }}\n"
                f"chain c {{ type filter hook ingress device {link.far} priority 0; "
                "ip saddr . ip daddr . tcp dport @s drop\n}\n}\n",
            )

        lines = [
            f"-A PREROUTING -s {dotted(f.source)}/24 -d {dotted(f.destination)}/30 -p tcp "
            f"-m tcp --dport {f.first}:{f.last} -j DROP"
            for f in fields
        ]

        def legacy() -> None:
            link.inside("iptables-legacy-restore", "\n".join(["*raw", *lines, "COMMIT", ""]))

        print("\nLive, 1 000 multi-field rules, all frames dropped (ns a frame)")
        _live(
            link,
            {
                "trivial drop": (_nothing, 200_000),
                "guard": (_nothing, 200_000),
                "nftables, concatenated set, netdev hook": (nft_concat, 50_000),
                "iptables-legacy, raw": (legacy, 5_000),
            },
        )
        filter_.close()
    finally:
        link.close()


def _timed(rounds: int, what: Callable[[], object]) -> float:
    """Seconds of processor time of the least of the rounds: others run on this machine, too."""
    best = 1e9
    for _ in range(rounds):
        began = time.process_time()
        what()
        best = min(best, time.process_time() - began)
    return best


def compile_(_keys: Keys) -> None:
    """From a section or a set to tables in the kernel."""
    print("\nCompile and switch (s of processor time, least of the rounds)")
    section = policies.rules_section(policies.fields(10_000))
    filter_ = Filter(25)
    took = _timed(5, lambda: filter_.swap(build(section, {}, HOST)))
    print(f"  10 000 rules, compile and switch              {took:.3f}")
    some = policies.cidrs(1_000_000, 2)
    took = _timed(5, lambda: filter_.swap(_set_plan(some)))
    print(f"  1 000 000 prefixes from numbers, with switch  {took:.3f}")
    print(f"  its tables: {_set_plan(some).facts['bytes'] / 1e6:.1f} MB")
    named = zip(some.v4.tolist(), some.v4_lengths.tolist(), strict=True)
    text = "\n".join(
        f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/{n}" for a, n in named
    ).encode()
    took = _timed(3, lambda: filter_.swap(_set_plan(read_set(text, "bench"))))
    print(f"  1 000 000 prefixes from text, with switch     {took:.3f}")
    filter_.close()


def main(argv: list[str]) -> int:
    """Measure what is named, or all."""
    print(
        f"{platform.release()}, {os.cpu_count()} CPUs, numpy {np.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    keys = Keys()
    parts = {"program": program, "live": live, "compile": compile_}
    for name in argv or parts:
        parts[name](keys)
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
