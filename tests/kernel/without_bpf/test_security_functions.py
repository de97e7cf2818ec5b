# SPDX-License-Identifier: Apache-2.0
"""A kernel that was booted without bpf among its LSMs: guard enforces by the kernel's
security functions where nothing can pass them by, and elsewhere only if told to.

Collected only in such a boot, and then alone (see the suite's conftest). The
boot's preempt= decides which half of the tests applies.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guard.kernel.attachment import read_preemptible
from tests.kernel.command import GUARD, guard, policy_file
from tests.kernel.harness import literal, policy, rule

pytestmark = pytest.mark.kernel

PREEMPTIBLE = read_preemptible(os.uname().version)
REMEDY = "add bpf to the lsm= list of the kernel command line and boot again"


def accepting() -> list[str]:
    """What `guard run` needs to be told on this kernel."""
    return ["--allow-degraded"] if PREEMPTIBLE else []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file, and a neighbour beside it."""
    for name in ("secret", "other"):
        (tmp_path / name).write_text(name)
    return tmp_path / "secret"


def test_bpf_is_not_among_the_kernels_lsms() -> None:
    assert "bpf" not in Path("/sys/kernel/security/lsm").read_text().split(",")
    assert GUARD.exists()


def run_under(text: str, tmp_path: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command under a policy."""
    file = policy_file(tmp_path, text)
    return guard("run", *accepting(), file, "--", *map(str, command))


def test_a_denied_file_is_not_opened(secret: Path, tmp_path: Path) -> None:
    deny = policy(rule("deny", "read", literal(secret)))
    denied = run_under(deny, tmp_path, "cat", secret)
    assert denied.returncode == 1
    assert "Permission denied" in denied.stderr
    records = [json.loads(line) for line in denied.stdout.splitlines()]
    (record,) = [
        one
        for one in records
        if one["event"] == "file.open" and one["verdict"] == "denied" and one["reason"] == "policy"
    ]
    assert (record["object"]["path"], record["rule"]["id"]) == (str(secret), "it")
    beside = run_under(deny, tmp_path, "cat", secret.parent / "other")
    assert beside.returncode == 0
    watched = run_under(
        policy(rule("deny", "read", literal(secret)), mode="audit"), tmp_path, "cat", secret
    )
    assert watched.returncode == 0
    assert '"verdict":"would-deny"' in watched.stdout


def test_an_operation_on_the_kernel_is_denied(tmp_path: Path) -> None:
    text = policy().split("file:")[0] + "kernel: {deny: [userns]}\n"
    denied = run_under(text, tmp_path, "unshare", "-U", "true")
    assert denied.returncode != 0
    assert '"event":"kernel.userns"' in denied.stdout
    free = run_under(text.replace("userns", "reboot"), tmp_path, "unshare", "-U", "true")
    assert free.returncode == 0


# Tries one thing of each kind and says how each ended: errno, or 0.
TRIES = """
import errno, json, os, socket, sys
tool = sys.argv[1]
def of(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return 0
def udp(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(json.dumps({
    "connect": of(lambda: udp().connect(("127.0.0.1", 9))),
    "connect beside": of(lambda: udp().connect(("127.0.0.1", 10))),
    "bind": of(lambda: udp().bind(("127.0.0.1", 7777))),
    "bind beside": of(lambda: udp().bind(("127.0.0.1", 7778))),
    "send": of(lambda: udp().sendto(b"x", ("127.0.0.1", 11))),
    "send beside": of(lambda: udp().sendto(b"x", ("127.0.0.1", 12))),
    "raw": of(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "create": of(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)),
    "exec": of(lambda: os.execv(tool, [tool])),
    "chroot": of(lambda: os.chroot("/")),
}), file=sys.stderr)
os.execv(tool + "-beside", [tool])
"""

EVERY_SECTION = """\
version: 1
name: p
mode: enforce
subject: {{exe: /none/such, inherit: true}}
exec: {{default: allow, rules: [{{id: e, deny: exec, path: "{tool}"}}]}}
net:
  default: allow
  rules:
    - {{id: c, deny: connect, proto: udp, to: 127.0.0.1, port: 9}}
    - {{id: b, deny: bind, proto: udp, port: 7777}}
    - {{id: s, deny: send, proto: udp, port: 11}}
    - {{id: l, deny: create, family: netlink}}
kernel: {{deny: [chroot]}}
"""


def test_sockets_programs_and_the_kernel_are_judged_by_security_functions_too(
    tmp_path: Path,
) -> None:
    tool = tmp_path / "tool"
    for path in (tool, Path(f"{tool}-beside")):
        shutil.copy("/bin/true", path)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    text = EVERY_SECTION.format(tool=tool)
    denied = run_under(text, tmp_path, sys.executable, "-c", TRIES, tool)
    assert denied.returncode == 0, denied.stderr
    (told,) = [json.loads(line) for line in denied.stderr.splitlines() if line[:1] == "{"]
    refused = {what: error for what, error in told.items() if error}
    assert refused == {
        "connect": "EACCES",
        "bind": "EACCES",
        "send": "EACCES",
        "create": "EACCES",
        "exec": "EACCES",
        "chroot": "EPERM",
    }
    verdicts = {
        (one["event"], one["rule"]["id"])
        for one in map(json.loads, denied.stdout.splitlines())
        if one.get("verdict") == "denied" and one["reason"] == "policy"
    }
    assert {rule for _, rule in verdicts} >= {"e", "c", "b", "s", "l"}


def test_the_status_says_how_programs_are_attached_and_what_that_is_worth(tmp_path: Path) -> None:
    file = policy_file(tmp_path, policy(rule("deny", "read", "/none"), subject="{host: true}"))
    with subprocess.Popen(
        [GUARD, "run", *accepting(), file],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stderr is not None
        assert "guard: enforcing 1 policy" in running.stderr.readline()
        status = json.loads(guard("status", "--json").stdout)
        running.terminate()
    (instance,) = status["instances"]
    assert instance["attachment"] == "fmod_ret"
    assert instance["state"] == ("degraded" if PREEMPTIBLE else "enforcing")
    assert all(hook["canary"] == "caught" for hook in instance["hooks"])


def test_the_doctor_says_which_it_is() -> None:
    ended = guard("doctor")
    assert ended.returncode == (3 if PREEMPTIBLE else 0)
    assert "security functions are used instead" in ended.stdout
    assert (REMEDY in ended.stdout) == PREEMPTIBLE


def test_where_calls_can_pass_by_enforcing_is_refused_unless_it_is_accepted(tmp_path: Path) -> None:
    file = policy_file(tmp_path, policy(rule("deny", "read", "/none")))
    ended = guard("run", file, "--", "/bin/true")
    if not PREEMPTIBLE:
        assert ended.returncode == 0
        return
    assert ended.returncode == 3
    assert ended.stderr.splitlines() == [
        (
            "guard: bpf is not among this kernel's LSMs, and on a kernel that preempts itself"
            " (preempt=full or lazy) programs on its security functions can be passed by"
        ),
        f"  remedy: {REMEDY}; or boot with preempt=voluntary; or accept it with --allow-degraded",
    ]
    assert ended.stdout == ""
    assert not Path("/sys/fs/bpf/guard").exists() or not any(Path("/sys/fs/bpf/guard").iterdir())
