# SPDX-License-Identifier: Apache-2.0
"""Which tasks a policy holds for: what makes a label, passes it on and drops it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.kernel import calls
from tests.kernel.harness import (
    DRIVERS,
    Enforcer,
    drive,
    expect,
    literal,
    opened,
    policy,
    prove,
    rule,
)

pytestmark = pytest.mark.kernel

NOBODY = 65534


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file to be protected, its neighbour, and programs beside it."""
    for name in ("secret", "other"):
        (tmp_path / name).write_text("contents")
        (tmp_path / name).chmod(0o644)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    return tmp_path / "secret"


def program(directory: Path, name: str, mode: int = 0o755) -> Path:
    """A copy of the driver that opens its argument, under another name."""
    path = directory / name
    shutil.copy(DRIVERS / "open", path)
    path.chmod(mode)
    return path


def run(path: str | Path, *arguments: str | Path) -> None:
    """Execute a program; for ``attempt``."""
    os.execv(path, [str(path), *map(str, arguments)])  # noqa: S606 - the exec is the test


def denying(secret: Path, subject: str, name: str = "p", mode: str = "enforce") -> str:
    """A policy that denies its subject to read the secret."""
    reading = rule("deny", "read", literal(secret))
    return policy(reading, name=name, mode=mode, subject=subject)


@pytest.mark.parametrize("how", ["fork", "vfork", "thread", "daemon"])
def test_a_child_has_its_parents_label(how: str, secret: Path, enforcer: Enforcer) -> None:
    denied = prove(
        enforcer,
        lambda path: drive("tasks", how, path),
        secret,
        secret.with_name("other"),
        exe=str(DRIVERS / "tasks"),
        comm="tasks",
    )
    process = denied.record["process"]
    assert (process["pid"] == denied.pid) == (how == "thread")
    assert process["tid"] != denied.pid
    if how in ("fork", "vfork"):
        assert process["parent"] == denied.pid


def test_a_thread_that_executes_keeps_the_label(secret: Path, enforcer: Enforcer) -> None:
    denied = prove(
        enforcer,
        lambda path: drive("tasks", "exec-in-thread", DRIVERS / "open", path),
        secret,
        secret.with_name("other"),
        exe=str(DRIVERS / "open"),
        comm="open",
    )
    assert denied.record["process"]["pid"] == denied.pid
    assert denied.record["process"]["tid"] == denied.pid


def test_a_program_is_labelled_by_its_path_at_exec(secret: Path, enforcer: Enforcer) -> None:
    named, beside = program(secret.parent, "named"), program(secret.parent, "beside")
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))
    denied = enforcer.attempt(run, named, secret, label=None)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=secret, pid=denied.pid, exe=str(named), comm="named")
    free = enforcer.attempt(run, beside, secret, label=None)
    assert (free.errno, free.records) == (0, [])
    neighbour = enforcer.attempt(run, named, secret.with_name("other"), label=None)
    assert (neighbour.errno, neighbour.records) == (0, [])
    enforcer.enforce(denying(secret, f"{{exe: {named}}}", mode="audit"))
    watched = enforcer.attempt(run, named, secret, label=None)
    assert watched.errno == 0
    expect(watched.record, path=secret, verdict="would-deny", mode="audit")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("{top}/na*", True),
        ("{top}/**", True),
        ("{top}/{{x,named}}", True),
        ("/**/named", True),
        ("{top}/nam", False),
        ("{top}/named/**", False),
        ("{top}/*/named", False),
    ],
)
def test_a_subject_is_a_glob(pattern: str, matches: bool, secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    enforcer.enforce(denying(secret, f'{{exe: "{pattern.format(top=secret.parent)}"}}'))
    attempt = enforcer.attempt(run, named, secret, label=None)
    assert attempt.errno == (errno.EACCES if matches else 0)


def test_a_subject_may_name_several_programs(secret: Path, enforcer: Enforcer) -> None:
    first, second = program(secret.parent, "first"), program(secret.parent, "second")
    enforcer.enforce(denying(secret, f"{{exe: [{first}, {second}]}}"))
    for one in (first, second):
        assert enforcer.attempt(run, one, secret, label=None).errno == errno.EACCES


@pytest.mark.parametrize("inherit", [True, False])
def test_another_program_has_the_policy_only_if_it_says_inherit(
    inherit: bool, secret: Path, enforcer: Enforcer
) -> None:
    shell = program(secret.parent, "sh")
    shutil.copy("/bin/busybox", shell)
    beside = program(secret.parent, "beside")
    enforcer.enforce(denying(secret, f"{{exe: {shell}, inherit: {str(inherit).lower()}}}"))
    wanted = errno.EACCES if inherit else 0
    # In the same process, and in a child of its own.
    for script in (f"exec {beside} {secret}", f"{beside} {secret}; exit $?"):
        attempt = enforcer.attempt(run, shell, "-c", script, label=None)
        assert attempt.errno == wanted
        assert len(attempt.records) == inherit
    # The program itself is under the policy either way, and what it forks.
    attempt = enforcer.attempt(run, shell, "-c", f"( read x <{secret} )", label=None)
    assert attempt.errno != 0
    expect(attempt.record, path=secret)


def test_a_program_under_the_policy_that_executes_itself_stays_under_it(
    secret: Path, enforcer: Enforcer
) -> None:
    shell = program(secret.parent, "sh")
    shutil.copy("/bin/busybox", shell)
    enforcer.enforce(denying(secret, f"{{exe: {shell}}}"))
    script = f"exec {shell} -c 'read x <{secret}'"
    attempt = enforcer.attempt(run, shell, "-c", script, label=None)
    assert attempt.errno != 0
    expect(attempt.record, path=secret)


@pytest.mark.parametrize("matches", ["script", "interpreter"])
def test_a_script_is_labelled_by_itself_and_by_its_interpreter(
    matches: str, secret: Path, enforcer: Enforcer
) -> None:
    interpreter = program(secret.parent, "interpreter")
    script = secret.parent / "script"
    script.write_text(f"#!{interpreter}\n")
    script.chmod(0o755)
    subject = secret.parent / matches
    # The interpreter opens what the script is: its own first argument.
    enforcer.enforce(policy(rule("deny", "read", literal(script)), subject=f"{{exe: {subject}}}"))
    denied = enforcer.attempt(run, script, label=None)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=script, exe=str(interpreter), comm="script")
    beside = secret.parent / "beside"
    shutil.copy(script, beside)
    enforcer.enforce(policy(rule("deny", "read", literal(beside)), subject=f"{{exe: {subject}}}"))
    attempt = enforcer.attempt(run, beside, label=None)
    assert attempt.errno == (errno.EACCES if matches == "interpreter" else 0)


