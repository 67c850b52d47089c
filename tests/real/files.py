"""Real model files: those that packages carry, looked up without importing the packages' code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".real"
"""Where `make real-models` installs the packages of packages.txt."""

SAMPLES = {"onnx": "onnx/backend/test/data/light/*.onnx", "onnxruntime": "onnxruntime/datasets/*.onnx"}
"""Files of packages that regraft needs anyway."""


def wanted() -> dict[str, str]:
    """The packages of packages.txt, with their versions."""
    text = (Path(__file__).parent / "packages.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.M))


def files() -> dict[str, Path]:
    """Every file by name, such as `magika/models/standard_v3_3/model.onnx`."""
    found = {}
    for package, version in wanted().items():
        for distribution in _distributions(package, [str(INSTALLED)]):
            if distribution.version == version:
                found |= dict(_models(distribution, "*.onnx"))
    for package, pattern in SAMPLES.items():
        for distribution in _distributions(package, None):
            found |= dict(_models(distribution, pattern))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def missing() -> list[str]:
    """The packages of which no file is here."""
    return [name for name, version in wanted().items() if not _is_here(name, version)]


def _is_here(package: str, version: str) -> bool:
    return any(found.version == version for found in _distributions(package, [str(INSTALLED)]))


def _distributions(package: str, path: list[str] | None) -> Iterator[Distribution]:
    """The installed packages of this name; in all of Python's places if `path` is None."""
    return iter(distributions(name=package) if path is None else distributions(name=package, path=path))


def _models(distribution: Distribution, pattern: str) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        if file.match(pattern):
            yield str(file), Path(str(file.locate()))
