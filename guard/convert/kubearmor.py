# SPDX-License-Identifier: Apache-2.0
"""KubeArmor's policies to drafts of guard's: KubeArmorPolicy and KubeArmorHostPolicy.

Block and Audit carry over. Allow does not: whether it denies what nothing
allows is decided by the daemon's default posture, which no policy tells.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guard.convert import apparmor_globs
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
from guard.policy import limits
from guard.policy.forms import TAG_FORM
from guard.policy.nodes import Node
from guard.policy.words import KERNEL, NET

_FILE_WORDS = (
    "read",
    "write",
    "list",
    "create",
    "delete",
    "rename",
    "link",
    "setattr",
    "mkdev",
    "mkfifo",
    "mksock",
)
_WRITE_WORDS = tuple(word for word in _FILE_WORDS if word not in ("read", "list"))
_MATCHES = {
    "process": ("matchPaths", "matchDirectories", "matchPatterns"),
    "file": ("matchPaths", "matchDirectories", "matchPatterns"),
    "network": ("matchProtocols",),
    "capabilities": ("matchCapabilities",),
}
_PROTOCOLS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "tcp": (("proto", ("tcp",)),),
    "udp": (("proto", ("udp",)),),
    "icmp": (("proto", ("icmp", "icmpv6")),),
    "raw": (("family", ("inet", "inet6")), ("type", ("raw",))),
}


class _Said(NamedTuple):
    """What may be said for a policy, a section or an entry; the innermost counts."""

    action: str
    severity: str
    message: str
    tags: tuple[str, ...]


def convert(data: bytes, file: str, subject: Subject | None = None) -> Converted:
    """What a file of policies becomes. ``subject`` stands for what selectors say.

    Raises NotConverted where the text is no YAML.
    """
    return convert_each(data, file, subject, _Document)


class _Document(Document):
    def __init__(self, root: Node, made: Converted, subject: Subject | None) -> None:
        super().__init__(root, made, subject)
        self._policies: dict[Subject, DraftPolicy] = {}
        self._name = ""

    def convert(self) -> None:
        """Add this document's policies, one for each source of operations."""
        fields = Fields(self._root)
        kind = fields.word("kind")
        if kind not in ("KubeArmorPolicy", "KubeArmorHostPolicy"):
            self._lose(self._root, f"no policy of KubeArmor's: kind {kind!a}", Change.LOOSER)
            return
        fields.take("apiVersion")
        metadata = Fields(fields.take("metadata"))
        self._name = metadata.word("name") or "kubearmor"
        spec = Fields(fields.take("spec"))
        host = kind == "KubeArmorHostPolicy"
        if self._subject is None and not host:
            self._lose(
                self._root,
                "the whole policy is lost: guard knows no pods; name a subject with --subject",
                Change.LOOSER,
            )
            return
        base: Subject = self._subject or ("host", ())
        for key in ("selector", "nodeSelector"):
            node = spec.take(key)
            if node is not None:
                self._lose(
                    node,
                    f"{key}: labels say which pods or hosts; guard's policy holds for its subject"
                    " on every host that loads it",
                    Change.EITHER,
                    True,
                )
        for word, node in metadata.rest():
            self._lose(
                node, f"{word.text}: a policy of guard's has a name only", Change.EITHER, True
            )
        self._spec(spec, base)
        for word, node in (*fields.rest(), *spec.rest()):
            self._lose(node, f"{word.text}: guard has no words for it", Change.EITHER)

    def _spec(self, spec: Fields, base: Subject) -> None:
        sections = {key: spec.take(key) for key in (*_MATCHES, "syscalls")}
        said = self._said(spec, _Said("Block", "", "", ()))
        if sections["syscalls"] is not None:
            self._lose(
                sections["syscalls"],
                "syscalls: KubeArmor records system calls, guard records operations",
                Change.RECORDS,
            )
        for name, matches in _MATCHES.items():
            node = sections[name]
            if node is None:
                continue
            section = Fields(node)
            inner = self._said(section, said)
            for match in matches:
                for entry in items(section.take(match)):
                    self._entry(name, match, entry, inner, base)
            for key, left in section.rest():
                self._lose(left, f"{key.text}: guard has no words for it", Change.LOOSER)

    def _said(self, fields: Fields, outer: _Said) -> _Said:
        tags = tuple(text(each) for each in items(fields.take("tags")))
        return _Said(
            fields.word("action") or outer.action,
            fields.word("severity") or outer.severity,
            fields.word("message") or outer.message,
            tags or outer.tags,
        )

    def _entry(self, name: str, match: str, node: Node, outer: _Said, base: Subject) -> None:
        fields = Fields(node)
        said = self._said(fields, outer)
        try:
            if said.action not in ("Block", "Audit"):
                raise Inexact(
                    f"action {said.action}: whether it denies the rest is decided by the default"
                    " posture of KubeArmor's daemon; write the section with default: deny"
                )
            drafts = self._drafts(name, match, node, fields, said)
            sources = [self._source(each) for each in items(fields.take("fromSource"))]
        except Inexact as reason:
            change = Change.RECORDS if said.action == "Audit" else Change.LOOSER
            self._lose(node, str(reason), change)
            return
        for key, left in fields.rest():
            self._lose(left, f"{key.text}: guard has no words for it", Change.EITHER, True)
        if sources and base[0] != "host":
            self._lose(
                node,
                "fromSource: a policy has one subject; the rule holds for the source wherever it"
                " runs, not in the pod only",
                Change.STRICTER,
                True,
            )
        subject = ("exe", tuple(sources)) if sources else base
        for draft in drafts:
            self._policy(subject).add(draft)

    def _policy(self, subject: Subject) -> DraftPolicy:
        policy = self._policies.get(subject)
        if policy is None:
            name = policy_name(self._name, (each.name for each in self._made.policies))
            comment = f"from the KubeArmor policy {self._name}, {self._root.span}"
            policy = DraftPolicy(name, "enforce", subject, False, comment)
            policy.inherit = subject == self._subject and subject[0] == "exe"
            policy.defaults = dict.fromkeys(("file", "exec", "net", "kernel"), "allow")
            self._policies[subject] = policy
            self._made.policies.append(policy)
        return policy

    def _source(self, node: Node) -> str:
        fields = Fields(node)
        path = fields.word("path")
        left = list(fields.rest())
        if not path or left:
            raise Inexact("fromSource: only the paths of programs carry over")
        return literal(path)

    def _drafts(
        self, name: str, match: str, node: Node, fields: Fields, said: _Said
    ) -> list[Draft]:
        if name == "capabilities":
            word = f"cap_{fields.word('capability').lower().removeprefix('cap_')}"
            if word not in KERNEL.words:
                raise Inexact(f"guard knows no capability {word}")
            return [self._draft("kernel", (word,), (), node, said)]
        if name == "network":
            protocol = fields.word("protocol").lower()
            if protocol not in _PROTOCOLS:
                raise Inexact(f"{protocol!a} is no protocol that KubeArmor documents")
            return [self._draft("net", tuple(NET.words), _PROTOCOLS[protocol], node, said)]
        if flag(fields.take("ownerOnly")):
            raise Inexact("ownerOnly: guard does not look at the owners of files")
        words: tuple[str, ...] = ("exec",)
        if name == "file":
            words = _WRITE_WORDS if flag(fields.take("readOnly")) else _FILE_WORDS
            if said.action == "Audit":
                words = tuple(word for word in words if word != "setattr")
        paths = self._paths(match, node, fields, said)
        if name == "file" and said.action == "Block":
            self._lose(
                node,
                "setattr: KubeArmor denies chmod, guard also owners, times and attributes",
                Change.STRICTER,
                True,
            )
        section = "file" if name == "file" else "exec"
        return [self._draft(section, words, (("path", paths),), node, said)]

    def _paths(self, match: str, node: Node, fields: Fields, said: _Said) -> tuple[str, ...]:
        if match == "matchPaths":
            return (literal(fields.word("path")),)
        if match == "matchDirectories":
            directory = fields.word("dir")
            if not directory.endswith("/"):
                raise Inexact("dir: KubeArmor wants a '/' at its end")
            below = "**" if flag(fields.take("recursive")) else "*"
            return (escaped(directory) + below,)
        pattern = fields.word("pattern")
        meaning = apparmor_globs.meaning([pattern])
        paths = tuple(dict.fromkeys((*meaning.files, *meaning.directories)))
        if not paths:
            raise Inexact("no path is like this pattern")
        if said.action == "Block":
            self._lose(
                node,
                "pattern: KubeArmor enforces it where AppArmor does the work, and not where BPF"
                " does; guard always",
                Change.STRICTER,
                True,
            )
        return apparmor_globs.tidied(paths, [pattern])

    def _draft(
        self,
        section: str,
        words: tuple[str, ...],
        keys: tuple[tuple[str, tuple[str, ...]], ...],
        node: Node,
        said: _Said,
    ) -> Draft:
        tags = [f"severity:{said.severity}"] if said.severity else []
        tags += [tag for tag in said.tags if re.fullmatch(TAG_FORM, tag)]
        fit = tuple(tag for tag in tags if len(tag) <= limits.NAME_LENGTH)[: limits.TAGS]
        if len(fit) < len(said.tags) + bool(said.severity):
            self._lose(node, "tags: not all are words that a rule can have", Change.RECORDS, True)
        block = said.action == "Block"
        why = said.message if 0 < len(said.message) <= limits.TEXT_LENGTH else None
        comment = f"{node.span}: {shown(line_of(node))}"
        return Draft(
            section,
            "deny" if block else "allow",
            words,
            keys,
            comment,
            audit=not block,
            why=why,
            tags=fit,
        )
