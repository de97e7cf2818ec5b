# SPDX-License-Identifier: Apache-2.0
"""`guard convert`: policies of other products as guard's, and every line that is not the same."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Sequence

from guard.cli.exits import Exit
from guard.cli.inputs import STDIN, STDIN_NAME
from guard.convert import limits
from guard.convert.model import Change, Loss, Subject, shown
from guard.convert.sources import FORMATS, Written, convert, guess
from guard.policy.diagnostic import printable

_EPILOG = """\
examples:
  guard convert -I /etc/apparmor.d /etc/apparmor.d/usr.sbin.nscd -o nscd.yaml
  guard convert --subject unit=web.service kubearmor.yaml
  guard convert --from tetragon - <tracing.yaml
Lines that do not carry over exactly go to standard error, and whether the
policies, which go to standard output, are looser or stricter for it.
exit code: 0 all is the same, 1 some lines are not, 2 usage, 3 unreadable"""

_SUBJECTS = ("exe", "unit", "cgroup", "user", "group", "host")
_HEADS = {
    Change.LOOSER: "LOOSER: the source denies or limits what the policies do not",
    Change.EITHER: "looser or stricter: it depends on what guard cannot see",
    Change.STRICTER: "stricter: the policies may deny what the source allows",
    Change.RECORDS: "records: the same is decided, and told otherwise",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `guard convert`."""
    parser.description = "Convert AppArmor profiles, KubeArmor and Tetragon policies."
    parser.epilog = _EPILOG
    parser.add_argument("paths", nargs="+", metavar="FILE", help="the sources, or -")
    parser.add_argument(
        "--from", dest="form", choices=FORMATS, metavar="FORM", help=f"{', '.join(FORMATS)}"
    )
    parser.add_argument("-o", dest="out", metavar="FILE", help="where the policies go")
    parser.add_argument(
        "-I", dest="dirs", action="append", default=[], metavar="DIR", help="AppArmor's includes"
    )
    parser.add_argument("--subject", metavar="KEY=VALUE", help="for what names no program")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="the report's")


def run(arguments: argparse.Namespace) -> int:
    """Convert, write, report, and tell by the exit code."""
    try:
        subject = _subject(arguments.subject)
        files = _sources(arguments.paths, arguments.form)
    except ValueError as error:
        print(f"guard convert: {error}", file=sys.stderr)
        return Exit.USAGE
    except OSError as error:
        print(f"guard: cannot read {str(error.filename)!a}: {error.strerror}", file=sys.stderr)
        return Exit.UNABLE
    written = convert(files, _loader(arguments.dirs), subject)
    if written.text and arguments.out is None:
        sys.stdout.write(written.text)
    elif written.text:
        try:
            with open(arguments.out, "w", encoding="utf-8") as file:
                file.write(written.text)
        except OSError as error:
            print(f"guard: cannot write {arguments.out!a}: {error.strerror}", file=sys.stderr)
            return Exit.UNABLE
    report = _as_json(written) if arguments.format == "json" else _as_text(written)
    print(report, file=sys.stderr)
    return Exit.FINDINGS if written.converted.losses else Exit.CLEAN


def _subject(text: str | None) -> Subject | None:
    """The subject that the command line names. Raises ValueError."""
    if text is None:
        return None
    key, _, value = text.partition("=")
    if key not in _SUBJECTS or not value or (key == "host" and value != "true"):
        raise ValueError("--subject is KEY=VALUE, KEY one of exe, unit, cgroup, user, group, host")
    return key, () if key == "host" else (value,)


def _sources(paths: Sequence[str], form: str | None) -> list[tuple[str, bytes, str]]:
    """Each source's name, content and format. Raises OSError, and ValueError for no format."""
    found = []
    for path in paths:
        if path == STDIN:
            name, data = STDIN_NAME, sys.stdin.buffer.read(limits.SOURCE_SIZE + 1)
        else:
            name = path.encode("utf-8", "backslashreplace").decode()
            data = _content(path)
        known = form or guess(data)
        if known is None:
            raise ValueError(f"what is {name!a}? say --from {', '.join(FORMATS)}")
        found.append((name, data, known))
    return found


def _content(path: str) -> bytes:
    """A regular file's content, up to one byte too many. Raises OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return file.read(limits.SOURCE_SIZE + 1)


def _loader(dirs: Sequence[str]) -> Callable[[str], list[tuple[str, bytes]] | None]:
    """What finds an include below the directories given."""

    def load(name: str) -> list[tuple[str, bytes]] | None:
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            return None
        for directory in dirs:
            path = os.path.join(directory, name)
            try:
                if os.path.isdir(path):
                    inside = sorted(each for each in os.listdir(path) if each[0] != ".")
                    below = [os.path.join(path, each) for each in inside]
                    return [(shown(each), _content(each)) for each in below if os.path.isfile(each)]
                return [(shown(path), _content(path))]
            except OSError:
                continue
        return None

    return load


def _as_text(written: Written) -> str:
    losses = written.converted.losses
    lines: list[str] = []
    for change, head in _HEADS.items():
        some = [loss for loss in losses if loss.change is change]
        if some:
            lines += [f"{head}:", *(line for loss in some for line in _told(loss)), ""]
    return "\n".join([*lines, _sum(written)])


def _told(loss: Loss) -> list[str]:
    left = "" if loss.carried else " (nothing of it is in the policies)"
    return [
        f"  {printable(str(loss.span))}: {shown(loss.text)}",
        f"    {printable(loss.reason)}{left}",
    ]


def _sum(written: Written) -> str:
    losses = written.converted.losses
    number = len(written.converted.policies)
    start = f"{number} {'policy' if number == 1 else 'policies'}"
    if not losses:
        return f"{start}: every line carries over exactly"
    counts = [
        f"{sum(loss.change is change for loss in losses)} {change.value}" for change in Change
    ]
    some = ", ".join(count for count in counts if not count.startswith("0 "))
    return f"{start}; {len(losses)} not exact: {some}. docs/manual/converting.md tells more"


def _as_json(written: Written) -> str:
    made = {
        "format": 1,
        "policies": [policy.name for policy in written.converted.policies],
        "losses": [
            {
                "file": loss.span.file,
                "line": loss.span.line,
                "column": loss.span.column,
                "text": loss.text,
                "reason": loss.reason,
                "change": loss.change.value,
                "carried": loss.carried,
            }
            for loss in written.converted.losses
        ],
    }
    return json.dumps(made, indent=2)
