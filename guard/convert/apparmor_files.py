# SPDX-License-Identifier: Apache-2.0
"""AppArmor's rules about files, as guard's rules of file and exec.

What AppArmor's letters cover is the kernel's security/apparmor (map_old_perms
and the hooks of lsm.c): w is also making, removing, chmod and chown, and a
rename needs r and w. guard's words for these do not tell files from
directories, and AppArmor's paths do; so they carry over where a line says the
same of both.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guard.convert import apparmor_globs, limits
from guard.convert.apparmor_globs import Meaning
from guard.convert.apparmor_names import Names
from guard.convert.apparmor_text import Statement
from guard.convert.model import Change, Draft, DraftPolicy, Inexact, Loss, shown

_MODE = re.compile(r"(?:[pPcC][iuU]?x|[uU]x|ix|x|[rwalkm])+")
_EACH = re.compile(r"[pPcC][iuU]?x|[uU]x|ix|x|[rwalkm]")
_NODES = ("mkdev", "mkfifo", "mksock")
_NAMES = ("create", "delete", "setattr")


class Qualifiers(NamedTuple):
    """The words before a rule."""

    audit: bool
    deny: bool
    owner: bool


class FileRule(NamedTuple):
    """A rule's path as written, and its letters; ``blanket`` is the rule ``file,``."""

    path: str
    letters: frozenset[str]
    blanket: bool = False


def file_rule(words: tuple[str, ...]) -> FileRule | None:
    """A rule's words, after its qualifiers, as a rule about files; None if it is no such rule.

    Raises Inexact for one that is, in a form that does not carry over.
    """
    if words[:1] == ("file",):
        if len(words) == 1:
            return FileRule("", frozenset(), True)
        words = words[1:]
    if words[:1] == ("link",):
        return None
    if len(words) == 4 and words[2] == "->" and any(map(_is_path, words[:2])):
        raise Inexact("it changes to another profile, and guard's policies have no transitions")
    if len(words) != 2:
        return None
    if not _is_path(words[0]) and not _is_path(words[1]):
        return None
    path, mode = words if _is_path(words[0]) else words[::-1]
    if not _MODE.fullmatch(mode):
        raise Inexact(f"{mode!a} are no permissions of a file that guard knows")
    return FileRule(path, frozenset(_EACH.findall(mode)))


def _is_path(word: str) -> bool:
    return word.startswith(("/", "@{"))


class Files:
    """Adds the rules about files of one profile to its policy."""

    def __init__(
        self, policy: DraftPolicy, names: Names, losses: list[Loss], blanket: bool
    ) -> None:
        """``blanket``: the profile allows all files, so that only denials change anything."""
        self._policy, self._names, self._losses = policy, names, losses
        self._blanket = blanket

    def add(self, each: Statement, how: Qualifiers, rule: FileRule) -> None:
        """Add one rule. Raises Inexact where nothing of it carries over."""
        if rule.blanket:
            if how.deny:
                self._everything_denied(each)
            return
        texts = self._names.paths(rule.path)
        try:
            meaning = apparmor_globs.meaning(texts)
        except Inexact:
            self._names.count([""] * limits.REFUSED)
            raise
        self._names.count((*meaning.files, *meaning.directories))
        one = _One(self._policy, self._losses, each, how, texts, meaning)
        if how.deny:
            one.deny(rule.letters, self._blanket)
        elif how.owner:
            raise Inexact("it is for the owner of the file only, and guard does not look at owners")
        else:
            one.allow(rule.letters)

    def _everything_denied(self, each: Statement) -> None:
        comment = f"{each.span}: {each.text}"
        for section, words in (
            ("file", ("read", "write", "list", *_NAMES, "rename", "link", "lock", *_NODES)),
            ("exec", ("exec", "map")),
        ):
            keys = (("path", ("/**",)),)
            self._policy.add(Draft(section, "deny", words, keys, comment))


