# SPDX-License-Identifier: Apache-2.0
"""The mappings that the policy language is made of: their keys, and what each is for.

The parser, its messages, the JSON Schema, the canonical form and the manual all
come from here; the words for verbs are in guard.policy.words. Knows nothing of YAML.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from guard.policy.model import Effect, Errno, Mode

LANGUAGE_VERSION = 1

MODES: dict[str, Mode] = {mode.value: mode for mode in Mode}
EFFECTS: dict[str, Effect] = {effect.value: effect for effect in Effect}
ERRNOS: dict[str, Errno] = {errno.value: errno for errno in Errno}

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
    ERRNO = enum.auto()
    DATE = enum.auto()
    TAGS = enum.auto()
    FILE_VERBS = enum.auto()
    EXEC_VERBS = enum.auto()
    NET_VERBS = enum.auto()
    KERNEL_OPS = enum.auto()
    PATTERNS = enum.auto()
    EXEC_PATTERNS = enum.auto()
    UNITS = enum.auto()
    CGROUPS = enum.auto()
    ACCOUNTS = enum.auto()
    CONTENTS = enum.auto()
    ABSTRACT = enum.auto()
    FAMILIES = enum.auto()
    TYPES = enum.auto()
    PROTOCOLS = enum.auto()
    PREFIXES = enum.auto()
    PORTS = enum.auto()
    SETS = enum.auto()
    LISTS = enum.auto()
    VARS = enum.auto()
    INCLUDE = enum.auto()
    SUBJECT = enum.auto()
    FILE = enum.auto()
    EXEC = enum.auto()
    NET = enum.auto()
    KERNEL = enum.auto()
    FILE_RULES = enum.auto()
    EXEC_RULES = enum.auto()
    NET_RULES = enum.auto()
    KERNEL_RULES = enum.auto()
    FILE_PART = enum.auto()
    EXEC_PART = enum.auto()
    NET_PART = enum.auto()
    KERNEL_PART = enum.auto()
    TESTS = enum.auto()
    OPERATION = enum.auto()
    RULE_NAME = enum.auto()
    INGRESS = enum.auto()
    INGRESS_RULES = enum.auto()
    INGRESS_LIMIT = enum.auto()
    INGRESS_ESTABLISHED = enum.auto()
    INGRESS_VALUE = enum.auto()
    """A single value of the ingress section: vocabulary_ingress has its form."""


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
    ``at_least_one``, one or more. ``needs`` are pairs of a key and another that
    it has no meaning without, and why. ``title`` is what messages call the mapping.
    """

    title: str
    meaning: str
    keys: tuple[Key, ...]
    planned: frozenset[str] = frozenset()
    exactly_one: tuple[str, ...] = ()
    at_least_one: tuple[str, ...] = ()
    needs: tuple[tuple[str, str, str], ...] = ()


_PATTERN_MEANING = (
    "* and ? stay within a component, ** crosses '/', [a-z] is one byte, {a,b} either. "
    "/dir/** is everything below /dir, /dir{,/**} the directory as well. "
    "@name stands for a list of lists:, ${NAME} for a variable of vars:."
)
_BEATS = "Deny beats allow, whatever the order."

_DEFINITIONS = (
    Key("include", Kind.INCLUDE, "Fragments to read, by their path relative to this file."),
    Key("vars", Kind.VARS, "Parts of patterns by name, for use as ${NAME} in patterns."),
    Key("lists", Kind.LISTS, "Lists of path patterns by name, for use as @name."),
    Key("sets", Kind.SETS, "Sets of address prefixes by name, for use as @name."),
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
        *_DEFINITIONS,
        Key("file", Kind.FILE, "Files and directories. Without it, files are not gated."),
        Key("exec", Kind.EXEC, "Executing and mapping code. Without it, neither is gated."),
        Key("net", Kind.NET, "Sockets and addresses. Without it, the network is not gated."),
        Key(
            "kernel",
            Kind.KERNEL,
            "Operations on the kernel, capabilities among them. Without it, none is gated.",
        ),
        Key("ingress", Kind.INGRESS, "Packets that come in. Without it, none is filtered."),
        Key("tests", Kind.TESTS, "What the policy must decide; `guard test` finds out."),
    ),
    at_least_one=("file", "exec", "net", "kernel", "ingress"),
)

