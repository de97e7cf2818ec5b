# SPDX-License-Identifier: Apache-2.0
"""What an AppArmor glob matches, from apparmor.d(5) and its parser's rule expressions.

One regular expression for the whole glob, made from its text from left to
right. Shares nothing with guard.convert.
"""

from __future__ import annotations

import functools
import re


@functools.lru_cache(maxsize=4096)
def regex(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression over AppArmor's paths: directories end with '/'."""
    # Slashes side by side are one, but for exactly two at the beginning.
    two = re.match("//(?!/)", glob) is not None
    glob = "/" * two + re.sub("/+", "/", glob[two:])
    out = ""
    at = depth = 0
    while at < len(glob):
        char = glob[at]
        if char == "*":
            end = at
            while glob[end : end + 1] == "*":
                end += 1
            if out.endswith("/") and glob[end : end + 1] in ("", "/"):
                out += "[^/]"
            out += ".*" if end - at > 1 else "[^/]*"
            at = end
            continue
        if char == "[":
            end = glob.index("]", at)
            out += glob[at : end + 1]
            at = end + 1
            continue
        if char == "\\":
            at += 1
            out += re.escape(glob[at])
        elif char == "?":
            out += "[^/]"
        elif char in "{}":
            depth += 1 if char == "{" else -1
            out += "(?:" if char == "{" else ")"
        elif char == "," and depth:
            out += "|"
        else:
            out += re.escape(char)
        at += 1
    return re.compile(out, re.DOTALL)


def matches(glob: str, path: str, directory: bool) -> bool:
    """Whether a glob matches a file or a directory of this path, written without a slash."""
    return regex(glob).fullmatch(path + "/" if directory and path != "/" else path) is not None
