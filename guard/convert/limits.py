# SPDX-License-Identifier: Apache-2.0
"""How much a source may cost to convert: every number with its reason."""

from __future__ import annotations

from guard.policy import limits

SOURCE_SIZE = limits.FILE_SIZE
"""Bytes of one source, and of all that it includes together: what a policy may have."""

BLOCKS = 16
"""Blocks in blocks of a profile. AppArmor has profiles in profiles, and conditions, three deep."""

INCLUDES = 512
"""Files that one profile includes; the largest of Debian's has about forty."""

INCLUDE_DEPTH = 16
"""Includes in includes. Reading recurses on this."""

STATEMENTS = 100_000
"""Statements of a source with all that it includes."""

ALTERNATIVES = limits.ALTERNATIVES_PER_PATTERN
"""What the variables and braces of one path may stand for: as many as one pattern of guard's."""

ALTERNATIVES_IN_ALL = 16_384
"""The same for all paths of a source, so that many large ones take seconds."""

REFUSED = 128
"""Alternatives that a path counts for that is refused: finding out has a cost too."""

EXPANDED = 131_072
"""Characters of all alternatives of one path: a thousand of the usual length."""

PATH_LENGTH = limits.PATTERN_LENGTH
"""Characters of one path, its variables filled in: PATH_MAX."""

BRACE_DEPTH = limits.BRACE_DEPTH
"""Braces in braces. Expansion recurses on this."""

SHOWN = 100
"""Characters of a source's line in a comment or a report; more is cut."""
