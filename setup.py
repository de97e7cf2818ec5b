# SPDX-License-Identifier: Apache-2.0
"""Builds the BPF objects and the C formatter before the Python files are collected.

Everything else about the package is in pyproject.toml.
"""

import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py


class BuildWithObjects(build_py):
    """``build_py`` that compiles ``lsm/`` to ``guard/objects/`` first."""

    def run(self) -> None:
        """Compile, then collect: the objects are package data."""
        top = Path(__file__).parent
        subprocess.run(["make", "--silent", "objects"], cwd=top, check=True)
        # Without a compiler the wheel goes without it, and Python does its work.
        subprocess.run(["make", "--silent", "formatter"], cwd=top, check=False)
        super().run()


class ForOneMachine(Distribution):
    """What is built holds machine code."""

    def has_ext_modules(self) -> bool:
        """Whether it does."""
        return True


class AnyPython(bdist_wheel):
    """A wheel for one kind of machine and any Python: nothing in it is linked with Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI and platform in the wheel's name."""
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithObjects, "bdist_wheel": AnyPython}, distclass=ForOneMachine)
