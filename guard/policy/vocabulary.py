# SPDX-License-Identifier: Apache-2.0
"""The words of the policy language and what they mean: one table.

The parser, its messages, the JSON Schema and the manual all come from here.
A verb's bit comes from lsm/wire.h; its word is that name in lower case.
Knows nothing of YAML.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from guard.policy.model import Effect, Mode
from guard.wire.layout import PathVerb

LANGUAGE_VERSION = 1

FILE_VERBS: dict[PathVerb, str] = {
    PathVerb.READ: "open a file for reading its contents",
    PathVerb.WRITE: "open a file for writing, or truncate it as it is opened",
    PathVerb.LIST: "open a directory, which shows the names in it",
}

VERB_WORDS: dict[str, PathVerb] = {verb.name.lower(): verb for verb in FILE_VERBS}

PLANNED_FILE_VERBS: frozenset[str] = frozenset(
    [
        "append",
        "chmod",
        "chown",
        "create",
        "delete",
        "exec",
        "link",
        "lock",
        "map-exec",
        "rename",
        "setattr",
        "stat",
    ]
)
"""Words that the language keeps for operations that no program gates yet."""

VERB_HINTS: dict[str, str] = {
    "open": "read",
    "r": "read",
    "w": "write",
    "rw": "read, write",
    "modify": "write",
    "truncate": "write",
    "readdir": "list",
    "ls": "list",
    "all": "read, write, list",
    "any": "read, write, list",
    "*": "read, write, list",
}
"""Words that people try, and what says it here."""

MODES: dict[str, Mode] = {mode.value: mode for mode in Mode}
EFFECTS: dict[str, Effect] = {effect.value: effect for effect in Effect}

MODE_MEANING = (
    "What a denial does. enforce: the operation is refused and recorded. "
    "audit: it is recorded and goes ahead."
)


class Kind(enum.Enum):
    """The form of a key's value."""

    VERSION = enum.auto()
    NAME = enum.auto()
    RULE_ID = enum.auto()
    TEXT = enum.auto()
    FLAG = enum.auto()
    TRUE = enum.auto()
    MODE = enum.auto()
    EFFECT = enum.auto()
    VERBS = enum.auto()
    PATTERNS = enum.auto()
    RULES = enum.auto()
    SUBJECT = enum.auto()
    FILE = enum.auto()
    TESTS = enum.auto()
    OPERATION = enum.auto()
    RULE_NAME = enum.auto()


class Key(NamedTuple):
    """One key of a mapping."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    example: str = ""


class Shape(NamedTuple):
    """One kind of mapping: its keys, and the keys kept for what is not enforced yet.

    Of the names in ``exactly_one`` a mapping has one and only one; of those in
    ``at_least_one``, one or more. ``title`` is what messages call the mapping.
    """

    title: str
    meaning: str
    keys: tuple[Key, ...]
    planned: frozenset[str] = frozenset()
    exactly_one: tuple[str, ...] = ()
    at_least_one: tuple[str, ...] = ()


NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAME_FORM_WORDS = "letters, digits, '.', '_' and '-', the first a letter or digit"
GENERATED_ID_FORM = r"(file|exec|net|kernel|ingress)\.[0-9]+"
"""Ids of rules that their author gave none: section.number. Nobody else may use them."""

OBJECT_FORM = r"/|(/(?!\.{1,2}(/|$))[^/\x00]+)+"
"""A canonical absolute path: the root, or components that are neither empty, '.' nor '..'."""

_PATTERN_MEANING = (
    "* and ? stay within a component, ** crosses '/', [a-z] is one byte, {a,b} either. "
    "/dir/** is everything below /dir, /dir{,/**} the directory as well."
)

POLICY = Shape(
    "policy",
    "A named set of rules for the tasks that its subject selects.",
    (
        Key("version", Kind.VERSION, "The version of this language: 1.", True, "1"),
        Key(
            "name",
            Kind.NAME,
            "What records and `guard status` call this policy; unique on a host.",
            True,
            "nginx",
        ),
        Key("mode", Kind.MODE, MODE_MEANING, True, "audit"),
        Key(
            "subject",
            Kind.SUBJECT,
            "Which tasks the policy applies to.",
            True,
            "{exe: /usr/sbin/nginx}",
        ),
        Key("file", Kind.FILE, "Opening files and directories. Without it, files are not gated."),
        Key("tests", Kind.TESTS, "What the policy must decide; `guard test` finds out."),
    ),
    planned=frozenset(
        [
            "exec",
            "net",
            "kernel",
            "ingress",
            "include",
            "vars",
            "variables",
            "sets",
            "paths",
            "tags",
            "expires",
        ]
    ),
    at_least_one=("file",),
)

SUBJECT = Shape(
    "subject",
    "Which tasks the policy applies to.",
    (
        Key(
            "exe",
            Kind.PATTERNS,
            "Tasks whose executable's path matches this pattern, or one of these. "
            + _PATTERN_MEANING,
        ),
        Key("host", Kind.TRUE, "true: every task on the host."),
        Key(
            "inherit",
            Kind.FLAG,
            "Whether what such a task executes stays under the policy. "
            "Default: false; forked children always do until they execute something.",
        ),
    ),
    planned=frozenset(["unit", "cgroup", "user", "group", "hash", "container"]),
    exactly_one=("exe", "host"),
)

FILE = Shape(
    "file section",
    "Opening files and directories. Deny beats allow, whatever the order.",
    (
        Key(
            "default",
            Kind.EFFECT,
            "What an operation gets that no rule matches: allow or deny.",
            True,
            "deny",
        ),
        Key("rules", Kind.RULES, "Rules; their order has no meaning."),
    ),
)

FILE_RULE = Shape(
    "rule",
    "Verbs on files. Deny beats allow, whatever the order.",
    (
        Key("id", Kind.RULE_ID, "What records call this rule; unique in the policy."),
        Key("allow", Kind.VERBS, "Verbs that this rule allows."),
        Key("deny", Kind.VERBS, "Verbs that this rule denies; beats every allow rule."),
        Key(
            "path",
            Kind.PATTERNS,
            "The files: a pattern over absolute paths, or a list of them. " + _PATTERN_MEANING,
            True,
            "/etc/nginx/**",
        ),
        Key("except", Kind.PATTERNS, "Of those files, the ones that the rule leaves alone."),
        Key("audit", Kind.FLAG, "true: record the operation even when it is allowed."),
        Key("why", Kind.TEXT, "The reason for the rule; it goes into the records."),
    ),
    planned=frozenset(["kill", "expires", "tags", "owner"]),
    exactly_one=("allow", "deny"),
)

TEST = Shape(
    "test",
    "An operation, and what the policy must decide about it.",
    (
        Key(
            "do",
            Kind.OPERATION,
            "A verb and the absolute path of one object, without patterns.",
            True,
            "read /etc/shadow",
        ),
        Key("expect", Kind.EFFECT, "allow or deny, by this policy alone.", True, "deny"),
        Key("rule", Kind.RULE_NAME, "The id of a rule that must be one of those that decide it."),
    ),
)
