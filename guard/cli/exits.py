# SPDX-License-Identifier: Apache-2.0
"""What guard's exit codes mean, the same for every command."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """A command's exit status. `guard run -- COMMAND` passes on the command's own."""

    CLEAN = 0
    """Done, and nothing to say against it."""

    FINDINGS = 1
    """A policy has findings, or was refused."""

    USAGE = 2
    """The command line makes no sense; also what argparse gives."""

    UNABLE = 3
    """The job could not be done: unreadable input, or this host cannot."""

    NO_DAEMON = 4
    """The daemon cannot be reached."""

    INTERRUPTED = 130
    """Stopped from the keyboard: 128 + SIGINT."""

    BUG = 70
    """A mistake in guard itself: EX_SOFTWARE of sysexits.h."""
