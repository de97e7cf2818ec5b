# SPDX-License-Identifier: Apache-2.0
"""The file gate: which opens are denied, which are not, and what the records say."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.kernel.harness import (
    DEFAULT_LINE,
    FIRST_RULE_LINE,
    Enforcer,
    expect,
    literal,
    opened,
    own_name,
    policy,
    prove,
    rule,
)

pytestmark = pytest.mark.kernel

# GUARD_LIMIT_DEPTH: components that a walk steps over.
DEEPEST = 256


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with two files and a directory, one of each two to be protected."""
    for name in ("secret", "other"):
        (tmp_path / name).write_text("contents")
    for name in ("inside", "beside"):
        (tmp_path / name).mkdir()
    return tmp_path


FLAGS = {
    "reading": (os.O_RDONLY, ("read",)),
    "writing": (os.O_WRONLY, ("write",)),
    "both": (os.O_RDWR, ("read", "write")),
    "truncating while only reading": (os.O_RDONLY | os.O_TRUNC, ("read", "write")),
    "appending": (os.O_WRONLY | os.O_APPEND, ("append",)),
    "creating what is there": (os.O_WRONLY | os.O_CREAT, ("write",)),
}


@pytest.mark.parametrize("way", FLAGS)
def test_a_denied_file_is_not_opened_for(way: str, files: Path, enforcer: Enforcer) -> None:
    flags, verbs = FLAGS[way]
    denied = prove(
        enforcer,
        lambda path: opened(path, flags),
        files / "secret",
        files / "other",
        verbs=verbs,
        **own_name(),
    )
    assert denied.record["process"]["pid"] == denied.pid
    assert denied.record["process"]["uid"] == 0
    if flags & os.O_TRUNC:
        # The record's twins truncated it; the denied open came too early to.
        (files / "secret").write_text("contents")
        enforcer.attempt(opened, files / "secret", flags, label=0b01)
        assert (files / "secret").read_text() == "contents"


def test_a_denied_directory_is_not_listed(files: Path, enforcer: Enforcer) -> None:
    prove(enforcer, os.listdir, files / "inside", files / "beside", verbs=("list",))


def test_a_denied_directory_can_still_be_gone_through(files: Path, enforcer: Enforcer) -> None:
    (files / "inside" / "file").write_text("contents")
    enforcer.enforce(policy(rule("deny", "list", literal(files / "inside"))))
    assert enforcer.attempt(opened, files / "inside" / "file").errno == 0


@pytest.mark.parametrize(("verb", "flags"), [("read", os.O_WRONLY), ("write", os.O_RDONLY)])
def test_a_verb_that_is_not_denied_is_allowed(
    verb: str, flags: int, files: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(policy(rule("deny", verb, literal(files / "secret"))))
    attempt = enforcer.attempt(opened, files / "secret", flags)
    assert (attempt.errno, attempt.records) == (0, [])


def test_one_denied_verb_of_two_denies_the_open(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(policy(rule("deny", "write", literal(files / "secret"))))
    attempt = enforcer.attempt(opened, files / "secret", os.O_RDWR)
    assert attempt.errno == errno.EACCES
    expect(attempt.record, path=files / "secret", verbs=("read", "write"))


def test_a_denied_file_that_is_not_there_cannot_be_opened_by_creating_it(
    files: Path, enforcer: Enforcer
) -> None:
    made = []

    def create(path: Path) -> None:
        opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        made.append(path)

    enforcer.enforce(policy(rule("deny", "write", literal(files / "new"))))
    free = enforcer.attempt(create, files / "new", label=None)
    assert (free.errno, free.records) == (0, [])
    (files / "new").unlink()
    denied = enforcer.attempt(create, files / "new")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=files / "new", verbs=("write",))
    assert enforcer.attempt(create, files / "newer").errno == 0


def test_what_no_rule_allows_is_denied_by_default(files: Path, enforcer: Enforcer) -> None:
    enforcer.enforce(policy(rule("allow", "read", literal(files / "other")), default="deny"))
    allowed = enforcer.attempt(opened, files / "other")
    assert (allowed.errno, allowed.records) == (0, [])
    denied = enforcer.attempt(opened, files / "secret")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=files / "secret", rule=None, line=DEFAULT_LINE, **own_name())
    assert enforcer.attempt(opened, files / "other", os.O_WRONLY).errno == errno.EACCES
    assert enforcer.attempt(os.listdir, files).errno == errno.EACCES


