# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - the messages stand as they are shown
"""A new user writes the nginx policy and breaks it: each message tells how to mend it.

Written with nothing at hand but the README and `guard check --help`. The messages are
asserted in full, because they are what the user has.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli.exits import Exit
from guard.cli.main import main

POLICY = """\
version: 1
name: nginx
mode: enforce
subject:
  exe: /usr/sbin/nginx
  inherit: true
file:
  default: deny
  rules:
    - allow: [read, list]
      path: ["/usr/lib{,64}/**", "/etc/nginx{,/**}", "/usr/share/nginx/**"]
    - id: key
      allow: read
      path: /etc/ssl/private/site.key
    - allow: [append, create]
      path: /var/log/nginx/*.log
exec:
  default: deny
  rules:
    - {allow: exec, path: /usr/sbin/nginx}
    - {allow: map, path: "/usr/lib{,64}/**"}
net:
  default: deny
  rules:
    - allow: [bind, listen, accept]
      proto: tcp
      port: [80, 443]
kernel:
  deny: [ptrace, mount, module, bpf, userns]
tests:
  - {do: read /etc/nginx/nginx.conf, expect: allow}
  - {do: read /etc/shadow, expect: deny}
"""

MISTAKES = {
    "a verb of another system": (
        "[read, list]",
        "[read, open]",
        """\
error[G101]: 'open' is not a verb of the file section
  --> web.yaml:10:21
   |
10 |     - allow: [read, open]
   |                     ^^^^ unknown verb
   = help: 'open' is written [read]

1 error in 1 file
""",
    ),
    "a column too little": (
        "      proto: tcp\n",
        "     proto: tcp\n",
        """\
error[G005]: expected a further '- ' entry or less indentation
  --> web.yaml:26:6
   |
25 |     - allow: [bind, listen, accept]
   |     - this began here
26 |      proto: tcp
   |      ^
   = help: entries of one list start in the same column

1 error in 1 file
""",
    ),
    "a list without brackets": (
        "port: [80, 443]",
        "port: 80,443",
        """\
error[G114]: '80,443' is no port: ports are numbers from 0 to 65535
  --> web.yaml:27:13
   |
27 |       port: 80,443
   |             ^^^^^^
   = help: several are a list: [80, 443]

1 error in 1 file
""",
    ),
    "a program by its short name": (
        "exe: /usr/sbin/nginx",
        "exe: nginx",
        """\
error[G201]: a pattern starts with '/'
 --> web.yaml:5:8
  |
5 |   exe: nginx
  |        ^
  = help: write the whole path; /**/nginx is any of that name, wherever it is

1 error in 1 file
""",
    ),
    "a directory with a slash at its end": (
        '"/usr/share/nginx/**"',
        "/usr/share/nginx/",
        """\
error[G202]: a path never ends with '/'
  --> web.yaml:11:70
   |
11 |       path: ["/usr/lib{,64}/**", "/etc/nginx{,/**}", /usr/share/nginx/]
   |                                                                      ^
   = help: write the directory without it, or /** for everything below

1 error in 1 file
""",
    ),
    "the program itself forgotten": (
        "    - {allow: exec, path: /usr/sbin/nginx}\n",
        "",
        """\
warning[G340]: the program '/usr/sbin/nginx' cannot be started: its start is judged by its own policy, which denies it
  --> web.yaml:18:3
   |
 5 |   exe: /usr/sbin/nginx
   |   -------------------- for the programs of this subject
...
18 |   default: deny
   |   ^^^^^^^^^^^^^ denies exec '/usr/sbin/nginx'
   = help: allow it in the exec section: {allow: exec, path: /usr/sbin/nginx}

1 warning in 1 file
""",
    ),
    "no default": (
        "file:\n  default: deny\n",
        "file:\n",
        """\
error[G102]: this file section has no 'default'
 --> web.yaml:7:1
  |
7 | file:
  | ^^^^ 'default' is missing
  = help: for example default: deny

1 error in 1 file
""",
    ),
    "an action as other tools have it": (
        "    - id: key\n      allow: read\n",
        "    - id: key\n      action: allow\n",
        """\
error[G100]: a rule has no key 'action'
  --> web.yaml:13:7
   |
13 |       action: allow
   |       ^^^^^^ unknown key
   = help: the effect is itself the key: allow: read, or deny: read

1 error in 1 file
""",
    ),
    "a key without its colon": (
        "  inherit: true",
        "  inherit true",
        """\
error[G005]: a key without its ':'
 --> web.yaml:6:3
  |
6 |   inherit true
  |   ^^^^^^^^^^^^
  = help: a key ends in ': ' and its value follows; longer text goes into quotes

1 error in 1 file
""",
    ),
    "a home by its short name": (
        "/etc/ssl/private/site.key",
        "~/site.key",
        """\
error[G201]: a pattern starts with '/'
  --> web.yaml:14:13
   |
14 |       path: ~/site.key
   |             ^
   = help: '~' has no meaning here; /home/*/x is x in every directory below /home

1 error in 1 file
""",
    ),
    "a pattern that takes in more": (
        '"/usr/share/nginx/**"',
        '"/usr/share/nginx**"',
        """\
warning[G310]: '/usr/share/nginx**' also matches below every other name that begins so, such as '/usr/share/nginx-other/file'
  --> web.yaml:11:54
   |
11 |       path: ["/usr/lib{,64}/**", "/etc/nginx{,/**}", "/usr/share/nginx**"]
   |                                                      ^^^^^^^^^^^^^^^^^^^^
   = help: for all below a directory write /usr/share/nginx/**; with the directory itself, /usr/share/nginx{,/**}

1 warning in 1 file
""",
    ),
    "two subjects": (
        "  inherit: true",
        "  user: www-data",
        """\
error[G107]: a subject has exe, unit, cgroup, user, group or host, not several
 --> web.yaml:6:3
  |
5 |   exe: /usr/sbin/nginx
  |   --- one of them here
6 |   user: www-data
  |   ^^^^ and here the other

1 error in 1 file
""",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_policy_itself_is_clean_and_its_tests_hold(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "web.yaml").write_text(POLICY)
    assert main(["check", "web.yaml"]) == Exit.CLEAN
    assert capsys.readouterr() == ("1 policy, 7 rules: no findings\n", "")
    assert main(["test", "web.yaml"]) == Exit.CLEAN


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_once_with_what_to_write(
    mistake: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong, told = MISTAKES[mistake]
    assert right in POLICY
    (here / "web.yaml").write_text(POLICY.replace(right, wrong, 1))
    assert main(["check", "web.yaml"]) == Exit.FINDINGS
    assert capsys.readouterr() == (told, "")
