# SPDX-License-Identifier: Apache-2.0
"""Several files' texts to one set of policies: what every command starts from.

Pure as the parser is: whoever calls has read the files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from guard.policy.codes import Code
from guard.policy.diagnostic import Diagnostic, Related, has_errors, quoted
from guard.policy.include import Load, nothing_to_include
from guard.policy.model import Policy
from guard.policy.parse import World, parse_named
from guard.policy.source import Span
from guard.wire.layout import Limit


class Loaded(NamedTuple):
    """A set of policies, the findings about it, and the texts the findings point into.

    Only policies without an error are in ``policies``: see ``usable``.
    """

    policies: tuple[Policy, ...]
    diagnostics: tuple[Diagnostic, ...]
    texts: dict[str, str]

    @property
    def usable(self) -> bool:
        """Whether the set may be enforced: nothing in it was refused."""
        return not has_errors(list(self.diagnostics))

    def with_findings(self, found: Iterable[Diagnostic]) -> Loaded:
        """The set with further findings, in the order of the files and lines."""
        order = {name: at for at, name in enumerate(self.texts)}
        every = sorted(
            (*self.diagnostics, *found), key=lambda each: (order[each.span.file], each.span.line)
        )
        return self._replace(diagnostics=tuple(every))


def load(
    files: Iterable[tuple[str, bytes]],
    include: Load = nothing_to_include,
    today: dt.date | None = None,
) -> Loaded:
    """Parse files, given as name and content, and judge them as one set.

    ``include`` reads what they include; rules that expired before ``today``, a
    day in UTC, have no effect. Of findings in a fragment that several policies
    include, each is told once.
    """
    diagnostics: list[Diagnostic] = []
    named: list[tuple[Policy, Span]] = []
    texts: dict[str, str] = {}
    included: dict[str, str] = {}
    for name, data in files:
        named += parse_named(data, name, diagnostics, World(today, include, included))
        texts[name] = data.decode("utf-8-sig", "replace")
    texts = {**texts, **{name: text for name, text in included.items() if name not in texts}}
    _check_set(named, diagnostics)
    if included:
        diagnostics = list(
            {(each.code, each.message, each.span): each for each in diagnostics}.values()
        )
    order = {name: at for at, name in enumerate(texts)}
    diagnostics.sort(key=lambda found: (order[found.span.file], found.span.line))
    return Loaded(tuple(policy for policy, _ in named), tuple(diagnostics), texts)


def _check_set(named: list[tuple[Policy, Span]], diagnostics: list[Diagnostic]) -> None:
    """Findings about policies that are well formed each by itself."""
    names: dict[str, Span] = {}
    for policy, span in named:
        first = names.setdefault(policy.name, span)
        if first is not span:
            diagnostics.append(
                Diagnostic(
                    Code.DUPLICATE_POLICY,
                    f"two policies have the name {quoted(policy.name)}",
                    span,
                    "again here",
                    (Related(first, "first here"),),
                    "records name policies by name, so each on a host has its own",
                )
            )
    if len(named) > Limit.POLICIES:
        diagnostics.append(
            Diagnostic(
                Code.TOO_MANY_POLICIES,
                f"{len(named)} policies; a host has at most {int(Limit.POLICIES)} at once",
                named[Limit.POLICIES][1],
                "the first one too many",
                help="policies for one subject can be one policy with more rules",
            )
        )