def test_deny_beats_allow_whatever_their_order(files: Path, enforcer: Enforcer) -> None:
    allow = rule("allow", "read", literal(files / "secret"), id="lets")
    deny = rule("deny", "read", literal(files) + "/**", id="refuses")
    for rules in ((allow, deny), (deny, allow)):
        enforcer.enforce(policy(*rules))
        denied = enforcer.attempt(opened, files / "secret")
        assert denied.errno == errno.EACCES
        line = FIRST_RULE_LINE + rules.index(deny)
        expect(denied.record, path=files / "secret", rule="refuses", line=line)


def test_an_exception_is_not_denied(files: Path, enforcer: Enforcer) -> None:
    but = f'except: ["{files}/oth*"], why: because'
    enforcer.enforce(policy(rule("deny", "[read, list]", f"{files}/*", more=but)))
    allowed = enforcer.attempt(opened, files / "other")
    assert (allowed.errno, allowed.records) == (0, [])
    denied = enforcer.attempt(opened, files / "secret")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=files / "secret")
    assert denied.record["rule"]["why"] == "because"


def test_an_allowed_open_is_recorded_if_its_rule_says_so(files: Path, enforcer: Enforcer) -> None:
    watched = rule("allow", "read", literal(files / "secret"), more="audit: true")
    enforcer.enforce(policy(watched, default="deny"))
    attempt = enforcer.attempt(opened, files / "secret")
    assert attempt.errno == 0
    expect(attempt.record, path=files / "secret", verdict="allowed", pid=attempt.pid)


def test_several_rules_decide_each_by_its_own_name(files: Path, enforcer: Enforcer) -> None:
    for number in range(20):
        (files / f"n{number}").touch()
    rules = [rule("deny", "read", f"{files}/n{number}", id=f"r{number}") for number in range(20)]
    enforcer.enforce(policy(*rules))

    def every() -> list[int]:
        return [number for number in range(20) if os.access("/", os.F_OK) and denied(number)]

    def denied(number: int) -> bool:
        try:
            opened(files / f"n{number}")
        except PermissionError:
            return True
        return False

    attempt = enforcer.attempt(every)
    assert attempt.value == list(range(20))
    for number, record in enumerate(attempt.records):
        line = FIRST_RULE_LINE + number
        expect(record, path=files / f"n{number}", rule=f"r{number}", line=line)


HOSTILE = {
    "a newline": b"two\nlines",
    "quotes": b"\"double\" 'single' \\ back",
    "a terminal's escape": b"\x1b[2J\x7f",
    "bytes that are no UTF-8": bytes(range(0x80, 0x100)),
    "a cut UTF-8 sequence": b"caf\xc3",
    "separators of lines in Unicode": "\u2028\x85\u202e".encode(),
    "the longest name": b"n" * 255,
    "braces and stars": b"{a,b}*?[x]",
    "what looks deleted": b"x (deleted)",
    "a dollar": b"$HOME",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_denied_name_may_be(kind: str, files: Path, enforcer: Enforcer) -> None:
    path = os.fsencode(files / "inside") + b"/" + HOSTILE[kind]
    for name in (path, os.fsencode(files / "beside") + b"/" + HOSTILE[kind]):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    enforcer.enforce(policy(rule("deny", "read", f"{files}/inside/*")))
    denied = enforcer.attempt(opened, path)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=path)
    beside = enforcer.attempt(opened, path.replace(b"/inside/", b"/beside/"))
    assert (beside.errno, beside.records) == (0, [])


