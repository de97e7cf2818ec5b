# SPDX-License-Identifier: Apache-2.0
"""What executables may hold where subjects have sha256: the kernel's list of hashes.

No file is looked at: the kernel hashes what is about to be started.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.plan.errors import PlanError
from guard.policy.model import Policy
from guard.wire.layout import Limit


def contents(policies: Sequence[Policy]) -> dict[bytes, int]:
    """For each SHA-256, as its 32 bytes, the policies whose subject may hold it, as bits.

    Raises PlanError for more than the kernel's list has room for.
    """
    found: dict[bytes, int] = {}
    for bit, policy in enumerate(policies):
        for each in policy.subject.contents:
            digest = bytes.fromhex(each.text)
            if digest not in found and len(found) == Limit.CONTENTS:
                raise PlanError(
                    f"subjects have more than {Limit.CONTENTS.value} different sha256, and the"
                    " tables hold no more (GUARD_LIMIT_CONTENTS)",
                    each.span,
                    help="drop the hashes of versions that no host runs any more",
                )
            found[digest] = found.get(digest, 0) | 1 << bit
    return found
