# SPDX-License-Identifier: Apache-2.0
"""What AppArmor profiles become, and that every line that is not the same is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.analysis.evaluate import decide
from guard.convert import limits
from guard.convert.model import Change, NotConverted
from guard.convert.sources import convert
from guard.policy.canonical import canonical
from guard.policy.load import load
from guard.policy.model import Effect, Mode
from tests.convert import oracle
from tests.convert.samples import (
    allowed,
    converted,
    losses_at,
    operation,
    policies,
    socket,
    told,
)

PROFILE = (Path(__file__).parent / "golden/apparmor.profile").read_text()

EVERYTHING = "  file,\n  capability,\n  network,\n  mount,\n  umount,\n  pivot_root,\n"
EVERYTHING += "  ptrace,\n  signal,\n  dbus,\n"


def profile(*lines: str, head: str = "profile t /usr/bin/t") -> str:
    return head + " {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def test_the_samples_are_profiles_that_apparmor_takes() -> None:
    for text in (PROFILE, profile(EVERYTHING, "deny /etc/shadow r,")):
        subprocess.run(["apparmor_parser", "-QT"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("read", "/etc/app/x"), True),
        (("list", "/etc/app/d"), True),
        (("list", "/etc/app"), False),
        (("read", "/etc/app/key"), False),
        (("write", "/etc/app/x"), False),
        (("write", "/srv/app/x"), True),
        (("create", "/var/lib/app/d/x"), True),
        (("rename", "/var/lib/app/d/x"), True),
        (("create", "/var/lib/app"), False),
        (("append", "/var/log/app.log"), True),
        (("create", "/var/log/app.log"), False),
        (("exec", "/usr/bin/helper"), True),
        (("exec", "/usr/bin/other"), False),
        (("map", "/usr/lib/x.so"), True),
        (("map", "/etc/app/x"), False),
        (("cap_net_bind_service",), True),
        (("cap_sys_admin",), False),
        (("mount",), False),
        (("bpf",), True),
        (("userns",), True),
    ],
)
def test_the_policy_decides_as_the_profile_does(words: tuple[str, ...], expected: bool) -> None:
    assert allowed(converted(PROFILE, "apparmor"), *words) is expected


def test_sockets_are_allowed_by_family_and_type() -> None:
    written = converted(profile("network inet stream,", "network unix stream,"), "apparmor")
    (policy,) = policies(written)
    for verb in ("create", "bind", "listen", "connect"):
        assert decide(policy, socket(verb, 2, 1, 6)).allowed
        assert not decide(policy, socket(verb, 10, 1, 6)).allowed
        assert not decide(policy, socket(verb, 2, 2, 17)).allowed
    assert decide(policy, socket("create", 1, 1)).allowed
    assert not decide(policy, socket("create", 1, 2)).allowed
    assert told(written, Change.STRICTER)[0] == (
        3,
        (
            "bind, connect, send: guard judges UNIX sockets by their names, whatever their type;"
            " left out"
        ),
    )


def test_a_profile_that_is_wholly_the_same_has_nothing_told() -> None:
    written = converted(profile(EVERYTHING, "deny /etc/{,g}shadow m,"), "apparmor")
    assert told(written) == []
    assert not allowed(written, "map", "/etc/gshadow")
    assert allowed(written, "map", "/etc/passwd")


def test_complain_is_audit_and_its_deny_rules_are_enforced_all_the_same() -> None:
    head = "profile t /usr/bin/t flags=(complain)"
    written = converted(
        profile("/etc/** r,", 'deny "/etc/what the profile does not grant" r,', head=head),
        "apparmor",
    )
    audit, enforce = policies(written)
    assert (audit.mode, enforce.mode) == (Mode.AUDIT, Mode.ENFORCE)
    assert enforce.name == "t-deny"
    assert enforce.file is not None
    assert enforce.file.default is Effect.ALLOW
    assert [rule.effect for rule in enforce.file.rules] == [Effect.DENY] * 2
    assert audit.file is not None
    assert [rule.effect for rule in audit.file.rules] == [Effect.ALLOW] * 2


def test_a_profile_that_confines_nothing_becomes_nothing() -> None:
    written = converted(profile(head="profile t /usr/bin/t flags=(unconfined)"), "apparmor")
    assert (written.text, told(written)) == ("", [])


@pytest.mark.parametrize(
    ("line", "change", "carried", "reason"),
    [
        ("deny @{NOWHERE}/x r,", Change.LOOSER, False, "the variable @{NOWHERE} is not defined"),
        ("deny dbus,", Change.LOOSER, False, "guard does not see D-Bus messages"),
        ("deny owner /x/** r,", Change.STRICTER, True, "owner: denied to everyone"),
        ("deny /x[a-] r,", Change.LOOSER, False, "a class in '[]'"),
        ("deny mount fstype=proc,", Change.STRICTER, True, "guard's mount has no conditions"),
        ("mount fstype=proc,", Change.STRICTER, False, "guard's mount has no such conditions"),
        ("/x k,", Change.STRICTER, True, "k without w"),
        ("/x l,", Change.STRICTER, True, "l: AppArmor judges a link"),
        ("link /a -> /b,", Change.STRICTER, False, "AppArmor judges a link"),
        ("/x pix -> y,", Change.STRICTER, False, "it changes to another profile"),
        ("change_profile,", Change.STRICTER, False, "guard's policies have no transitions"),
        ("set rlimit cpu <= 1,", Change.LOOSER, False, "guard sets no resource limits"),
        ("unix (send) peer=(addr=@x),", Change.STRICTER, False, "guard has no such conditions"),
        ("capability nonsense,", Change.STRICTER, False, "guard knows no capability"),
        ("what is this,", Change.EITHER, False, "guard does not know this kind of rule"),
        ("include <abstractions/base>", Change.EITHER, False, "the included file is not"),
        ("^hat {\n /x r,\n }", Change.STRICTER, False, "a profile or hat of its own"),
        ("if $x {\n deny /x r,\n }", Change.EITHER, False, "a condition, which guard has not"),
        ("ptrace (read) peer=x,", Change.STRICTER, False, "guard's ptrace has no such conditions"),
    ],
)
def test_a_line_that_is_not_the_same_is_told_with_its_direction(
    line: str, change: Change, carried: bool, reason: str
) -> None:
    found = losses_at(converted(profile(line), "apparmor"), 2)
    assert [(each.change, each.carried) for each in found] == [(change, carried)]
    assert found[0].reason.startswith(reason)


@pytest.mark.parametrize(
    "line",
    [
        "signal (receive) peer=x,",
        "signal peer=t,",
        "ptrace (readby) peer=x,",
        "/x//y r,",
        "abi <a>,",
    ],
)
def test_a_line_that_guard_cannot_but_allow_is_not_told(line: str) -> None:
    assert losses_at(converted(profile(line), "apparmor"), 2) == []


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("profile t", "it attaches to no program; name a subject with --subject"),
        ("profile t @{X}/t", "the variable @{X} is not defined in what was given"),
        ("profile t /t flags=(default_allow)", "the flag default_allow changes what rules mean"),
        ("profile t /t/ ", "no program has a path like what it attaches to"),
    ],
)
def test_a_profile_that_is_lost_is_told_as_looser(head: str, reason: str) -> None:
    written = converted(profile("/x r,", head=head), "apparmor")
    assert written.text == ""
    assert told(written, Change.LOOSER) == [(1, f"the whole profile is lost: {reason}")]


def test_a_subject_stands_for_an_attachment() -> None:
    written = converted(profile("/x r,", head="profile t"), "apparmor", ("unit", ("t.service",)))
    assert [each.text for each in policies(written)[0].subject.units] == ["t.service"]


def test_denying_links_under_file_denies_all_links() -> None:
    written = converted(profile("file,", "deny /x l,"), "apparmor")
    assert not allowed(written, "link", "/y")
    assert [each.change for each in losses_at(written, 3)] == [Change.STRICTER]


def test_what_includes_say_is_part_of_the_profile_with_its_own_places() -> None:
    files = {"a": [("a", b"include <b>\n/one r,\n")], "b": [("b", b"include <a>\n/two r,\n")]}
    written = convert(
        [("src", profile("include <a>", "/three r,").encode(), "apparmor")], files.get, None
    )
    assert all(allowed(written, "read", path) for path in ("/one", "/two", "/three"))
    assert "# b:2:1: /two r," in written.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profile t /t {\n", "src:1:1: this is no AppArmor profile: a rule or a block that has"),
        ("profile t /t {\n /x r\n}\n", "src:2:2: this is no AppArmor profile: a rule without ','"),
        ('profile t "/t {', "src:1:11: this is no AppArmor profile: a quote that is never closed"),
        ("profile t /t flags=(a {", "src:1:14: this is no AppArmor profile: a '(' that is never"),
        ("a { " * 100, "src:1:67: this is no AppArmor profile: blocks nested more than"),
        ("x,\n" * (limits.STATEMENTS + 1), f"src:{limits.STATEMENTS + 1}:1: this is no AppArmor"),
    ],
)
def test_what_is_no_profile_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(NotConverted) as caught:
        converted(text, "apparmor")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "definitions",
    [
        "@{A} = /@{A}x\n",
        "@{A} = /x /x@{A}\n",
        "".join(
            f"@{{{chr(65 + at)}}} = @{{{chr(66 + at)}}}@{{{chr(66 + at)}}}\n" for at in range(25)
        )
        + "@{Z} = /x /y\n",
        "@{A} = " + "/x " * 2000 + "\n",
    ],
)
def test_variables_that_stand_for_too_much_are_told_in_bounded_time(definitions: str) -> None:
    text = definitions + profile("deny @{A} r,")
    written = converted(text, "apparmor")
    line = text.count("\n", 0, text.index("deny")) + 1
    assert [each.change for each in losses_at(written, line)] == [Change.LOOSER]


WORDS = ["deny", "owner", "audit", "/x", "/a/**", "/b/*", "rw", "r", "w", "ix", "Px", "mr", "->"]
WORDS += [",", ",\n", "{", "}", "{\n", "}\n", "#", '"', "(", ")", "flags=(complain)", "include"]
WORDS += ["<a>", "@{X}", "=", "+=", "/y", "capability", "network", "inet", "stream", "signal"]
WORDS += ["profile", "t", "/usr/bin/t", "file", "mount", "peer=x", "\\", "\\040", "[", "]", "\n"]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), st.booleans())
def test_no_text_is_more_than_a_policy_or_a_refusal(inner: str, wrapped: bool) -> None:
    text = profile(inner) if wrapped else inner
    try:
        written = converted(text, "apparmor")
    except NotConverted:
        return
    if written.text:
        assert canonical(written.text.encode()) == written.text


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PROFILE)), st.integers(0, 12), st.text(max_size=6))
def test_no_change_of_a_profile_is_more_than_a_policy_or_a_refusal(
    at: int, size: int, text: str
) -> None:
    try:
        converted(PROFILE[:at] + text + PROFILE[at + size :], "apparmor")
    except (NotConverted, UnicodeEncodeError):
        return


GLOBS = ["/a/**", "/a/*", "/a", "/a/", "/{a,b}/**", "/b/{,**}", "/a/b{,/}", "/**", "/*/", "/b/**/"]
LETTERS = ["r", "w", "rw", "a", "ra", "rwk", "m", "mr", "ix", "rix"]
LINES = st.tuples(st.booleans(), st.sampled_from(GLOBS), st.sampled_from(LETTERS))
NEEDS = {
    "read": ("r", False),
    "list": ("r", True),
    "write": ("w", False),
    "mkfifo": ("w", False),
    "map": ("m", False),
    "exec": ("x", False),
}


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=5))
def test_what_carries_over_decides_as_apparmor_and_nothing_is_looser(
    lines: list[tuple[bool, str, str]],
) -> None:
    text = profile(*(f"{'deny ' * deny}{glob} {mode}," for deny, glob, mode in lines))
    try:
        written = converted(text, "apparmor")
    except NotConverted:
        raise AssertionError(text) from None
    own = load([("out", written.text.encode())]).policies
    assert own
    for path in ("/", "/a", "/b", "/a/b", "/a/b/c", "/b/c", "/c"):
        for verb, (letter, directory) in NEEDS.items():
            if path == "/" and not directory:
                continue
            theirs = grants(lines, letter, path, directory)
            assert all(decide(each, operation(verb, path)).allowed for each in own) == theirs, (
                verb,
                path,
            )
        for verb in ("create", "delete", "setattr"):
            theirs = grants(lines, "w", path, False) and grants(lines, "w", path, True)
            if all(decide(each, operation(verb, path)).allowed for each in own):
                assert theirs, (verb, path)


def grants(lines: list[tuple[bool, str, str]], letter: str, path: str, directory: bool) -> bool:
    """What AppArmor says: a line allows it and none denies it."""
    hits = [
        deny
        for deny, glob, mode in lines
        if letter in mode and oracle.matches(glob, path, directory)
    ]
    return bool(hits) and not any(hits)