class _One:
    """One rule's drafts."""

    def __init__(
        self,
        policy: DraftPolicy,
        losses: list[Loss],
        each: Statement,
        how: Qualifiers,
        texts: list[str],
        meaning: Meaning,
    ) -> None:
        self._policy, self._losses, self._each, self._how = policy, losses, each, how
        self._texts, self._meaning = texts, meaning
        directories = set(meaning.directories)
        self._both = tuple(path for path in meaning.files if path in directories)

    def _lose(self, reason: str, change: Change, carried: bool = True) -> None:
        self._losses.append(Loss(self._each.span, self._each.text, reason, change, carried))

    def _draft(self, section: str, words: tuple[str, ...], paths: tuple[str, ...]) -> None:
        if not words or not paths:
            return
        effect = "deny" if self._how.deny else "allow"
        keys = (("path", apparmor_globs.tidied(paths, self._texts)),)
        comment = f"{self._each.span}: {shown(self._each.text)}"
        audit = self._how.audit and not self._how.deny
        self._policy.add(Draft(section, effect, words, keys, comment, audit))

    def allow(self, letters: frozenset[str]) -> None:
        """What is allowed on files, on directories, and on both."""
        files: list[str] = ["read"] if "r" in letters else []
        both: list[str] = []
        if "w" in letters:
            files += ["write", *_NODES]
            both += [*_NAMES, *(["rename"] if "r" in letters else [])]
        elif "a" in letters:
            files.append("append")
        if "k" in letters and "w" in letters:
            files.append("lock")
        self._place(files, ["list"] if "r" in letters else [], both)
        self._draft("exec", self._code(letters), self._meaning.files)
        self._tell(letters, both)

    def _place(self, files: list[str], directories: list[str], both: list[str]) -> None:
        """Words on the paths that they are right for, in as few rules as there can be."""
        meaning = self._meaning
        if set(meaning.files) == set(meaning.directories):
            self._draft("file", (*files, *directories, *both), meaning.files)
            return
        self._draft("file", tuple(files), meaning.files)
        self._draft("file", tuple(directories), meaning.directories)
        self._draft("file", tuple(both), self._both)

    def _code(self, letters: frozenset[str]) -> tuple[str, ...]:
        return (*(["exec"] if "ix" in letters else []), *(["map"] if "m" in letters else []))

    def _tell(self, letters: frozenset[str], both: list[str]) -> None:
        every = {*self._meaning.files, *self._meaning.directories}
        if both and every - set(self._both):
            kind = "files" if self._meaning.files else "directories"
            self._lose(
                f"{', '.join(both)}: AppArmor's line is about {kind} and not both of files and"
                " directories, guard's words are about both; left out",
                Change.STRICTER,
            )
        if "w" in letters and "r" not in letters and self._both:
            self._lose(
                "rename: AppArmor allows it where this and a line with r meet; left out",
                Change.STRICTER,
            )
        if "k" in letters and "w" not in letters:
            self._lose(
                "k without w: AppArmor allows shared locks only, guard's lock is any; left out",
                Change.STRICTER,
            )
        if "l" in letters:
            self._lose(
                "l: AppArmor judges a link by its new name and what both names allow, guard by"
                " its old name; left out",
                Change.STRICTER,
            )
        for mode in sorted(letters):
            if mode.endswith("x") and mode != "ix":
                self._lose(
                    f"{mode}: the program would run under another profile or none, and guard's"
                    " policies have no transitions; executing it is left out",
                    Change.STRICTER,
                )

    def deny(self, letters: frozenset[str], blanket: bool) -> None:
        """What is denied; where guard's words are wider, more than AppArmor denies."""
        meaning = self._meaning
        every = tuple(dict.fromkeys((*meaning.files, *meaning.directories)))
        files: list[str] = ["read"] if "r" in letters else []
        wide: list[str] = []
        if "w" in letters:
            files += ["write", *_NODES]
            wide += _NAMES
        elif "a" in letters:
            files.append("append")
        if letters & {"r", "w"}:
            wide.append("rename")
        if "k" in letters:
            wide.append("lock")
        directories = ["list"] if "r" in letters else []
        if set(meaning.files) == set(meaning.directories):
            self._draft("file", (*files, *directories, *wide), every)
        else:
            self._draft("file", tuple(files), meaning.files)
            self._draft("file", tuple(directories), meaning.directories)
            self._draft("file", tuple(wide), every)
            if wide:
                kind = "files" if meaning.files else "directories"
                self._lose(
                    f"{', '.join(wide)}: AppArmor denies it for {kind} of this name only, guard"
                    " for files and directories",
                    Change.STRICTER,
                )
        code = ["exec"] if any(each.endswith("x") for each in letters) else []
        code += ["map"] if "m" in letters else []
        self._draft("exec", tuple(code), meaning.files)
        if "l" in letters and blanket:
            keys = (("path", ("/**",)),)
            comment = f"{self._each.span}: {shown(self._each.text)}"
            self._policy.add(Draft("file", "deny", ("link",), keys, comment))
            self._lose("l: guard judges links by their old name; all are denied", Change.STRICTER)
        if self._how.owner:
            self._lose("owner: denied to everyone, not to the file's owner only", Change.STRICTER)
