# SPDX-License-Identifier: Apache-2.0
"""What AppArmor profiles take from elsewhere: includes, and variables in paths.

Every way to make a small text stand for a large one is counted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from guard.convert import apparmor_text, limits
from guard.convert.apparmor_text import Statement
from guard.convert.model import Change, Inexact, Loss, NotConverted

Load = Callable[[str], Sequence[tuple[str, bytes]] | None]
"""From an include's name to the names and contents of its files; None where it is not found."""

_VARIABLE = re.compile(r"@\{(\w+)\}")


def nothing_to_load(_: str) -> None:
    """No includes are looked up."""
    return


class Names:
    """The includes and variables of one source, and the losses that they cause."""

    def __init__(self, load: Load, losses: list[Loss]) -> None:
        self._load, self._losses = load, losses
        self._size = self._files = self._alternatives = 0
        self._variables: dict[str, list[str]] = {}

    def resolve(
        self, statements: Sequence[Statement], own: frozenset[str] = frozenset(), depth: int = 0
    ) -> Iterator[Statement]:
        """The statements with those of included files in the place of includes.

        Definitions are taken in on the way. ``own`` are the files that lead here.
        """
        for each in statements:
            word = each.words[0] if each.words else ""
            if word in ("include", "#include") and each.block is None:
                yield from self._included(each, own, depth)
            elif len(each.words) > 1 and each.words[1] in ("=", "+=") and each.block is None:
                self._define(each)
            else:
                yield each

    def _included(self, each: Statement, own: frozenset[str], depth: int) -> Iterator[Statement]:
        optional = each.words[1:3] == ("if", "exists")
        name = " ".join(each.words[3 if optional else 1 :]).strip("<>")
        files = self._load(name) if name and name not in own else ()
        if files is None:
            if not optional:
                self._lose(each, "the included file is not among what was given: see --include-dir")
            return
        if depth == limits.INCLUDE_DEPTH:
            self._lose(each, f"includes nested more than {limits.INCLUDE_DEPTH} deep")
            return
        for file, data in files:
            self._size += len(data)
            self._files += 1
            if self._size > limits.SOURCE_SIZE or self._files > limits.INCLUDES:
                raise NotConverted(
                    f"{each.span}: more is included than {limits.INCLUDES} files"
                    f" or {limits.SOURCE_SIZE // 1048576} MiB"
                )
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                raise NotConverted(f"{file} is not UTF-8", "save it as UTF-8") from None
            yield from self.resolve(apparmor_text.read(text, file), own | {name}, depth + 1)

    def _define(self, each: Statement) -> None:
        name = each.words[0].strip("@${}")
        if each.words[0].startswith("$"):
            self._lose(each, "a boolean, on which rules elsewhere may depend")
        elif each.words[1] == "=":
            self._variables[name] = list(each.words[2:])
        else:
            self._variables.setdefault(name, []).extend(each.words[2:])

    def _lose(self, each: Statement, reason: str) -> None:
        self._losses.append(Loss(each.span, each.text, reason, Change.EITHER))

    def set(self, name: str, value: str) -> None:
        """Define a variable that AppArmor defines itself."""
        self._variables[name] = [value]

    def paths(self, text: str) -> list[str]:
        """Every path that a text with variables stands for. Raises Inexact."""
        waiting, done = [text], []
        while waiting:
            path = waiting.pop()
            found = _VARIABLE.search(path)
            if found is None:
                done.append(path)
                continue
            values = self._variables.get(found[1])
            if values is None:
                raise Inexact(f"the variable @{{{found[1]}}} is not defined in what was given")
            waiting += [path[: found.start()] + value + path[found.end() :] for value in values]
            if len(waiting) + len(done) > limits.ALTERNATIVES:
                raise Inexact(f"the path stands for more than {limits.ALTERNATIVES} alternatives")
            if waiting and len(waiting[-1]) > limits.PATH_LENGTH:
                raise Inexact(f"its variables make more than {limits.PATH_LENGTH} characters")
        self.count(done)
        return sorted(done)

    def count(self, paths: Sequence[str]) -> None:
        """Count alternatives against what a whole source may stand for. Raises Inexact."""
        # A long one counts as several: what they cost is their characters.
        self._alternatives += sum(1 + len(path) // 64 for path in paths)
        if self._alternatives > limits.ALTERNATIVES_IN_ALL:
            raise Inexact(
                "with it the paths of the source stand for more than"
                f" {limits.ALTERNATIVES_IN_ALL} alternatives"
            )