def test_a_program_is_what_a_symbolic_link_leads_to(secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    link = secret.parent / "link"
    link.symlink_to(named)
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))
    denied = enforcer.attempt(run, link, secret, label=None)
    assert denied.errno == errno.EACCES
    expect(denied.record, path=secret, exe=str(named), comm="link")
    enforcer.enforce(denying(secret, f"{{exe: {link}}}"))
    assert enforcer.attempt(run, named, secret, label=None).errno == 0


def test_the_name_that_a_program_is_given_does_not_matter(secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))

    def as_another() -> None:
        os.execv(named, ["/bin/another", str(secret)])  # noqa: S606 - the exec is the test

    assert enforcer.attempt(as_another, label=None).errno == errno.EACCES


def test_a_program_executed_by_descriptor_is_labelled(secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))

    def by_descriptor() -> None:
        os.execve(os.open(named, os.O_PATH), ["x", str(secret)], {})  # noqa: S606 - as above

    assert enforcer.attempt(by_descriptor, label=None).errno == errno.EACCES


def test_a_program_that_has_no_path_is_under_every_policy_for_programs(
    disk: Path, secret: Path, enforcer: Enforcer
) -> None:
    """Known by its handle alone, it may be any; policies only restrict."""
    named = program(disk, "named")
    handle = calls.handle(named)
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))

    def by_handle(path: Path) -> None:
        fd = calls.open_handle(disk, handle, os.O_PATH)
        os.execve(fd, ["x", str(path)], {})  # noqa: S606 - as above

    for path, wanted in ((secret, errno.EACCES), (secret.with_name("other"), 0)):
        calls.drop_names()
        assert enforcer.attempt(by_handle, path, label=None).errno == wanted


def test_a_setuid_program_keeps_the_label_and_the_record_tells_its_user(
    secret: Path, enforcer: Enforcer
) -> None:
    setuid = program(secret.parent, "setuid", 0o4755)

    def as_nobody(path: Path) -> None:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        run(setuid, path)

    enforcer.enforce(denying(secret, "{exe: /none/such, inherit: true}"))
    denied = enforcer.attempt(as_nobody, secret)
    assert denied.errno == errno.EACCES
    # The real user: who it was that ran a program of another's.
    expect(denied.record, path=secret, exe=str(setuid))
    assert denied.record["process"]["uid"] == NOBODY
    enforcer.enforce(denying(secret, f"{{exe: {setuid}}}"))
    assert enforcer.attempt(as_nobody, secret, label=None).errno == errno.EACCES
    assert enforcer.attempt(as_nobody, secret.with_name("other"), label=None).errno == 0


