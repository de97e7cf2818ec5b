# SPDX-License-Identifier: Apache-2.0
"""Tetragon's TracingPolicies to drafts of guard's, for the hooks that guard has words for.

A hook's selectors become rules: matchArgs on a file's path is the path,
matchBinaries the subject, matchActions the effect.
"""

from __future__ import annotations

from typing import NamedTuple

from guard.convert.documents import Document, Fields, convert_each, flag, items, line_of, text
from guard.convert.literals import escaped, literal
from guard.convert.model import (
    Change,
    Converted,
    Draft,
    DraftPolicy,
    Inexact,
    Subject,
    policy_name,
    shown,
)
from guard.policy.nodes import Node


class _Hook(NamedTuple):
    """What a hook's denial is in guard: a section and words; ``path`` the argument with the path.

    ``wider`` says what guard's words also cover, ``narrower`` what they do not.
    """

    section: str
    words: tuple[str, ...]
    path: int
    wider: str = ""
    narrower: str = ""


_OPEN = _Hook("file", ("read", "write", "list"), 0, "guard's write also covers truncating by path")
_USE = _OPEN._replace(
    narrower="the hook runs at every read and write, guard's at the open: descriptors that were"
    " open before go on working"
)
HOOKS = {
    "file_open": _OPEN,
    "file_permission": _USE,
    "bprm_check_security": _Hook("exec", ("exec",), 0),
    "bprm_creds_for_exec": _Hook("exec", ("exec",), 0),
}
_KPROBES = {
    "security_file_open": "file_open",
    "security_file_permission": "file_permission",
    "security_bprm_check": "bprm_check_security",
    "security_bprm_creds_for_exec": "bprm_creds_for_exec",
}
_ERRNOS = {"-1": "EPERM", "-13": "EACCES"}
_MASKS = {"2": ("write",), "4": ("read", "list")}
"""MAY_WRITE and MAY_READ, include/linux/fs.h."""


class _Effect(NamedTuple):
    deny: bool
    kill: bool
    errno: str | None


def convert(data: bytes, file: str, subject: Subject | None = None) -> Converted:
    """What a file of TracingPolicies becomes. ``subject`` stands for what selectors say.

    Raises NotConverted where the text is no YAML.
    """
    return convert_each(data, file, subject, _Document)


