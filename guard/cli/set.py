# SPDX-License-Identifier: Apache-2.0
"""`guard set`: the addresses of an ingress policy's sets, changed while the filter runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from guard.cli.exits import Exit
from guard.daemon import ingress, ingress_sets, ingress_state
from guard.daemon.ingress import Filter
from guard.errors import GuardError
from guard.kernel.libbpf import Libbpf
from guard.plan.set_file import Prefixes, SetFileError, read_set
from guard.policy import prefixes
from guard.policy.diagnostic import printable
from guard.policy.ingress import Prefix
from guard.policy.limits_ingress import SET_FILE_SIZE
from guard.policy.prefixes import Unread, shown

CHANGES_GUARD = True
"""A record tells that somebody did this."""

EPILOG = """examples:
  guard set add banned 198.51.100.7 --ttl 1h   its packets are dropped for an hour
  guard set add banned - --ttl 4h < list.txt   in bulk: a prefix a line, # comments
  guard set replace blocklist new.txt          in one step; a wrong line changes nothing
Entries end in the kernel, on time, whether or not a guard process runs.

exit code: 0 done, 1 some had no place or were not there, 3 nothing was changed"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "guard set add|del|replace|list NAME [PREFIX... | - | FILE] [--ttl TIME]"
    parser.epilog = EPILOG
    parser.add_argument("action", choices=("add", "del", "replace", "list"), help="what to do")
    parser.add_argument("name", metavar="NAME", help="a set of the ingress policy in force")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PREFIX",
        help="addresses or prefixes, - for standard input; replace takes a file",
    )
    parser.add_argument("--ttl", metavar="TIME", help="add: how long, as 90s, 15m, 1h or 7d")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; the result is the exit code."""
    seconds = None
    if arguments.ttl is not None:
        seconds = ingress_sets.parse_seconds(arguments.ttl)
        if seconds is None or arguments.action != "add":
            return _usage(
                f"{arguments.ttl!a} is no time such as 90s, 15m, 1h or 7d"
                if seconds is None
                else "--ttl is for add"
            )
    if bool(arguments.words) is (arguments.action == "list"):
        return _usage("list takes no prefixes" if arguments.words else "no prefixes are given")
    if arguments.action == "replace" and len(arguments.words) > 1:
        return _usage("replace takes one file, or - for standard input")
    ingress.require_root()
    try:
        content = _content(arguments.action, arguments.words)
        instance = ingress.require_running()
        with ingress.locked(instance):
            found = ingress.adopt(Libbpf(), instance)
            try:
                return _do(arguments, found, content, seconds)
            finally:
                found.close()
    except SetFileError as error:
        raise GuardError(f"{error}\nthe set is as it was", error.remedy) from None


def _usage(problem: str) -> Exit:
    print(f"guard set: {printable(problem)}", file=sys.stderr)
    return Exit.USAGE


def _content(action: str, words: Sequence[str]) -> Prefixes | list[Prefix]:
    """What is to be added, taken out or put in place. Raises GuardError naming what is wrong."""
    if action == "list":
        return []
    if words == ["-"]:
        return read_set(sys.stdin.buffer.read(SET_FILE_SIZE + 1), "<stdin>")
    if action == "replace":
        return ingress_state.read_file(words[0])
    found = []
    for word in words:
        one = prefixes.read(word)
        if isinstance(one, Unread):
            raise GuardError(one.message, one.help)
        found.append(one)
    return found


def _do(
    arguments: argparse.Namespace,
    found: Filter,
    content: Prefixes | list[Prefix],
    seconds: int | None,
) -> int:
    ingress_sets.tidy(found)
    match arguments.action:
        case "add":
            return _add(arguments, found, list(content), seconds)
        case "del":
            return _delete(arguments, found, list(content))
        case "replace":
            assert isinstance(content, Prefixes)
            before, after = ingress_sets.replace_set(found, arguments.name, content)
            _tell(arguments, {"before": before, "after": after}, f"{before} before, {after} now")
            return Exit.CLEAN
    return _list(arguments, found)


def _add(
    arguments: argparse.Namespace, found: Filter, some: list[Prefix], seconds: int | None
) -> int:
    added = ingress_sets.add(found, arguments.name, some, seconds)
    put = added.put
    refused = [shown(one) for one in put.refused]
    told = f"{put.added} added, {put.renewed} renewed"
    _tell(
        arguments,
        {
            "added": put.added,
            "renewed": put.renewed,
            "refused": refused,
            "overlaps": list(added.overlaps),
        },
        told,
    )
    for sentence in added.overlaps:
        print(f"guard: note: {sentence}", file=sys.stderr)
    if refused:
        print(
            f"guard: the set {arguments.name!r} is full for {len(refused)} of them:"
            f" {', '.join(refused[:3])}{' …' if len(refused) > 3 else ''}\n"
            "  remedy: `guard set replace` has room for a million; or let others end first",
            file=sys.stderr,
        )
        return Exit.FINDINGS
    return Exit.CLEAN


def _delete(arguments: argparse.Namespace, found: Filter, some: list[Prefix]) -> int:
    count, missing = ingress_sets.delete(found, arguments.name, some)
    absent = [shown(one) for one in missing]
    _tell(arguments, {"deleted": count, "missing": absent}, f"{count} deleted")
    if absent:
        print(
            f"guard: not in the set {arguments.name!r}: {', '.join(absent[:3])}"
            f"{' …' if len(absent) > 3 else ''}",
            file=sys.stderr,
        )
        return Exit.FINDINGS
    return Exit.CLEAN


def _tell(arguments: argparse.Namespace, told: dict[str, object], text: str) -> None:
    if arguments.json:
        print(json.dumps({"set": arguments.name, **told}))
    else:
        print(f"{arguments.name}: {text}")


def _list(arguments: argparse.Namespace, found: Filter) -> int:
    base, live = ingress_sets.entries(found, arguments.name)
    if arguments.json:
        rows: list[dict[str, object]] = [
            {"prefix": shown(one), "ttl": None, "from": "policy"} for one in base
        ]
        rows += [{"prefix": shown(one), "ttl": left, "from": "runtime"} for one, left in live]
        expired = found.state.expired.get(arguments.name, 0)
        print(json.dumps({"set": arguments.name, "entries": rows, "expired": expired}))
        return Exit.CLEAN
    for one in base:
        print(shown(one))
    for one, left in live:
        print(f"{shown(one)}  # added" + (f", {left} s left" if left is not None else ""))
    return Exit.CLEAN
