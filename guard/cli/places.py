# SPDX-License-Identifier: Apache-2.0
"""Names of files as programs on a code forge want them: relative to the checkout.

Works on names alone: no file is looked at, and names need not exist.
"""

from __future__ import annotations

import os
from urllib.parse import quote


def checkout() -> str:
    """The directory that names are relative to: GitHub's checkout, or the current one."""
    return os.environ.get("GITHUB_WORKSPACE") or os.getcwd()


def relative(file: str, top: str) -> str:
    """``file`` relative to ``top`` where it lies below, else absolute.

    What is no file, such as ``<stdin>``, comes back as it is.
    """
    if file.startswith("<"):
        return file
    name = os.path.abspath(file)
    root = os.path.abspath(top)
    prefix = root if root.endswith("/") else root + "/"
    return name.removeprefix(prefix)


def uri(file: str, top: str) -> str:
    """The same as a URI reference, RFC 3986: relative, or ``file://`` and absolute."""
    name = relative(file, top)
    return ("file://" if name.startswith("/") else "") + quote(name)
