# SPDX-License-Identifier: Apache-2.0
"""A system under a policy for the host that allows everything does what it does without:
packages are installed and removed, C is compiled and run, Python's own tests end alike.

Small by default; GUARD_STRESS=1 (make stress) runs more of Python's tests.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.harness import Enforcer, policy

pytestmark = [pytest.mark.kernel, pytest.mark.long]

FULL = os.environ.get("GUARD_STRESS") == "1"
ROOT = Path(__file__).parents[2]
# Those about files, processes, sockets and memory that are quick.
MODULES = ("test_stat", "test_fcntl", "test_mmap")
MORE = ("test_posix", "test_os", "test_select", "test_socketpair", "test_pathlib", "test_tempfile")

# A rule in each section, so that every hook is attached and every table has something in it.
EVERYTHING_ALLOWED = """\
version: 1
name: stock
mode: enforce
subject: {host: true}
file: {default: allow, rules: [{deny: [read, write], path: /none/such/file}]}
exec: {default: allow, rules: [{deny: [exec, map], path: /none/such/program}]}
net: {default: allow, rules: [{deny: connect, proto: tcp, to: 192.0.2.1, port: 9}]}
kernel: {default: allow, rules: [{deny: kexec}]}
"""


def ran(*command: str | Path, cwd: Path | None = None, where: str = "") -> str:
    """A command's output and how it ended, ``where`` and times left out."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"},
    )
    output = done.stdout.replace(where, "HERE") if where else done.stdout
    return f"{output}\nended with {done.returncode}"


def package(at: Path) -> str:
    """Build a package with a script of each kind, install it, look, remove it."""
    root = at / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: guard-stock-test\nVersion: 1\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
    )
    for script in ("preinst", "postinst", "prerm", "postrm"):
        path = root / "DEBIAN" / script
        path.write_text(f"#!/bin/sh\nset -e\necho {script} $1\ntouch /tmp/guard-stock-{script}\n")
        path.chmod(0o755)
    (root / "usr" / "share" / "guard-stock").mkdir(parents=True)
    for number in range(20):
        (root / "usr" / "share" / "guard-stock" / f"file-{number}").write_text("x" * number)
    os.symlink("file-1", root / "usr" / "share" / "guard-stock" / "link")
    deb = at / "test.deb"
    told = [
        ran("dpkg-deb", "--root-owner-group", "--build", root, deb, where=str(at)),
        ran("dpkg", "--force-unsafe-io", "-i", deb, where=str(at)),
        ran("dpkg", "-L", "guard-stock-test"),
        ran("dpkg", "-V", "guard-stock-test"),
        ran("dpkg", "-P", "guard-stock-test"),
        ran("ls", "/usr/share/guard-stock"),
    ]
    # dpkg shows paths shortened, and how many files there are on the host.
    return re.sub(r"\d+ files and|\.\.\./\S+", "SO MANY", "\n".join(told))


def compiled(at: Path) -> str:
    """Compile, link, archive and run a few programs."""
    shutil.copytree(ROOT / "tests" / "kernel" / "lab", at / "lab")
    (at / "lab" / "Makefile").write_text(
        "all: attempts openers\n%: %.c\n\tcc -O2 -g -pthread -o $@ $<\n"
    )
    told = [
        ran("make", "-j2", cwd=at / "lab", where=str(at)),
        ran(at / "lab" / "openers", where=str(at)),
        ran("strip", at / "lab" / "openers"),
        ran("ldd", "/bin/true"),
    ]
    return re.sub(r"0x[0-9a-f]+", "ADDRESS", "\n".join(told))


def pythons_tests(at: Path) -> str:
    """What became of each of Python's tests: its name and its outcome, in order of names."""
    python = Path(sys.base_prefix) / "bin" / "python3"
    if importlib.util.find_spec("test.libregrtest") is None:
        pytest.fail("this Python is without its own tests (Debian: libpython3-testsuite)")
    modules = (*MODULES, *MORE) if FULL else MODULES
    output = ran(python, "-m", "test", "-v", "--tempdir", at, *modules)
    found = re.findall(
        r"^(\w+ \([\w.]+\)).*? \.\.\. (?:.*\n)??.*?(ok|skipped|FAIL|ERROR)", output, re.MULTILINE
    )
    ended = output.rpartition("ended with ")[2]
    assert len(found) > 50, output[-2000:]
    return "\n".join(sorted(f"{name} {outcome}" for name, outcome in found)) + f"\n{ended}"


JOBS: dict[str, Callable[[Path], str]] = {
    "a package": package,
    "a compilation": compiled,
    "Python's tests": pythons_tests,
}


@pytest.mark.parametrize("job", JOBS)
def test_a_host_that_is_allowed_everything_does_what_it_did(
    job: str, tmp_path: Path, enforcer: Enforcer
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "under").mkdir()
    enforcer.enforce(policy())
    without = JOBS[job](tmp_path / "without")
    enforcer.drain()
    enforcer.enforce(EVERYTHING_ALLOWED)
    try:
        under = JOBS[job](tmp_path / "under")
        records = enforcer.drain()
    finally:
        enforcer.enforce(policy())
    assert under.splitlines() == without.splitlines()
    assert [one for one in records if one["verdict"] != "allowed"] == []
