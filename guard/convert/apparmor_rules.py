# SPDX-License-Identifier: Apache-2.0
"""AppArmor's rules that are not about files: capabilities, sockets, mounts, other processes.

A rule without conditions carries over; with conditions that guard has no words
for an allow rule is left out, and a deny rule denies all of its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guard.convert.apparmor_files import Qualifiers
from guard.convert.apparmor_text import Statement
from guard.convert.model import Change, Draft, DraftPolicy, Inexact, Loss, shown
from guard.policy.networds import FAMILIES, TYPES
from guard.policy.words import KERNEL, NET

_CAPABILITIES = tuple(word for word in KERNEL.words if word.startswith("cap_"))
_BLANKET = ("mount", "umount", "pivot_root", "ptrace", "signal")
_SOCKET_TYPES = {"tcp": "stream", "udp": "dgram"}
"""AppArmor's words for protocols, which it reads as the type of inet sockets."""

_TYPED = ("create", "listen", "accept")
"""What guard judges UNIX sockets of one type by; all else by their names."""

_Keys = dict[str, tuple[str, ...]]

_NO_WORDS = {
    "dbus": "guard does not see D-Bus messages",
    "mqueue": "guard does not see POSIX message queues apart from files",
    "change_profile": "guard's policies have no transitions",
    "change_hat": "guard's policies have no hats",
    "io_uring": "guard's io_uring is setting up rings, AppArmor's what is done with them",
    "alias": "aliases rewrite the paths of other rules",
    "link": "AppArmor judges a link by its new name, guard by its old one",
    "all": "this rule of AppArmor 4 stands for every kind of rule, of which guard has not all",
}


KINDS = frozenset(
    ("file", "capability", "network", "unix", "userns", "remount", *_BLANKET, *_NO_WORDS)
) - {"alias"}
"""The kinds of rules that are known: of others nobody can say what leaving them out changes."""


