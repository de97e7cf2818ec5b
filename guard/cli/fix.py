# SPDX-License-Identifier: Apache-2.0
"""`guard check --fix`: writes the edits that findings are certain of into the files."""

from __future__ import annotations

import sys

from guard.cli.inputs import Inputs
from guard.cli.rewrite import rewrite
from guard.policy.diagnostic import printable
from guard.policy.mend import mend


def fix(inputs: Inputs) -> None:
    """Mend each file, tell on standard error what was mended, and keep the new content.

    A file that cannot be written stays as it is and is told as a problem.
    """
    for at, (name, data) in enumerate(inputs.files):
        mended = mend(name, data, inputs.include)
        if not mended.done:
            continue
        try:
            rewrite(inputs.paths[name], data, mended.data)
        except OSError as error:
            inputs.problems.append(f"cannot write {name!a}: {error.strerror}")
            continue
        inputs.files[at] = (name, mended.data)
        for found in mended.done:
            print(f"fixed {found.span}: {printable(found.message)}", file=sys.stderr)
