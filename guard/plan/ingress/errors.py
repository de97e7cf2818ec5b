# SPDX-License-Identifier: Apache-2.0
"""Why an ingress section cannot become tables."""

from __future__ import annotations

from guard.errors import GuardError


class IngressError(GuardError):
    """A section that the filter cannot enforce exactly, so it is refused as a whole."""