class _Document(Document):
    def __init__(self, root: Node, made: Converted, subject: Subject | None) -> None:
        super().__init__(root, made, subject)
        self._policies: dict[tuple[Subject, bool], DraftPolicy] = {}
        self._name = "tetragon"

    def convert(self) -> None:
        """Add this document's policies, one for each set of programs."""
        fields = Fields(self._root)
        kind = fields.word("kind")
        if kind not in ("TracingPolicy", "TracingPolicyNamespaced"):
            self._lose(self._root, f"no policy of Tetragon's: kind {kind!a}", Change.LOOSER)
            return
        fields.take("apiVersion")
        metadata = Fields(fields.take("metadata"))
        self._name = metadata.word("name") or self._name
        for word, node in metadata.rest():
            self._lose(
                node, f"{word.text}: a policy of guard's has a name only", Change.EITHER, True
            )
        spec = Fields(fields.take("spec"))
        for key in ("podSelector", "containerSelector", "hostSelector"):
            selector = spec.take(key)
            if selector is not None and self._subject is None:
                self._lose(
                    self._root,
                    f"the whole policy is lost: {key} chooses containers, which guard does not"
                    " know; name a subject with --subject",
                    Change.LOOSER,
                )
                return
            if selector is not None:
                self._lose(selector, f"{key}: the subject stands for it", Change.EITHER, True)
        for key in ("lsmhooks", "kprobes"):
            for node in items(spec.take(key)):
                self._hook(key, node)
        for word, node in (*fields.rest(), *spec.rest()):
            self._lose(node, f"{word.text}: guard has no words for it", Change.LOOSER)

    def _hook(self, key: str, node: Node) -> None:
        fields = Fields(node)
        name = fields.word("hook" if key == "lsmhooks" else "call")
        name = _KPROBES.get(name, f"({name})") if key == "kprobes" else name
        hook = HOOKS.get(name)
        if hook is None:
            self._lose(
                node,
                f"guard has no words for what passes {name.strip('()')!a}",
                Change.LOOSER,
            )
            return
        for ignored in ("syscall", "args", "return", "returnArg", "message", "tags"):
            fields.take(ignored)  # they say what a record shows
        selectors = items(fields.take("selectors"))
        for left, value in fields.rest():
            self._lose(value, f"{left.text}: guard has no words for it", Change.EITHER, True)
        if not selectors:
            self._lose(node, "no selectors: every use is recorded and none denied", Change.RECORDS)
        effects = set()
        for selector in selectors:
            try:
                effects.add(self._selector(hook, selector))
            except Inexact as reason:
                self._lose(selector, str(reason), Change.LOOSER)
        if len(effects) > 1:
            self._lose(
                node,
                "the first selector that matches decides; of guard's rules a deny does",
                Change.STRICTER,
                True,
            )

    def _selector(self, hook: _Hook, node: Node) -> _Effect:
        fields = Fields(node)
        actions = items(fields.take("matchActions"))
        effect = self._effect(node, actions)
        subject = self._programs(node, items(fields.take("matchBinaries")))
        words, keys = self._arguments(hook, items(fields.take("matchArgs")))
        left = [key.text for key, _ in fields.rest()]
        if left:
            raise Inexact(f"{', '.join(left)}: guard's rules have no such conditions")
        if effect.deny and hook.wider and "write" in words:
            self._lose(node, hook.wider, Change.STRICTER, True)
        if effect.deny and hook.narrower:
            self._lose(node, hook.narrower, Change.LOOSER, True)
        self._policy(subject).add(
            Draft(
                hook.section,
                "deny" if effect.deny else "allow",
                words,
                keys,
                f"{node.span}: {self._name}: {shown(line_of(node))}",
                audit=not effect.deny,
                kill=effect.kill,
                errno=effect.errno,
            )
        )
        return effect

    def _effect(self, node: Node, actions: list[Node]) -> _Effect:
        names = []
        errno: str | None = None
        for action in actions:
            fields = Fields(action)
            names.append(fields.word("action"))
            code = fields.word("argError")
            if names[-1] == "Override" and code not in _ERRNOS:
                self._lose(
                    action, f"argError {code}: guard says EPERM or EACCES", Change.RECORDS, True
                )
            errno = _ERRNOS.get(code, errno)
            for key, value in fields.rest():
                self._lose(value, f"{key.text}: guard has no words for it", Change.RECORDS, True)
        unknown = [name for name in names if name not in ("Override", "Sigkill", "Post", "NoPost")]
        if unknown:
            raise Inexact(f"action {unknown[0]}: guard has no words for it")
        kill = "Sigkill" in names
        if kill and "Override" not in names:
            self._lose(
                node,
                "Sigkill: guard also refuses the operation that ends the process",
                Change.STRICTER,
                True,
            )
        if "NoPost" in names and (kill or "Override" in names):
            self._lose(node, "NoPost: guard records every denial", Change.RECORDS, True)
        elif "NoPost" in names:
            raise Inexact("NoPost alone does nothing")
        return _Effect(kill or "Override" in names, kill, errno)

    def _programs(self, node: Node, binaries: list[Node]) -> tuple[Subject, bool]:
        """The subject, and whether it is inherited."""
        if not binaries:
            return self._subject or ("host", ()), bool(self._subject)
        if len(binaries) > 1:
            raise Inexact("several matchBinaries: a policy has one subject")
        fields = Fields(binaries[0])
        operator = fields.word("operator")
        values = [text(each) for each in items(fields.take("values"))]
        follow = flag(fields.take("followChildren"))
        if operator not in ("In", "Prefix", "Postfix") or list(fields.rest()) or not values:
            raise Inexact(f"matchBinaries {operator}: a subject names programs, not all but some")
        if self._subject is not None:
            self._lose(
                node,
                "matchBinaries: the rule holds for these programs wherever they run",
                Change.STRICTER,
                True,
            )
        if operator == "In":
            return ("exe", tuple(map(literal, values))), follow
        return ("exe", tuple(_pattern(operator, value) for value in values)), follow

    def _arguments(
        self, hook: _Hook, arguments: list[Node]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
        words = hook.words
        keys: tuple[tuple[str, tuple[str, ...]], ...] = ()
        for node in arguments:
            fields = Fields(node)
            index, operator = fields.word("index"), fields.word("operator")
            values = [text(each) for each in items(fields.take("values"))]
            if list(fields.rest()) or not values:
                raise Inexact("matchArgs in a form that guard has no words for")
            if index == str(hook.path) and not keys:
                keys = _paths(operator, values)
            elif index == "1" and "write" in hook.words and hook.narrower:
                if operator not in ("Equal", "Mask") or not set(values) <= set(_MASKS):
                    raise Inexact("matchArgs on the mask with other values than 2 and 4")
                words = tuple(word for value in sorted(set(values)) for word in _MASKS[value])
            else:
                raise Inexact(f"matchArgs on argument {index or '?'}: guard has no words for it")
        return words, keys or (("path", ("/**",)),)

    def _policy(self, key: tuple[Subject, bool]) -> DraftPolicy:
        policy = self._policies.get(key)
        if policy is None:
            name = policy_name(self._name, (each.name for each in self._made.policies))
            comment = f"from the TracingPolicy {self._name}, {self._root.span}"
            policy = DraftPolicy(name, "enforce", key[0], key[1], comment)
            policy.defaults = dict.fromkeys(("file", "exec"), "allow")
            self._policies[key] = policy
            self._made.policies.append(policy)
        return policy


def _paths(operator: str, values: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    negated = operator.startswith("Not")
    plain = operator.removeprefix("Not")
    if plain not in ("Equal", "Prefix", "Postfix"):
        raise Inexact(f"operator {operator}: guard's patterns have no words for it")
    found = tuple(_pattern(plain, value) for value in values)
    return (("path", ("/**",)), ("except", found)) if negated else (("path", found),)


def _pattern(operator: str, value: str) -> str:
    if operator == "Equal":
        return literal(value)
    if not value or not value.isprintable():
        raise Inexact(f"{value!a} is no part of a path")
    if operator == "Postfix":
        pattern = f"/**{escaped(value)}"  # '/**/' is also no component: /**/x is /x too
        literal(f"/x{value}")
        return pattern
    literal(value.rstrip("/") or "/x")
    return f"{escaped(value)}**"
