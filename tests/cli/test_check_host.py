# SPDX-License-Identifier: Apache-2.0
"""`guard check --host`: what this machine has otherwise than the policies say; bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.cli import check_host
from guard.cli.check_host import find
from guard.cli.exits import Exit
from guard.cli.host_machine import MOST_LINKS, Machine, resolve
from guard.cli.main import main
from guard.policy.load import load
from tests.policy.corpus import with_rules


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for directory in ("usr/bin", "usr/lib", "etc/ssl", "etc/systemd/system", "var/log"):
        (root / directory).mkdir(parents=True)
    for file in ("usr/bin/demo", "usr/lib/libx.so", "etc/shadow", "etc/ssl/a.key"):
        (root / file).touch()
    (root / "bin").symlink_to("usr/bin")
    (root / "lib").symlink_to("/usr/lib")
    (root / "etc/systemd/system/demo@.service").touch()
    return root


def told(tree: Path, text: str, machine: Machine | None = None) -> list[tuple[str, str]]:
    loaded = load([("p.yaml", text.encode())])
    assert loaded.usable, loaded.diagnostics
    return [
        (each.code.number, each.message)
        for each in find(loaded.policies, machine or Machine(str(tree)))
    ]


def rules(tree: Path, *lines: str, machine: Machine | None = None) -> list[tuple[str, str]]:
    return told(tree, with_rules("\n".join(f"- {{{line}}}" for line in lines)), machine)


def test_what_is_there_by_its_own_name_is_not_told(tree: Path) -> None:
    assert (
        rules(
            tree,
            "deny: read, path: /etc/shadow",
            'deny: read, path: "/etc/ssl/*.key"',
            'deny: read, path: "/usr/lib/**"',
            'deny: read, path: "/etc/{,g}shadow"',
        )
        == []
    )


def test_a_link_on_the_way_is_told_with_what_it_leads_to(tree: Path) -> None:
    assert rules(tree, "deny: read, path: /bin/demo", 'deny: read, path: "/lib/*.so"') == [
        ("G350", "'/bin' is a symbolic link here: '/bin/demo' leads to '/usr/bin/demo'"),
        ("G350", "'/lib' is a symbolic link here to '/usr/lib'"),
    ]


def test_a_link_whose_end_the_policy_names_too_is_not_told(tree: Path) -> None:
    assert rules(tree, 'deny: read, path: ["/lib/**", "/usr/lib/**"]') == []
    assert rules(tree, 'deny: read, path: "/lib/**"', "deny: [read, write], path: /usr/**") == []
    # One that does less does not make up for it.
    less = rules(tree, 'deny: [read, write], path: "/lib/**"', "deny: read, path: /usr/**")
    assert [code for code, _ in less] == ["G350"]


def test_what_is_absent_is_told_once_and_what_a_rule_makes_is_not(tree: Path) -> None:
    found = rules(
        tree, "deny: read, path: /etc/shadoww", 'deny: read, path: ["/etc/*.conf", "/nowhere/**"]'
    )
    assert found == [
        ("G351", "this host has no path '/etc/shadoww'"),
        ("G351", "nothing on this host matches '/etc/*.conf'"),
        ("G351", "nothing on this host matches '/nowhere/**'"),
    ]
    text = with_rules("- {allow: [create, write], path: /var/log/new.log}", "deny")
    assert told(tree, text) == []


def test_subjects_that_are_not_here_are_told(tree: Path) -> None:
    machine = Machine(
        str(tree), has_user=lambda name: name == "ann", has_group=lambda name: name == "adm"
    )
    head = "version: 1\nname: p{}\nmode: audit\nsubject: {}\nkernel: {{deny: [bpf]}}\n"
    subjects = (
        "{exe: [/bin/demo, /usr/bin/other, /usr/bin/demo]}",
        "{user: [ann, bob, 1000]}",
        "{group: [adm, staff]}",
        '{unit: ["demo@1.service", gone.service, user.slice]}',
    )
    text = "---\n".join(head.format(at, each) for at, each in enumerate(subjects))
    assert told(tree, text, machine) == [
        ("G352", "this host has no program '/usr/bin/other'"),
        ("G352", "this host has no user 'bob'"),
        ("G352", "this host has no group 'staff'"),
        ("G352", "this host has no unit 'gone.service'"),
    ]


def test_a_link_as_subject_is_told_where_its_end_is_not_named(tree: Path) -> None:
    head = "version: 1\nname: p\nmode: audit\nkernel: {deny: [bpf]}\n"
    assert told(tree, f"{head}subject: {{exe: /bin/demo}}\n") == [
        ("G350", "'/bin' is a symbolic link here: '/bin/demo' leads to '/usr/bin/demo'")
    ]


def test_further_names_of_a_file_are_told_unless_the_rule_knows_them_all(tree: Path) -> None:
    os.link(tree / "etc/shadow", tree / "etc/shadow.old")
    assert rules(tree, "deny: read, path: /etc/shadow") == [
        ("G354", "the file '/etc/shadow' has 2 names on this host, and this rule knows 1")
    ]
    assert rules(tree, 'deny: read, path: "/etc/shadow{,.old}"') == []
    assert told(tree, with_rules("- {allow: read, path: /etc/shadow}", "deny")) == []


def test_links_in_a_circle_and_out_of_the_tree_come_to_an_end(tree: Path) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    (tree / "up").symlink_to("../../../../etc/shadow")
    chain = tree / "chain"
    chain.mkdir()
    for at in range(MOST_LINKS + 2):
        (chain / str(at)).symlink_to(str(at + 1))
    machine = Machine(str(tree))
    assert resolve(machine, "/a").real is None
    assert resolve(machine, "/chain/0").real is None
    assert resolve(machine, "/up").real == "/etc/shadow"


def test_what_could_keep_one_waiting_is_neither_opened_nor_looked_into(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tree / "etc/fifo")
    (tree / "net/server").mkdir(parents=True)
    (tree / "proc").mkdir()
    (tree / "far").symlink_to("/net/server/x")
    looked: list[str] = []
    real = os.lstat

    def watched(path: str) -> os.stat_result:
        looked.append(path)
        return real(path)

    monkeypatch.setattr(os, "lstat", watched)
    machine = Machine(str(tree), ("/proc", "/net"))
    found = rules(
        tree,
        "deny: read, path: /etc/fifo",
        "deny: read, path: /net/server/gone",
        "deny: read, path: /proc/1/mem",
        "deny: read, path: /far",
        machine=machine,
    )
    assert found == []
    assert looked and not [path for path in looked if "/net" in path or "/proc" in path]


def test_a_directory_with_too_many_entries_is_let_pass(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_host, "MOST_ENTRIES", 3)
    for at in range(5):
        (tree / "var/log" / str(at)).touch()
    assert rules(tree, 'deny: read, path: "/var/log/*.log"') == []


def test_findings_are_bounded_and_the_rest_is_counted(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_host, "MOST_FINDINGS", 2)
    found = rules(tree, *(f"deny: read, path: /etc/no{at}" for at in range(5)))
    assert [message for _, message in found] == [
        "this host has no path '/etc/no0'",
        "this host has no path '/etc/no1'",
        "3 further findings about this host",
    ]


def test_only_with_host_is_the_machine_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(with_rules(f"- {{deny: read, path: {tmp_path}/gone}}"))
    assert main(["check", str(path)]) == Exit.CLEAN
    capsys.readouterr()
    assert main(["check", "--host", str(path)]) == Exit.FINDINGS
    out = capsys.readouterr().out
    assert out.startswith("warning[G351]: this host has no path '")
    assert main(["check", "--host", "--fail-on", "error", str(path)]) == Exit.CLEAN
