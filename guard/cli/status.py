# SPDX-License-Identifier: Apache-2.0
"""`guard status`: what is loaded, and whether it really denies, found out just now."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from guard.audit.decode import Counters
from guard.audit.decode import counters as decode_counters
from guard.cli.exits import Exit
from guard.cli.ingress import lines as filter_lines
from guard.cli.ingress import status as filter_status
from guard.daemon import canary, ingress
from guard.daemon.session import process_start, require_root
from guard.errors import HostError
from guard.kernel import about, engine, features, pins
from guard.kernel.attachment import Attachment
from guard.kernel.libbpf import Libbpf
from guard.kernel.pins import Instance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Sends a canary through every hook: a process that must be denied, and twins that\n"
        'must not. "enforcing" is said only when all of them were treated so.\n\n'
        "example:\n  guard status --json\n\n"
        "exit code: 0 all is well or nothing is loaded, 1 an instance is degraded, 3 cannot tell"
    )
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    require_root()
    libbpf = Libbpf()
    kernel = features.probe(libbpf, os.uname().release)
    found = [_instance(libbpf, kernel, instance) for instance in pins.instances()]
    found += [_unfinished(instance) for instance in pins.unfinished()]
    packets = _ingress(libbpf)
    if arguments.json:
        told = {"kernel": _kernel(kernel), "instances": found, "ingress": packets}
        print(json.dumps(told, indent=2))
    else:
        print(_text(kernel, found, packets))
    every = [*found, *([] if packets is None else [packets])]
    return Exit.FINDINGS if any(one["state"] == "degraded" for one in every) else Exit.CLEAN


def _ingress(libbpf: Libbpf) -> dict[str, Any] | None:
    """The ingress filter's status, None where there is none."""
    instance = ingress.running()
    if instance is None:
        return None
    try:
        opened = ingress.adopt(libbpf, instance)
    except (HostError, OSError) as error:
        return {"state": "degraded", "problem": f"cannot be read: {error}"}
    try:
        return filter_status(opened)
    finally:
        opened.close()


def _kernel(kernel: features.Features) -> dict[str, Any]:
    return {
        "release": kernel.release,
        "btf": kernel.btf,
        "lsm_list": kernel.lsm_list,
        "rename_lock": kernel.rename_lock,
        "rdonly_cast": kernel.rdonly_cast,
        "preemptible": kernel.preemptible,
    }


def _instance(libbpf: Libbpf, kernel: features.Features, instance: Instance) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": instance.name, "pins": str(instance.directory)}
    try:
        told = about.read(libbpf, instance)
        about.require_layout(instance, told)
        attachment = Attachment(told.get("attachment", Attachment.LSM.value))
        opened = engine.adopt(libbpf, instance, told["bits"], told["host"], attachment)
    except (HostError, KeyError, OSError) as error:
        return shown | {"state": "degraded", "problem": f"cannot be read: {error}"}
    try:
        pinned = set(instance.links())
        canaries = canary.run(opened, told["canary_class"], told["generation"])
        # What was attached and is no longer pinned is off its hook, and has no canary.
        gone = sorted(set(told["programs"]) - pinned)
        hooks = [
            {
                "hook": one.hook.name.lower(),
                "canary": "caught" if one.problem is None else one.problem,
            }
            for one in canaries
        ]
        misses = opened.misses()
        sums = [
            sum(column) for column in zip(*map(decode_counters, opened.counters()), strict=True)
        ]
    finally:
        opened.close()
    modes = {policy["mode"] for policy in told["policies"]}
    well = not gone and all(hook["canary"] == "caught" for hook in hooks)
    # Programs that can be passed by enforce nothing that one could rely on.
    sound = well and not (attachment is Attachment.FMOD_RET and (kernel.preemptible or misses))
    attended = process_start(told["pid"]) == told["pid_started"]
    return shown | {
        "state": ("enforcing" if "enforce" in modes else "auditing") if sound else "degraded",
        "attachment": attachment.value,
        "passed_by": misses,
        "scope": "one command's processes" if told["tree"] else "host",
        "daemon": told["pid"] if attended else None,
        "guard": told["guard"],
        "generation": told["generation"],
        "policies": told["policies"],
        "hooks": hooks,
        "detached": gone,
        "counters": dict(zip(Counters._fields, sums, strict=True)),
    }


def _unfinished(instance: Instance) -> dict[str, Any]:
    """Pins without their instance's name: some of its hooks may act already."""
    return {
        "name": instance.name,
        "pins": str(instance.directory),
        "state": "degraded",
        "problem": "not complete: its guard is loading it, or was killed meanwhile; "
        "then `guard unload` removes it",
    }


def _text(
    kernel: features.Features, found: list[dict[str, Any]], packets: dict[str, Any] | None
) -> str:
    lines = [f"kernel {kernel.release}; LSMs: {', '.join(kernel.lsm_list or ('unknown',))}"]
    if not found and packets is None:
        lines.append("nothing is loaded")
    for one in found:
        lines.append("")
        lines.append(f"{one['name']}: {one['state']}")
        if "problem" in one:
            lines.append(f"  {one['problem']}")
            continue
        daemon = f"pid {one['daemon']}" if one["daemon"] else "none; the kernel enforces by itself"
        lines.append(f"  scope       {one['scope']}")
        lines.append(f"  daemon      {daemon}")
        lines.append(f"  generation  {one['generation']}, made by guard {one['guard']}")
        if one["attachment"] == Attachment.FMOD_RET.value:
            lines.append(
                "  attachment  fmod_ret, as bpf is not among the kernel's LSMs;"
                f" {one['passed_by']} calls passed by"
            )
        for policy in one["policies"]:
            rules = f"{policy['rules']} file rule{'s' if policy['rules'] != 1 else ''}"
            lines.append(
                f"  policy      {policy['name']} ({policy['mode']}, {rules}), {policy['source']}"
            )
        for program in one["detached"]:
            lines.append(f"  DETACHED    {program}: its link is no longer pinned")
        for hook in one["hooks"]:
            lines.append(f"  hook        {hook['hook']}: canary {hook['canary']}")
        counts = one["counters"]
        lines.append(
            f"  counters    {counts['denied']} denied, {counts['audited']} audited, "
            f"{counts['unclassified']} unclassified, {counts['dropped']} records dropped"
        )
        lines.append(f"  pins        {one['pins']}")
    if packets is not None:
        lines.append("")
        if "problem" in packets:
            lines += ["ingress: degraded", f"  {packets['problem']}"]
        else:
            lines += filter_lines(packets)
    return "\n".join(lines)