class Others:
    """Collects what one profile says of everything but files, and then adds it to its policy."""

    def __init__(self, policy: DraftPolicy, losses: list[Loss], own: str) -> None:
        """``own`` is the profile's name in AppArmor, which rules may call their peer."""
        self._policy, self._losses = policy, losses
        self._own = {own, "@{profile_name}"}
        self._allowed: set[str] = set()
        self._denied: dict[str, str] = {}
        self.blankets: set[str] = set()
        """The kinds that a rule without conditions allows wholly."""

    def add(self, each: Statement, how: Qualifiers, words: tuple[str, ...]) -> None:
        """Take in one rule. Raises Inexact where nothing of it carries over."""
        kind, rest = words[0], words[1:]
        if kind == "capability":
            self._capability(each, how, rest)
        elif kind in ("network", "unix"):
            self._network(each, how, kind, rest)
        elif kind in (*_BLANKET, "userns", "remount"):
            self._operation(each, how, kind, rest)
        elif kind == "set" and rest[:1] == ("rlimit",):
            raise Inexact("guard sets no resource limits; systemd's Limit…= does")
        elif kind in _NO_WORDS:
            if not rest and not how.deny:
                self.blankets.add(kind)
                if kind == "dbus":
                    return
            raise Inexact(_NO_WORDS[kind])
        else:
            raise Inexact("guard does not know this kind of rule")

    def _lose(self, each: Statement, reason: str, change: Change) -> None:
        self._losses.append(Loss(each.span, each.text, reason, change, True))

    def _allow(self, each: Statement, how: Qualifiers, ops: list[str]) -> None:
        self._allowed.update(ops)
        if how.audit:
            comment = f"{each.span}: {shown(each.text)}"
            self._policy.add(Draft("kernel", "allow", tuple(ops), (), comment, True))

    def _deny(self, each: Statement, ops: list[str]) -> None:
        for op in ops:
            self._denied.setdefault(op, f"{each.span}: {shown(each.text)}")

    def _capability(self, each: Statement, how: Qualifiers, rest: tuple[str, ...]) -> None:
        names = [f"cap_{word}" for word in re.findall(r"\w+", " ".join(rest))]
        unknown = [name for name in names if name not in _CAPABILITIES]
        if unknown:
            raise Inexact(f"guard knows no capability {unknown[0]}")
        if how.deny:
            self._deny(each, names or list(_CAPABILITIES))
        else:
            self._allow(each, how, names or list(_CAPABILITIES))

    def _operation(
        self, each: Statement, how: Qualifiers, kind: str, rest: tuple[str, ...]
    ) -> None:
        op = "mount" if kind == "remount" else kind
        access, peer, other = _conditions(rest)
        if kind == "signal" and access and access <= {"receive", "r", "read"}:
            self._only_about_others(how)
            return
        if kind == "ptrace" and access and access <= {"readby", "tracedby"}:
            self._only_about_others(how)
            return
        whole = not peer and not other and kind != "remount"
        if kind == "signal":
            whole = whole and (not access or bool(access & {"send", "w", "write", "rw"}))
            if peer and peer <= self._own and not how.deny and not other:
                return  # guard's signal is never about the policy's own processes
        elif access:
            whole = False
        if how.deny:
            self._deny(each, [op])
            if not whole:
                self._lose(each, f"guard's {op} has no conditions: all is denied", Change.STRICTER)
        elif whole:
            if not rest:
                self.blankets.add(kind)
            self._allow(each, how, [op])
        else:
            raise Inexact(f"guard's {op} has no such conditions; left out")

    def _only_about_others(self, how: Qualifiers) -> None:
        """What others may do to the process: guard denies none of it."""
        if how.deny:
            raise Inexact("guard does not judge what others do to the process")

    def _network(self, each: Statement, how: Qualifiers, kind: str, rest: tuple[str, ...]) -> None:
        words = list(rest)
        keys: list[tuple[str, tuple[str, ...]]] = []
        exact = True
        if kind == "unix":
            keys.append(("family", ("unix",)))
        elif words and words[0] in FAMILIES:
            keys.append(("family", (words.pop(0),)))
        if words:
            word = words.pop(0)
            internet = any(value[0] in ("inet", "inet6") for _, value in keys)
            type_ = _SOCKET_TYPES.get(word, word) if internet else word
            if type_ in TYPES and kind == "network":
                keys.append(("type", (type_,)))
            else:
                exact = False
        if words or not exact:
            if not how.deny:
                raise Inexact("guard has no such conditions for sockets; left out")
            self._lose(each, "guard has no such conditions: all such sockets", Change.STRICTER)
        if not keys and not how.deny:
            self.blankets.add("network")
        for verbs, conditions in self._sockets(each, dict(keys), how.deny):
            effect = "deny" if how.deny else "allow"
            comment = f"{each.span}: {shown(each.text)}"
            audit = how.audit and not how.deny
            draft = Draft("net", effect, verbs, tuple(conditions.items()), comment, audit)
            self._policy.add(draft)

    def _sockets(
        self, each: Statement, keys: _Keys, deny: bool
    ) -> Iterator[tuple[tuple[str, ...], _Keys]]:
        """The rules for sockets: guard's words for named UNIX sockets take no type."""
        families = keys.get("family", tuple(FAMILIES))
        if "type" not in keys or "unix" not in families:
            yield tuple(NET.words), keys
            return
        yield _TYPED, keys
        others = tuple(word for word in NET.words if word not in _TYPED)
        rest = tuple(family for family in families if family != "unix")
        if rest:
            yield others, keys | {"family": rest}
        if deny:
            yield others, {"family": ("unix",)}
        self._lose(
            each,
            f"{', '.join(others)}: guard judges UNIX sockets by their names, whatever their type;"
            + (" denied for all types" if deny else " left out"),
            Change.STRICTER,
        )

    def finish(self, header: Statement, userns: bool) -> None:
        """Add the rules for what the profile does not grant; ``userns``: it judges those too."""
        wanted = [*_CAPABILITIES, *_BLANKET, *(["userns"] if userns else [])]
        implied = tuple(op for op in wanted if op not in self._allowed and op not in self._denied)
        comment = f"{header.span}: what the profile does not grant"
        self._policy.add(Draft("kernel", "deny", implied, (), comment, implied=True))
        by_line: dict[str, list[str]] = {}
        for op, line in self._denied.items():
            by_line.setdefault(line, []).append(op)
        for line, ops in by_line.items():
            self._policy.add(Draft("kernel", "deny", tuple(ops), (), line))


def _conditions(rest: tuple[str, ...]) -> tuple[set[str], set[str], list[str]]:
    """A rule's access words, its peers, and its other conditions."""
    access: set[str] = set()
    peers: set[str] = set()
    other: list[str] = []
    for word in rest:
        if word.startswith("peer="):
            peers.add(word[5:].strip("()"))
        elif "=" in word or word == "->" or not re.fullmatch(r"[(\w, )]+", word):
            other.append(word)
        else:
            access.update(re.findall(r"\w+", word))
    return access, peers, other
