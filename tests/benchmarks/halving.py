"""Who converts a model to float16: each is one function from file to file.

`python -m tests.benchmarks.halving NAME SOURCE TARGET` runs one. Libraries are imported by the function that needs
them, so that a process holds only what it measures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple


def regraft_full(source: str, target: str) -> None:
    _regraft(source, target, "convert-fp16")


def regraft_attention(source: str, target: str) -> None:
    _regraft(source, target, "convert-fp16{mode=attention}")


def regraft_matmul(source: str, target: str) -> None:
    _regraft(source, target, "convert-fp16{mode=matmul}")


def _regraft(source: str, target: str, pipeline: str) -> None:
    import regraft
    from regraft.pipelines import manager

    model = regraft.load(source)
    manager.run(model, pipeline)
    regraft.save(model, target)


def onnxconverter_common(source: str, target: str) -> None:
    import onnx
    from onnxconverter_common import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def onnxruntime(source: str, target: str) -> None:
    import onnx
    from onnxruntime.transformers import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


class Converter(NamedTuple):
    """A name for the table, the package that must be installed, and the work."""

    name: str
    package: str
    work: Callable[[str, str], None]

    def command(self, source: str, target: str) -> list[str]:
        """The command that does the work in a process of its own."""
        return [sys.executable, "-m", "tests.benchmarks.halving", self.work.__name__, source, target]

    def title(self) -> str:
        """The name and the installed version."""
        return f"{self.name} ({metadata.version(self.package)})"

    def is_there(self) -> bool:
        """Whether its package is installed."""
        try:
            return bool(metadata.version(self.package))
        except metadata.PackageNotFoundError:
            return False


CONVERTERS = (
    Converter("onnxconverter-common: float16", "onnxconverter-common", onnxconverter_common),
    Converter("ONNX Runtime: transformers.float16", "onnxruntime", onnxruntime),
    Converter("regraft: convert-fp16", "regraft", regraft_full),
    Converter("regraft: mode=attention", "regraft", regraft_attention),
    Converter("regraft: mode=matmul", "regraft", regraft_matmul),
)


if __name__ == "__main__":
    _, wanted, *files = sys.argv
    next(c for c in CONVERTERS if c.work.__name__ == wanted).work(*files)