FRAGMENT = Shape(
    "fragment",
    "Definitions and rules that policies include. It is no policy by itself.",
    (
        Key("version", Kind.VERSION, "The version of this language: 1.", True, "1"),
        Key("fragment", Kind.NAME, "What this fragment is called.", True, "common"),
        *_DEFINITIONS,
        Key("file", Kind.FILE_PART, "Rules for the file section of whoever includes this."),
        Key("exec", Kind.EXEC_PART, "Rules for the exec section of whoever includes this."),
        Key("net", Kind.NET_PART, "Rules for the net section of whoever includes this."),
        Key("kernel", Kind.KERNEL_PART, "Rules for the kernel section of whoever includes this."),
    ),
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
        Key(
            "sha256",
            Kind.CONTENTS,
            "What the executable must hold, or one of these: SHA-256 in lower case, as sha256sum "
            "prints it. A file at such a path with other contents is not started. With exe only.",
        ),
        Key(
            "unit",
            Kind.UNITS,
            "Tasks of this systemd unit, or of one of these: globs over its name.",
        ),
        Key(
            "cgroup",
            Kind.CGROUPS,
            "Tasks in this control group or below it, or one of these: globs over its path.",
        ),
        Key("user", Kind.ACCOUNTS, "Tasks of this user, or one of these: names or numbers."),
        Key("group", Kind.ACCOUNTS, "Tasks of this group, or one of these: names or numbers."),
        Key("host", Kind.TRUE, "true: every task on the host."),
        Key(
            "inherit",
            Kind.FLAG,
            "Whether what such a task executes stays under the policy; with exe only. "
            "Default: false; forked children always do until they execute something.",
        ),
    ),
    planned=frozenset(["container"]),
    exactly_one=("exe", "unit", "cgroup", "user", "group", "host"),
    needs=(
        ("inherit", "exe", "only an executable's tasks leave the subject by executing"),
        ("sha256", "exe", "only an executable has contents"),
    ),
)

_DEFAULT = Key(
    "default",
    Kind.EFFECT,
    "What an operation gets that no rule matches: allow or deny.",
    True,
    "deny",
)
_RULES = "Rules; their order has no meaning."

FILE = Shape(
    "file section",
    f"Files and directories. {_BEATS}",
    (_DEFAULT, Key("rules", Kind.FILE_RULES, _RULES)),
)
EXEC = Shape(
    "exec section",
    f"Executing and mapping code. {_BEATS}",
    (_DEFAULT, Key("rules", Kind.EXEC_RULES, _RULES)),
)
NET = Shape(
    "net section",
    f"Sockets and addresses. {_BEATS}",
    (_DEFAULT, Key("rules", Kind.NET_RULES, _RULES)),
)
KERNEL = Shape(
    "kernel section",
    f"Operations on the kernel. {_BEATS}",
    (
        _DEFAULT._replace(required=False),
        Key("rules", Kind.KERNEL_RULES, _RULES),
        Key(
            "deny",
            Kind.KERNEL_OPS,
            "In place of default and rules: these operations are denied, all others allowed.",
        ),
    ),
    exactly_one=("default", "deny"),
    needs=(("rules", "default", "what no rule matches would get no verdict"),),
)


def _part(section: str, kind: Kind) -> Shape:
    key = Key("rules", kind, _RULES, True, "[]")
    meaning = f"Rules for the {section} section of whoever includes this; the default is theirs."
    return Shape(f"fragment's {section} section", meaning, (key,))


FILE_PART = _part("file", Kind.FILE_RULES)
EXEC_PART = _part("exec", Kind.EXEC_RULES)
NET_PART = _part("net", Kind.NET_RULES)
KERNEL_PART = _part("kernel", Kind.KERNEL_RULES)


