"""Running the command line in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regraft.cli import cli

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "pytorch"

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run `regraft` with arguments; the result has the exit code, stdout and stderr."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def model() -> Path:
    """A small BERT with its Gelu written out."""
    return ARTIFACTS / "transformers-4.25.1-bert-qa" / "model.onnx"


@pytest.fixture
def rewritten(run: Run, model: Path, tmp_path: Path) -> Path:
    """`model` with its Gelu fused."""
    path = tmp_path / "rewritten.onnx"
    assert run("rewrite", model, "-o", path, "--pipeline", "fuse-gelu").exit_code == 0
    return path
