# SPDX-License-Identifier: Apache-2.0
"""How large a policy may be: every number with its reason.

These bound the time and memory that hostile text can cost. Limits of the
kernel tables are in guard.wire.layout.Limit and come from lsm/wire.h.
"""

from __future__ import annotations

FILE_SIZE = 4 * 1024 * 1024
"""Bytes in one file. Ten thousand rules of 150 bytes are 1.5 MB; reading stays under seconds."""

NESTING = 32
"""Levels of lists and mappings. A policy needs seven; the parser recurses on this."""

DOCUMENTS = 64
"""Policies in one file: as many as a host can have at once."""

PATTERN_LENGTH = 4096
"""Characters in one pattern: PATH_MAX, include/uapi/linux/limits.h."""

ALTERNATIVES_PER_PATTERN = 1024
"""What the braces of one pattern may stand for; more is a list to be written as a list."""

ALTERNATIVES_PER_FILE = 131072
"""The same for all patterns of one file, so that 4 MiB of braces stay bounded."""

BRACE_DEPTH = 16
"""Braces inside braces. Expansion recurses on this."""

DIAGNOSTICS = 200
"""Findings shown for one file; the number of further ones is told."""

CHOICES = 512
"""Names that a misspelt one is compared with; of more, none is suggested. Comparing takes time."""

NAME_LENGTH = 64
"""Characters of a policy's name or a rule's id: they go into every audit record."""

DIGEST_LENGTH = 64
"""Hexadecimal digits of a SHA-256."""

TEXT_LENGTH = 1024
"""Characters of `why`."""

NAMED_ENTRIES = 131072
"""Entries that @names of one file stand for, counted at each use: a list may be used anywhere."""

DEFINITION_DEPTH = 16
"""Definitions that stand for definitions. Resolving them recurses on this."""

INCLUDES = 64
"""Fragments that one policy includes, directly or not; more would hide what it says."""

INCLUDE_DEPTH = 8
"""Fragments that include fragments. Reading recurses on this."""

INCLUDED_SIZE = FILE_SIZE
"""Bytes of all fragments that one file includes: together as much as one file may have."""

TAGS = 16
"""Tags of one rule: they go into every record of it."""

ABSTRACT_LENGTH = 107
"""Bytes of an abstract UNIX socket's name: sun_path without its leading NUL, unix(7)."""
