# SPDX-License-Identifier: Apache-2.0
"""Every finding that guard can make about a policy: the one table of codes.

A code is for ever: a number is never used again for another meaning. The page
that `guard explain` prints for a code is in codes.md beside this file, under a
heading with the same number and title. Numbers by area:

    G00x  the file          G01x  files that it includes
    G02x  YAML that does not mean what it seems to
    G10x  keys and values   G12x  a policy, or several, as a whole
    G13x  names that a policy defines
    G14x  ingress           G32x  ingress that does something else than it seems to
    G20x  patterns          G30x  rules that cannot do what they say
    G33x  what a kernel or the tables cannot do
    G34x  policies that stop what they are for
    G35x  this host, only with --host
"""

from __future__ import annotations

import enum


class Severity(enum.Enum):
    """Whether a finding refuses the policy."""

    ERROR = "error"
    WARNING = "warning"


class Code(enum.Enum):
    """One kind of finding: its number, its severity and its title."""

    NOT_UTF8 = "G001", Severity.ERROR, "text that is not UTF-8"
    TOO_LARGE = "G002", Severity.ERROR, "file too large"
    EMPTY = "G003", Severity.ERROR, "no policy here"
    BAD_CHARACTER = "G004", Severity.ERROR, "character that a policy cannot hold"
    YAML_SYNTAX = "G005", Severity.ERROR, "not YAML"
    TAB = "G006", Severity.ERROR, "tab where YAML wants spaces"
    TOO_DEEP = "G007", Severity.ERROR, "nested too deeply"
    TOO_MANY_DOCUMENTS = "G008", Severity.ERROR, "too many documents in one file"
    MORE_FINDINGS = "G009", Severity.ERROR, "further findings not shown"

    INCLUDE_FAILED = "G010", Severity.ERROR, "include that cannot be read"
    INCLUDE_CYCLE = "G011", Severity.ERROR, "include that leads back to itself"
    INCLUDE_LIMIT = "G012", Severity.ERROR, "too much included"
    NOT_A_FRAGMENT = "G013", Severity.ERROR, "include of something else than a fragment"

    DUPLICATE_KEY = "G020", Severity.ERROR, "duplicate key"
    ALIAS = "G021", Severity.ERROR, "anchor or alias"
    MERGE_KEY = "G022", Severity.ERROR, "merge key"
    TAG = "G023", Severity.ERROR, "tag"
    BOOLEAN_WORD = "G024", Severity.ERROR, "word that YAML may read as true or false"
    OCTAL = "G025", Severity.ERROR, "number with a leading zero"
    BASE_60 = "G026", Severity.ERROR, "number in base 60"
    NUMBER = "G027", Severity.ERROR, "number where text is wanted"
    NOT_TEXT = "G028", Severity.ERROR, "date or null where text is wanted"
    FOLDED = "G029", Severity.ERROR, "pattern over several lines"

    UNKNOWN_KEY = "G100", Severity.ERROR, "unknown key"
    UNKNOWN_VERB = "G101", Severity.ERROR, "unknown verb"
    MISSING_KEY = "G102", Severity.ERROR, "missing key"
    WRONG_KIND = "G103", Severity.ERROR, "value of the wrong kind"
    BAD_VALUE = "G104", Severity.ERROR, "value that is not possible here"
    NOT_ENFORCED = "G105", Severity.ERROR, "not enforced by this version"
    BAD_VERSION = "G106", Severity.ERROR, "unknown version of the language"
    EXACTLY_ONE = "G107", Severity.ERROR, "exactly one of these keys"
    BAD_NAME = "G108", Severity.ERROR, "name of the wrong form"
    EMPTY_VALUE = "G109", Severity.ERROR, "empty value"
    REPEATED = "G110", Severity.ERROR, "repeated entry"
    NOT_TOGETHER = "G111", Severity.ERROR, "keys that do not go together"
    BAD_OPERATION = "G112", Severity.ERROR, "operation that cannot be read"

    NO_SUCH_OPERATION = "G113", Severity.ERROR, "no operation is like this"
    BAD_ADDRESS = "G114", Severity.ERROR, "address or port that cannot be read"

    DUPLICATE_POLICY = "G120", Severity.ERROR, "duplicate policy name"
    DUPLICATE_RULE_ID = "G121", Severity.ERROR, "duplicate rule id"
    TOO_MANY_POLICIES = "G122", Severity.ERROR, "too many policies"
    NOTHING_GATED = "G123", Severity.ERROR, "policy that gates nothing"
    UNKNOWN_RULE = "G124", Severity.ERROR, "no rule of that id"
    EXPIRED = "G125", Severity.WARNING, "rule that has expired"

    UNDEFINED = "G130", Severity.ERROR, "name that is not defined"
    UNUSED = "G131", Severity.WARNING, "definition that nothing uses"
    CYCLIC = "G132", Severity.ERROR, "definition that leads back to itself"
    DEFINED_TWICE = "G133", Severity.ERROR, "name that is defined already"
    TOO_MANY_ENTRIES = "G134", Severity.ERROR, "names that stand for too much"

    BAD_NUMBER = "G140", Severity.ERROR, "number or range that cannot be read"
    BAD_RATE = "G141", Severity.ERROR, "rate that cannot be read"
    NO_PACKET = "G142", Severity.ERROR, "rule that no packet matches"

    PATTERN_SYNTAX = "G200", Severity.ERROR, "pattern that cannot be read"
    PATTERN_RELATIVE = "G201", Severity.ERROR, "pattern that does not start with '/'"
    PATTERN_IMPOSSIBLE = "G202", Severity.ERROR, "pattern that no path matches"
    PATTERN_TOO_LARGE = "G203", Severity.ERROR, "pattern with too many alternatives"

    DUPLICATE_RULE = "G300", Severity.ERROR, "duplicate rule"
    USELESS_ALLOW = "G301", Severity.ERROR, "allow rule that changes nothing"
    USELESS_SECTION = "G302", Severity.ERROR, "section that changes nothing"
    EXCEPT_ALL = "G303", Severity.ERROR, "rule whose exceptions leave nothing"
    SHADOWED_RULE = "G304", Severity.WARNING, "rule that others make useless"
    NO_BOUNDARY = "G310", Severity.WARNING, "pattern without a boundary"
    TWO_IN_ONE = "G311", Severity.WARNING, "two patterns in one text"
    LOCKED_OUT = "G320", Severity.WARNING, "ingress that locks its owner out"
    OVERLAP = "G321", Severity.WARNING, "sets that overlap"
    NOT_ON_KERNEL = "G330", Severity.ERROR, "not enforceable on a kernel"
    WEAKER_ON_KERNEL = "G331", Severity.WARNING, "less exact on a kernel"
    NOT_COMPILABLE = "G332", Severity.ERROR, "more than the tables can hold"
    STOPS_ITSELF = "G340", Severity.WARNING, "policy that stops the programs it is for"
    NEVER_MET = "G341", Severity.WARNING, "allow rule that another policy makes vain"
    NOTHING_IN_COMMON = "G342", Severity.WARNING, "policies with nothing in common"
    HOST_LINK = "G350", Severity.WARNING, "path that is a symbolic link on this host"
    HOST_NO_PATH = "G351", Severity.WARNING, "path that this host does not have"
    HOST_NO_SUBJECT = "G352", Severity.WARNING, "subject that this host does not have"
    HOST_NO_INTERFACE = "G353", Severity.WARNING, "interface that this host does not have"
    HOST_OTHER_NAMES = "G354", Severity.WARNING, "protected file with further names"

    def __init__(self, number: str, severity: Severity, title: str) -> None:
        self.number = number
        self.severity = severity
        self.title = title