def test_what_a_failed_exec_adds_ends_with_the_next_exec(secret: Path, enforcer: Enforcer) -> None:
    broken = secret.parent / "broken"
    broken.write_bytes(b"\x7fELF" + bytes(100))
    broken.chmod(0o755)
    enforcer.enforce(denying(secret, f"{{exe: {broken}}}"))

    def try_it() -> None:
        with pytest.raises(OSError, match="Exec format error"):
            os.execv(broken, [str(broken)])  # noqa: S606 - as above
        os.close(os.open(secret.with_name("other"), os.O_RDONLY))
        run(DRIVERS / "open", secret)

    attempt = enforcer.attempt(try_it, label=None)
    assert (attempt.errno, attempt.records) == (0, [])


def test_a_process_that_ran_before_its_policy_is_found(secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    enforcer.enforce(denying(secret, "{exe: /none/such}"))
    runs = [
        enforcer.start(run, one, secret, "wait", label=None)
        for one in (named, program(secret.parent, "beside"))
    ]
    for one in runs:
        one.await_word()
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))
    enforcer.sweep()
    assert [enforcer.label(one.pid) for one in runs] == [1, 0]
    denied = runs[0].finish()
    assert denied.errno == errno.EACCES
    expect(denied.record, path=secret, pid=denied.pid)
    assert runs[1].finish().errno == 0


def test_a_thread_that_ran_before_its_policy_is_found(secret: Path, enforcer: Enforcer) -> None:
    named = secret.parent / "named"
    shutil.copy(DRIVERS / "tasks", named)
    enforcer.enforce(denying(secret, "{exe: /none/such}"))
    started = enforcer.start(run, named, "early-thread", secret, label=None)
    started.await_word()
    enforcer.enforce(denying(secret, f"{{exe: {named}}}"))
    enforcer.sweep()
    denied = started.finish()
    assert denied.errno == errno.EACCES
    assert denied.record["process"]["tid"] != denied.pid
    expect(denied.record, path=secret, pid=denied.pid)


def test_a_policy_for_the_host_holds_for_every_process_but_guard(
    secret: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(denying(secret, "{host: true}"))
    for label in (None, 0):
        denied = enforcer.attempt(opened, secret, label=label)
        assert denied.errno == errno.EACCES
        expect(denied.record, path=secret, pid=denied.pid)
    assert enforcer.attempt(opened, secret.with_name("other"), label=None).errno == 0
    assert enforcer.attempt(drive, "open", secret, label=None).errno == errno.EACCES
    # This process is the one that loaded it.
    opened(secret)
    enforcer.enforce(denying(secret, "{host: true}", mode="audit"))
    watched = enforcer.attempt(opened, secret, label=None)
    assert watched.errno == 0
    expect(watched.record, path=secret, verdict="would-deny", mode="audit")
    enforcer.enforce(denying(secret, "{exe: /none/such}"))
    free = enforcer.attempt(opened, secret, label=None)
    assert (free.errno, free.records) == (0, [])


def test_a_process_that_began_before_a_policy_for_the_host_is_under_it(
    secret: Path, enforcer: Enforcer
) -> None:
    enforcer.enforce(denying(secret, "{exe: /none/such}"))
    started = enforcer.start(drive, "open", secret, "wait", label=None)
    started.await_word()
    enforcer.enforce(denying(secret, "{host: true}"))
    assert started.finish().errno == errno.EACCES


def test_two_policies_name_one_program(secret: Path, enforcer: Enforcer) -> None:
    named = program(secret.parent, "named")
    other = secret.with_name("other")
    enforcer.enforce(
        denying(secret, f"{{exe: {named}}}"), denying(other, f"{{exe: {named}}}", name="q")
    )
    first = enforcer.attempt(run, named, secret, label=None)
    expect(first.record, path=secret)
    second = enforcer.attempt(run, named, other, label=None)
    expect(second.record, path=other, policy="q", file="1.yaml")


def test_an_exec_of_a_denied_program_is_not_the_file_sections_business(
    secret: Path, enforcer: Enforcer
) -> None:
    """Opening for execution belongs to the exec section; reading the program is denied."""
    named = program(secret.parent, "named")
    enforcer.enforce(policy(rule("deny", "read", literal(named))))
    assert enforcer.attempt(run, named, secret).errno == 0
    assert enforcer.attempt(opened, named).errno == errno.EACCES