def _rule(title: str, meaning: str, verbs: Kind, *own: Key) -> Shape:
    words = "operations" if verbs is Kind.KERNEL_OPS else "verbs"
    return Shape(
        title,
        f"{meaning} {_BEATS}",
        (
            Key("id", Kind.RULE_ID, "What records call this rule; unique in the policy."),
            Key("allow", verbs, f"The {words} that this rule allows."),
            Key("deny", verbs, f"The {words} that this rule denies; beats every allow rule."),
            *own,
            Key("audit", Kind.FLAG, "true: record the operation even when it is allowed."),
            Key("kill", Kind.FLAG, "true: a denial also ends the process; with deny only."),
            Key("errno", Kind.ERRNO, "What a refused call is told; with deny only."),
            Key("why", Kind.TEXT, "The reason for the rule; it goes into the records."),
            Key(
                "expires",
                Kind.DATE,
                "The last day (UTC) on which the rule has an effect, as YYYY-MM-DD.",
            ),
            Key("tags", Kind.TAGS, "Words for the records, such as T1003.008."),
        ),
        planned=frozenset(["owner"]),
        exactly_one=("allow", "deny"),
        needs=(
            ("kill", "deny", "only a denial ends a process"),
            ("errno", "deny", "only a denial is told to the caller"),
        ),
    )


_EXCEPT = Key("except", Kind.PATTERNS, "Of those paths, the ones that the rule leaves alone.")

FILE_RULE = _rule(
    "rule",
    "Verbs on files.",
    Kind.FILE_VERBS,
    Key(
        "path",
        Kind.PATTERNS,
        "The files: a pattern over absolute paths, or a list of them. " + _PATTERN_MEANING,
        True,
        "/etc/nginx/**",
    ),
    _EXCEPT,
)
EXEC_RULE = _rule(
    "exec rule",
    "Executing and mapping files.",
    Kind.EXEC_VERBS,
    Key(
        "path",
        Kind.EXEC_PATTERNS,
        "The files: a pattern over absolute paths, or a list of them; the word anonymous is "
        "memory without a file, and files without a name. " + _PATTERN_MEANING,
        True,
        "/usr/bin/**",
    ),
    _EXCEPT,
)
NET_RULE = _rule(
    "net rule",
    "Verbs on sockets and addresses; what is left out is any.",
    Kind.NET_VERBS,
    Key("family", Kind.FAMILIES, "The socket's address family, such as inet6 or netlink."),
    Key("type", Kind.TYPES, "The socket's type, such as stream or raw."),
    Key(
        "proto",
        Kind.PROTOCOLS,
        "The socket's protocol: a name such as tcp, or a number; of the family, if one is given, "
        "else of inet and inet6.",
    ),
    Key(
        "to",
        Kind.PREFIXES,
        "Addresses: prefixes or @sets. The local one for bind, listen and accept, the remote "
        "one for connect and send.",
    ),
    Key("except", Kind.PREFIXES, "Addresses that the rule leaves alone: prefixes or @sets."),
    Key("port", Kind.PORTS, "Ports of the same end as to: a port, a range a-b, or a list."),
    Key("unix", Kind.PATTERNS, "Named UNIX sockets: patterns over their paths."),
    Key("abstract", Kind.ABSTRACT, "Abstract UNIX sockets: globs over their names."),
)
KERNEL_RULE = _rule("kernel rule", "Operations on the kernel.", Kind.KERNEL_OPS)

TEST = Shape(
    "test",
    "An operation, and what the policy must decide about it.",
    (
        Key(
            "do",
            Kind.OPERATION,
            "One operation in words: read /etc/shadow, map anonymous, "
            "connect tcp 10.1.2.3:443, bind udp [::]:53, create inet raw icmp, "
            "connect unix /run/x.sock, ptrace.",
            True,
            "read /etc/shadow",
        ),
        Key("expect", Kind.EFFECT, "allow or deny, by this policy alone.", True, "deny"),
        Key("rule", Kind.RULE_NAME, "The id of a rule that must be one of those that decide it."),
    ),
)

SHAPES: dict[Kind, Shape] = {
    Kind.SUBJECT: SUBJECT,
    Kind.FILE: FILE,
    Kind.EXEC: EXEC,
    Kind.NET: NET,
    Kind.KERNEL: KERNEL,
    Kind.FILE_RULES: FILE_RULE,
    Kind.EXEC_RULES: EXEC_RULE,
    Kind.NET_RULES: NET_RULE,
    Kind.KERNEL_RULES: KERNEL_RULE,
    Kind.FILE_PART: FILE_PART,
    Kind.EXEC_PART: EXEC_PART,
    Kind.NET_PART: NET_PART,
    Kind.KERNEL_PART: KERNEL_PART,
    Kind.TESTS: TEST,
}
"""The mapping that a key of this kind holds, or a list of them where the kind is plural."""
