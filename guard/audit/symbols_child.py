# SPDX-License-Identifier: Apache-2.0
"""The process that turns addresses into symbols, by bcc's symboliser. Run as a script.

It reads executables and maps that the observed process chose, in C++: so it is
a process of its own, which holds nothing and may die. Imports nothing of guard,
because it runs under the Python that Debian's python3-bpfcc belongs to.

One JSON object a line, in both directions; addresses and names in hexadecimal:

    {"pid": 7, "ticks": 123, "kernel": ["ffffffff81000010"], "user": ["7f00"]}
    {"kernel": [["76667…", 16, "6b65…"]], "user": [null]}

``ticks`` is the process's start (proc(5), stat, field 22): under a pid that is
another process's by now, no address has a meaning. An address that has no
symbol is null. The first line that it writes is ``{}``: it is ready.

The kernel's own symbols are read from /proc/kallsyms here: bcc reads it for
root only, and this process is nobody.
"""

from __future__ import annotations

import json
import resource
import sys
from bisect import bisect_right
from typing import Any

# A symbol or path in a record; C++ names of templates can be longer than that.
NAME_LIMIT = 512

# Of memory: a program's symbols take about as much as its file.
MEMORY = 2 << 30


class KernelSymbols:
    """Functions of the kernel and its modules, by /proc/kallsyms (kallsyms(5) has no page).

    A line is address, type, name and, of a module, its name in brackets. All
    addresses are 0 for whoever may not see them: then nothing is resolved.
    """

    def __init__(self, table: str = "/proc/kallsyms") -> None:
        found = []
        with open(table, "rb") as file:
            for line in file:
                fields = line.split()
                if len(fields) > 2 and fields[1] in b"tTwW" and int(fields[0], 16):
                    module = fields[3].strip(b"[]") if len(fields) > 3 else b"kernel"
                    found.append((int(fields[0], 16), fields[2], module))
        found.sort(key=lambda symbol: symbol[0])
        self._symbols = found
        self._addresses = [symbol[0] for symbol in found]

    def resolve(self, address: int, _demangle: bool) -> tuple[bytes | None, int, bytes | None]:
        """As bcc's SymbolCache.resolve."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None, address, None
        begin, name, module = self._symbols[at]
        return name, address - begin, module


def _ticks(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _resolve(cache: Any, addresses: list[str]) -> list[list[object] | None]:
    found: list[list[object] | None] = []
    for address in addresses:
        symbol, offset, module = cache.resolve(int(address, 16), True)
        if symbol is None and module is None:
            found.append(None)
            continue
        names = [None if name is None else name[:NAME_LIMIT].hex() for name in (symbol, module)]
        found.append([names[0], offset, names[1]])
    return found


def _answer(bcc: Any, kernel: Any, question: dict[str, Any]) -> dict[str, Any]:
    user: list[list[object] | None] = [None] * len(question["user"])
    pid = question["pid"]
    if question["user"] and _ticks(pid) == question["ticks"]:
        cache = bcc.SymbolCache(pid)
        resolved = _resolve(cache, question["user"])
        bcc.lib.bcc_free_symcache(cache.cache, pid)
        # Still the same process: then the maps that were read were its own.
        if _ticks(pid) == question["ticks"]:
            user = resolved
    return {"kernel": _resolve(kernel, question["kernel"]), "user": user}


def main() -> None:
    """Answers questions until there are no more."""
    import bcc  # type: ignore[import-not-found]  # noqa: PLC0415 - Debian's, seldom in a venv

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kernel = KernelSymbols()
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(bcc, kernel, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
