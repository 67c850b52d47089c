"""Runs what a handoff bundle carries, as its user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import regraft
from regraft.targeting.compile import BuiltBundle
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.target import read_target
from regraft.verification.inputs import Given

FAKES = Path(__file__).parent / "fakes"


def handed_over(model: Path, target: str, folder: Path, **more: Any) -> BuiltBundle:
    """What becomes of the model at `model`, in `folder`."""
    return build_bundle(regraft.load(model), read_target(target), folder, **more)


def sized(model: Path, **options: str) -> str:
    """The options of a target, in braces, with sizes for the open dimensions of the model at `model`."""
    dims = {dim for tensor in regraft.load(model).inputs for dim in tensor.shape or () if isinstance(dim, str)}
    sizes = {dim: "2" if dim.startswith("b") else "16" for dim in sorted(dims)}
    return "{" + ",".join(f"{name}={value}" for name, value in {**sizes, **options}.items()) + "}"


def shapes(**given: tuple[int, ...]) -> Given:
    """Shapes of the golden inputs."""
    return Given(shapes=given)


def call(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` of the bundle in another folder than its own; without fakes nothing of a compiler is there."""
    known = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, str(folder / script), *arguments],
        env={**known, **environment},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