@pytest.mark.parametrize("kind", ["quotes", "braces and stars", "what looks deleted", "a dollar"])
def test_a_rule_can_name_literally(kind: str, files: Path, enforcer: Enforcer) -> None:
    path = files / os.fsdecode(HOSTILE[kind])
    path.touch()
    prove(enforcer, opened, path, files / "other")


def opens(paths: list[str]) -> list[int]:
    """The errno of each open."""
    found = []
    for path in paths:
        try:
            opened(path)
            found.append(0)
        except OSError as error:
            found.append(error.errno or -1)
    return found


def test_names_of_every_length_are_told_apart_at_their_last_byte(
    files: Path, enforcer: Enforcer
) -> None:
    sizes = [*range(1, 50), 63, 64, 65, 127, 128, 129, 248, 249, 254, 255]
    names = [("abcdefghij" * 26)[: size - 1] for size in sizes]
    # The neighbours differ in the last byte, in the first, and by a byte more or less.
    denied = [str(files / f"{name}Y") for name in names]
    others = [str(files / f"{name}Z") for name in names]
    others += [str(files / f"_{name[1:]}Y") for name in names[1:]]
    others += [str(files / f"{name}YY") for name in names[:-1]]
    for path in denied + others:
        Path(path).touch()
    enforcer.enforce(policy(*(rule("deny", "read", path, id=f"r{len(path)}") for path in denied)))
    attempt = enforcer.attempt(opens, denied + others)
    assert attempt.value == [errno.EACCES] * len(denied) + [0] * len(others)
    for number, record in enumerate(attempt.records):
        path = denied[number]
        expect(record, path=path, rule=f"r{len(path)}", line=FIRST_RULE_LINE + number)
    assert len(attempt.records) == len(denied)


def test_a_directorys_name_of_every_length_is_told_apart(files: Path, enforcer: Enforcer) -> None:
    sizes = [1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 30, 31, 32, 33, 39, 40, 41, 255]
    denied, others = [], []
    for size in sizes:
        for last, paths in (("Y", denied), ("Z", others)):
            directory = files / ("d" * (size - 1) + last)
            directory.mkdir()
            (directory / "file").touch()
            paths.append(str(directory / "file"))
    enforcer.enforce(policy(rule("deny", "read", f"{files}/*Y/file")))
    attempt = enforcer.attempt(opens, denied + others)
    assert attempt.value == [errno.EACCES] * len(sizes) + [0] * len(sizes)
    assert [record["object"]["path"] for record in attempt.records] == denied


def deep(top: Path, components: int) -> tuple[int, str]:
    """A directory with so many components, as in its file system, and its path.

    Made step by step: a path as long as this no system call takes.
    """
    mounted = 1  # /tmp, which has a file system of its own
    assert os.path.ismount(top.parents[len(top.parts) - 2 - mounted])
    here = os.open(top, os.O_PATH)
    for _ in range(components - (len(top.parts) - 1 - mounted)):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_PATH | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    return here, os.readlink(f"/proc/self/fd/{here}")


@pytest.mark.parametrize("depth", [5, 23, 24, 25, 26, 30, 64, 65, 250, 255, DEEPEST])
def test_a_file_is_denied_at_a_depth_of(depth: int, tmp_path: Path, enforcer: Enforcer) -> None:
    directory, path = deep(tmp_path, depth - 1)
    for name in ("secret", "other"):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=directory))

    def act(name: str) -> None:
        os.close(os.open(name, os.O_RDONLY, dir_fd=directory))

    enforcer.enforce(policy(rule("deny", "read", "/**/secret")))
    assert enforcer.attempt(act, "secret", label=None).errno == 0
    denied = enforcer.attempt(act, "secret")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=f"{path}/secret", **own_name())
    other = enforcer.attempt(act, "other")
    assert (other.errno, other.records) == (0, [])
    os.close(directory)


