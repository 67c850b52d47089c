"""Where a compiler is installed: a Python of its own, or ours."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from regraft.errors import TargetError

COMPILERS = "REGRAFT_COMPILERS"
"""The variable that names the folder of environments, one a compiler; `.compilers` where it is not set."""


def find_python(name: str, package: str, install: str, given: Path | None = None) -> Path:
    """The interpreter of the environment that has a compiler.

    `given`, else the environment `name` among those of `REGRAFT_COMPILERS`, else our own, if `package` is installed.

    Raises:
        TargetError: there is none.
    """
    if given is not None:
        return _python(given, f"--compiler-env {given}")
    folder = _folder(name)
    if folder.exists():
        return _python(folder, str(folder))
    if is_installed(package):
        return Path(sys.executable)
    raise TargetError(f"{package} is not installed here, and there is no environment {folder}: {install}")


def describe(name: str, package: str) -> str:
    """Where a compiler is, in a few words, without a look inside its environment."""
    folder = _folder(name)
    if folder.exists():
        return f"in {folder}"
    return f"here: {package} {version(package)}" if is_installed(package) else "not installed"


def _folder(name: str) -> Path:
    return Path(os.environ.get(COMPILERS) or ".compilers", name)


def is_installed(package: str) -> bool:
    """Whether the Python that runs regraft has a distribution."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _python(place: Path, what: str) -> Path:
    """The interpreter at `place`: the file, or of a virtual environment."""
    python = place if place.is_file() else place / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise TargetError(f"{what}: there is no interpreter {python}; name a virtual environment or its Python")
    return python.absolute()
