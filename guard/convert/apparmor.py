# SPDX-License-Identifier: Apache-2.0
"""AppArmor profiles to drafts of policies: which part of a profile becomes what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guard.convert import apparmor_globs, apparmor_text
from guard.convert.apparmor_files import FileRule, Files, Qualifiers, file_rule
from guard.convert.apparmor_names import Load, Names, nothing_to_load
from guard.convert.apparmor_rules import KINDS, Others
from guard.convert.apparmor_text import Statement
from guard.convert.model import (
    Change,
    Converted,
    Draft,
    DraftPolicy,
    Inexact,
    Loss,
    Subject,
    policy_name,
)

_COMPLAIN, _PLAIN_FLAGS = "complain", frozenset(("enforce", "audit"))
_NO_PROFILE = frozenset(("unconfined",))
_QUALIFIERS = ("audit", "deny", "allow", "owner", "quiet")


def convert(
    text: str, file: str, load: Load = nothing_to_load, subject: Subject | None = None
) -> Converted:
    """What a file of profiles becomes. ``subject`` is for profiles that attach to nothing.

    Raises NotConverted where the text is no profile.
    """
    made = Converted()
    names = Names(load, made.losses)
    new_abi = False
    for each in names.resolve(apparmor_text.read(text, file)):
        if each.block is not None:
            _Profile(each, names, made, subject).convert(new_abi)
        elif each.words[:1] == ("abi",):
            new_abi = re.search(r"abi/[4-9]", " ".join(each.words)) is not None
        else:
            reason = "it stands outside of every profile and changes what is in them"
            made.losses.append(Loss(each.span, each.text, reason, Change.EITHER))
    return made


class _Profile:
    """One profile."""

    def __init__(
        self, head: Statement, names: Names, made: Converted, subject: Subject | None
    ) -> None:
        self._head, self._names, self._made, self._given = head, names, made, subject

    def _lose(self, each: Statement, reason: str, change: Change, carried: bool = False) -> None:
        self._made.losses.append(Loss(each.span, each.text, reason, change, carried))

    def convert(self, new_abi: bool) -> None:
        """Add the profile's policy, or say why it has none."""
        words = [word for word in self._head.words if word not in ("profile", "flags", "=")]
        if not words or words[0].startswith("^") or self._head.words[:1] in (("hat",), ("if",)):
            self._lose(self._head, "no profile that attaches to a program", Change.EITHER)
            return
        flags = {
            flag
            for word in words[1:]
            if word.startswith(("flags=(", "("))
            for flag in re.findall(r"\w+", word.removeprefix("flags="))
        }
        places = [word for word in words if word.startswith(("/", "@{"))]
        self._names.set("profile_name", words[0])
        try:
            attached = self._attachment(places, words)
            self._flags(flags)
        except Inexact as reason:
            self._lose(self._head, f"the whole profile is lost: {reason}", Change.LOOSER)
            return
        if flags & _NO_PROFILE:
            return  # it confines nothing, and neither does no policy
        policy = DraftPolicy(
            policy_name(words[0], (each.name for each in self._made.policies)),
            "audit" if _COMPLAIN in flags else "enforce",
            attached,
            True,
            f"from the AppArmor profile {words[0]}, {self._head.span}",
        )
        self._made.policies.append(policy)
        self._rules(policy, words[0], new_abi, "audit" in flags)
        if _COMPLAIN in flags:
            self._split(policy)

    def _attachment(self, places: list[str], words: list[str]) -> Subject:
        if any(word.startswith("xattrs=") for word in words):
            raise Inexact("it attaches by extended attributes, which guard does not look at")
        if not places:
            if self._given is None:
                raise Inexact("it attaches to no program; name a subject with --subject")
            return self._given
        meaning = apparmor_globs.meaning(texts := self._names.paths(places[-1]))
        if not meaning.files:
            raise Inexact("no program has a path like what it attaches to")
        return "exe", apparmor_globs.tidied(meaning.files, texts)

    def _flags(self, flags: set[str]) -> None:
        for flag in sorted(flags - _PLAIN_FLAGS - _NO_PROFILE - {_COMPLAIN}):
            match flag:
                case "default_allow" | "prompt":
                    raise Inexact(f"the flag {flag} changes what rules mean")
                case "kill":
                    self._lose(
                        self._head, "kill: guard refuses and ends no process", Change.LOOSER, True
                    )
                case "attach_disconnected" | "mediate_deleted":
                    self._lose(
                        self._head,
                        f"{flag}: guard has its own names for such files: docs/manual/limits.md",
                        Change.EITHER,
                        True,
                    )
                case _:
                    self._lose(self._head, f"the flag {flag} is not known", Change.EITHER, True)

    def _rules(self, policy: DraftPolicy, name: str, new_abi: bool, audit: bool) -> None:
        """The statements of the block."""
        assert self._head.block is not None, "a profile is a block"
        others = Others(policy, self._made.losses, name)
        rules: list[tuple[Statement, Qualifiers, tuple[str, ...]]] = []
        for each in self._names.resolve(self._head.block):
            if each.block is not None and not _qualified_block(each):
                self._nested(each)
            elif each.words and each.words != ("abi",) and each.words[0] != "abi":
                rules += _unqualified(each, audit)
        blanket = any(
            not how.deny and not how.owner and words == ("file",) for _, how, words in rules
        )
        default = "allow" if blanket else "deny"
        policy.defaults.update(file=default, exec=default, kernel="allow")
        files = Files(policy, self._names, self._made.losses, blanket)
        for each, how, words in rules:
            try:
                found: FileRule | None = file_rule(words)
                if found is not None:
                    files.add(each, how, found)
                else:
                    others.add(each, how, words)
            except Inexact as reason:
                self._lose(each, str(reason), _direction(how, words))
        policy.defaults["net"] = "allow" if "network" in others.blankets else "deny"
        judges_userns = new_abi or any(words[:1] == ("userns",) for _, _, words in rules)
        others.finish(self._head, judges_userns)
        self._not_said(policy, blanket, others.blankets)

    def _nested(self, each: Statement) -> None:
        kind = "a profile or hat of its own" if each.words[:1] != ("if",) else "a condition"
        self._lose(
            each,
            f"{kind}, which guard has not; its {len(each.block or ())} lines are left out",
            Change.STRICTER if each.words[:1] != ("if",) else Change.EITHER,
        )

    def _not_said(self, policy: DraftPolicy, blanket: bool, blankets: set[str]) -> None:
        """What a profile does by leaving it out, and guard does not, or the other way round."""
        if "dbus" not in blankets:
            self._lose(
                self._head,
                "D-Bus messages that the profile does not grant are not refused",
                Change.LOOSER,
                True,
            )
        if not blankets >= {"signal", "ptrace"}:
            self._lose(
                self._head,
                "signals and tracing that others direct at the process, and signals inside of"
                " the profile, are not judged",
                Change.LOOSER,
                True,
            )
        if blanket:
            return
        comment = f"{self._head.span}: AppArmor does not ask"
        policy.add(Draft("file", "allow", ("ioctl",), (("path", ("/**",)),), comment))
        key, programs = policy.subject
        if key == "exe":
            # guard's policy is asked when its own program begins, AppArmor's profile is not.
            policy.add(Draft("exec", "allow", ("exec",), (("path", programs),), comment))
            self._lose(
                self._head,
                "the program may execute itself again, under the same policy: guard does not tell"
                " that from its first start",
                Change.LOOSER,
                True,
            )
        self._lose(
            self._head,
            "guard asks for setting times and extended attributes, for a script's interpreter, and"
            " for executable memory without a file: AppArmor does not",
            Change.STRICTER,
            True,
        )

    def _split(self, policy: DraftPolicy) -> None:
        """AppArmor enforces deny rules in complain mode too: they become a policy of their own."""
        own = [each for each in policy.rules if each.effect == "deny" and not each.implied]
        if not own:
            return
        policy.rules = [each for each in policy.rules if each not in own]
        names = (each.name for each in self._made.policies)
        denials = DraftPolicy(
            policy_name(f"{policy.name}-deny", names),
            "enforce",
            policy.subject,
            policy.inherit,
            f"{self._head.span}: deny rules, which AppArmor enforces in complain mode too",
            dict.fromkeys(policy.defaults, "allow"),
            own,
        )
        self._made.policies.append(denials)


def _qualified_block(each: Statement) -> bool:
    return bool(each.words) and all(word in _QUALIFIERS for word in each.words)


def _unqualified(
    each: Statement, audit: bool, outer: tuple[str, ...] = ()
) -> Iterator[tuple[Statement, Qualifiers, tuple[str, ...]]]:
    """A statement without its qualifiers; of a block of qualifiers each statement in it."""
    words = list(each.words)
    qualifiers = list(outer)
    while words and words[0] in _QUALIFIERS:
        qualifiers.append(words.pop(0))
    if each.block is not None:
        for inner in each.block:
            yield from _unqualified(inner, audit, tuple(qualifiers))
        return
    how = Qualifiers(audit or "audit" in qualifiers, "deny" in qualifiers, "owner" in qualifiers)
    if words:
        yield each, how, tuple(words)


def _direction(how: Qualifiers, words: tuple[str, ...]) -> Change:
    """What it changes to leave out a whole rule."""
    if words[0] in ("dbus", "set", "mqueue"):
        return Change.LOOSER
    if words[0] not in KINDS and not words[0].startswith(("/", "@{")) and len(words) != 2:
        return Change.EITHER
    return Change.LOOSER if how.deny else Change.STRICTER
