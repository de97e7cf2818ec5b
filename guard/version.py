# SPDX-License-Identifier: Apache-2.0
"""The version of guard, for its packages, records and ``--version``. Knows nothing else."""

VERSION = "0.1.0"
