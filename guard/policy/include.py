# SPDX-License-Identifier: Apache-2.0
"""The fragments that a policy includes: found, read and bounded.

Whoever calls the parser gives the function that reads a file; nothing here
opens one. Each fragment counts once, however many ways lead to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from guard.policy import limits, read
from guard.policy.codes import Code
from guard.policy.diagnostic import Related, printable, quoted
from guard.policy.findings import Findings
from guard.policy.forms import INCLUDE_FORM
from guard.policy.nodes import Mapping, Node, Scalar
from guard.policy.source import Span
from guard.policy.values import Field, Values
from guard.policy.vocabulary import FRAGMENT

Load = Callable[[str, str], tuple[str, bytes]]
"""Gives the name and content of a file, by the name of the file that includes it and a path
relative to that. At most limits.FILE_SIZE + 1 bytes are wanted. Raises OSError.
"""


def nothing_to_include(file: str, path: str) -> tuple[str, bytes]:  # noqa: ARG001 - a Load
    """The Load of texts that are no files."""
    raise OSError(None, "there is no directory to look in")


class Includer:
    """Reads the fragments of one file's policies; each file once."""

    def __init__(self, values: Values, load: Load, texts: dict[str, str]) -> None:
        """``texts`` gets the text of every fragment, by name."""
        self._values = values
        self._findings: Findings = values.findings
        self._load = load
        self._texts = texts
        self._read: dict[str, dict[str, Field] | None] = {}
        self._size = 0

    def fragments(self, fields: dict[str, Field], file: str) -> list[dict[str, Field]]:
        """The entries of all fragments that a mapping of the file includes, itself left out."""
        found: dict[str, dict[str, Field]] = {}
        self._gather(fields, file, found, [])
        return list(found.values())

    def _gather(
        self,
        fields: dict[str, Field],
        file: str,
        found: dict[str, dict[str, Field]],
        path: list[tuple[str, Span]],
    ) -> None:
        if "include" not in fields:
            return
        for scalar in self._entries(fields["include"].value):
            loaded = self._file(file, scalar)
            if loaded is None:
                continue
            name, data = loaded
            around = [place for each, place in path if each == name]
            if around:
                self._findings.add(
                    Code.INCLUDE_CYCLE,
                    f"{quoted(name)} includes itself, by way of what it includes",
                    scalar.span,
                    "this closes the circle",
                    related=(Related(around[0], "included here"),),
                    help="what both need can stand in a third fragment",
                )
                continue
            if name in found:
                continue
            if len(found) == limits.INCLUDES or len(path) == limits.INCLUDE_DEPTH:
                deep = len(path) == limits.INCLUDE_DEPTH
                self._findings.add(
                    Code.INCLUDE_LIMIT,
                    f"fragments include fragments more than {limits.INCLUDE_DEPTH} deep"
                    if deep
                    else f"more than {limits.INCLUDES} fragments for one policy",
                    scalar.span,
                    "the first one too many",
                    help="join fragments that always go together",
                )
                return
            entries = self._fragment(name, data, scalar)
            if entries is not None:
                found[name] = entries
                self._gather(entries, name, found, [*path, (name, scalar.span)])

    def _entries(self, node: Node) -> Iterator[Scalar]:
        seen: dict[str, Scalar] = {}
        for scalar in self._values.one_or_more(node, "include"):
            if self._values.text(scalar, "an include", limits.PATTERN_LENGTH) is None:
                continue
            if seen.setdefault(scalar.text, scalar) is not scalar:
                self._findings.add(
                    Code.REPEATED,
                    f"{quoted(scalar.text)} is included twice",
                    scalar.span,
                    "again here",
                    related=(Related(seen[scalar.text].span, "first here"),),
                )
            elif re.fullmatch(INCLUDE_FORM, scalar.text) is None:
                self._findings.add(
                    Code.BAD_VALUE,
                    "an include is a path below the directory of this file",
                    scalar.span,
                    help="without '/' at its head, and without the components '.' and '..'",
                )
            else:
                yield scalar

    def _file(self, file: str, scalar: Scalar) -> tuple[str, bytes] | None:
        try:
            return self._load(file, scalar.text)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._findings.add(
                Code.INCLUDE_FAILED,
                f"cannot read {quoted(scalar.text)}: {printable(reason)}",
                scalar.span,
                help="the path is relative to the directory of this file",
            )
            return None

    def _fragment(self, name: str, data: bytes, scalar: Scalar) -> dict[str, Field] | None:
        if name not in self._read:
            self._read[name] = self._parsed(name, data, scalar)
        return self._read[name]

    def _parsed(self, name: str, data: bytes, scalar: Scalar) -> dict[str, Field] | None:
        self._size += len(data)
        if self._size > limits.INCLUDED_SIZE:
            self._findings.add(
                Code.INCLUDE_LIMIT,
                "the fragments of this file have together more than"
                f" {limits.INCLUDED_SIZE // 1048576} MiB",
                scalar.span,
                "up to and with this one",
            )
            return None
        errors = self._findings.errors
        source = read.decode(data, name, self._findings)
        if source is None:
            self._texts.setdefault(name, data.decode("utf-8-sig", "replace"))
            return None
        self._texts.setdefault(name, source.text)
        roots = list(read.documents(source, self._findings))
        if self._findings.errors > errors:
            return None
        root = roots[0]
        if len(roots) > 1 or not is_fragment(root):
            self._findings.add(
                Code.NOT_A_FRAGMENT,
                f"{quoted(name)} holds {len(roots)} documents"
                if len(roots) > 1
                else f"{quoted(name)} is no fragment",
                scalar.span,
                help="what is included is one document with version: 1 and fragment: NAME",
            )
            return None
        return self._values.mapping(root, FRAGMENT, None)


def is_fragment(root: Node) -> bool:
    """Whether a document is a fragment, well formed or not."""
    return isinstance(root, Mapping) and any(key.text == "fragment" for key, _ in root.entries)