def test_a_path_of_more_than_four_kilobytes_is_denied(tmp_path: Path, enforcer: Enforcer) -> None:
    here = os.open(tmp_path, os.O_PATH)
    name = "n" * 250
    for _ in range(20):
        os.mkdir(name, dir_fd=here)
        here = os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=here)
    for last in ("secret", "other"):
        os.close(os.open(last, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here))

    def act(last: str) -> None:
        os.close(os.open(last, os.O_RDONLY, dir_fd=here))

    enforcer.enforce(policy(rule("deny", "read", f"{tmp_path}/**/secret")))
    denied = enforcer.attempt(act, "secret")
    assert denied.errno == errno.EACCES
    expect(denied.record, path=f"{tmp_path}/{f'{name}/' * 20}secret")
    assert enforcer.attempt(act, "other").errno == 0


@pytest.mark.parametrize("depth", [DEEPEST + 1, 300, 2000])
def test_a_file_too_deep_to_classify_is_denied_whatever_the_rules(
    depth: int, tmp_path: Path, enforcer: Enforcer
) -> None:
    directory, path = deep(tmp_path, depth - 1)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=directory))

    def act() -> None:
        os.close(os.open("file", os.O_RDONLY, dir_fd=directory))

    # Where no rule can match anything in a file system, its paths need not be walked.
    text = rule("deny", "read", f"{tmp_path}/none/such")
    enforcer.enforce(policy(text), policy(text, name="q", mode="audit"))
    assert enforcer.attempt(act, label=None).errno == 0
    watched = enforcer.attempt(act, label=0b10)
    assert watched.errno == 0
    assert watched.record["verdict"] == "would-deny"
    denied = enforcer.attempt(act, label=0b01)
    assert denied.errno == errno.EACCES
    record = denied.record
    assert (record["reason"], record["error"]) == ("too-deep", "EACCES")
    assert record["policy"]["name"] == "p" and record["rule"]["id"] is None
    # The leaf's side of the path is there, and what is missing is said.
    assert record["flags"] == ["path-cut"]
    assert path.endswith(os.path.dirname(record["object"]["path"]))
    assert record["object"]["path"].endswith("/d/file")
    os.close(directory)


def test_an_unlinked_file_keeps_its_name_for_the_rules(files: Path, enforcer: Enforcer) -> None:
    holders = [os.open(files / name, os.O_PATH) for name in ("secret", "other")]
    for name in ("secret", "other"):
        (files / name).unlink()
    enforcer.enforce(policy(rule("deny", "read", literal(files / "secret"))))
    paths = [f"/proc/self/fd/{fd}" for fd in holders]
    assert enforcer.attempt(opened, paths[0], label=None).errno == 0
    denied = enforcer.attempt(opened, paths[0])
    assert denied.errno == errno.EACCES
    expect(denied.record, path=files / "secret", flags=("unlinked",))
    assert enforcer.attempt(opened, paths[1]).errno == 0
    for fd in holders:
        os.close(fd)


def test_a_file_named_deleted_is_another_than_a_deleted_one(
    files: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(policy(rule("deny", "read", literal(files / "secret (deleted)"))))
    holder = os.open(files / "secret", os.O_PATH)
    (files / "secret").unlink()
    assert enforcer.attempt(opened, f"/proc/self/fd/{holder}").errno == 0
    os.close(holder)


def test_special_bytes_of_a_prefix_do_not_reach_over_a_component(
    files: Path, enforcer: Enforcer
) -> None:
    (files / "inside-not" / "x").parent.mkdir()
    (files / "inside-not" / "x").touch()
    (files / "inside" / "x").touch()
    enforcer.enforce(policy(rule("deny", "read", f"{files}/inside/**")))
    assert enforcer.attempt(opened, files / "inside-not" / "x").errno == 0
    assert enforcer.attempt(opened, files / "inside" / "x").errno == errno.EACCES
    assert enforcer.attempt(opened, f"{files}//inside-not/../inside/./x").errno == errno.EACCES
