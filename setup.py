# SPDX-License-Identifier: Apache-2.0
"""Builds the BPF objects before the Python files are collected.

Everything else about the package is in pyproject.toml.
"""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithObjects(build_py):
    """``build_py`` that compiles ``lsm/`` to ``guard/objects/`` first."""

    def run(self) -> None:
        """Compile, then collect: the objects are package data."""
        subprocess.run(["make", "--silent", "objects"], cwd=Path(__file__).parent, check=True)
        super().run()


setup(cmdclass={"build_py": BuildWithObjects})
