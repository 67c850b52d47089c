"""Who converts a model to float16: each is one function from file to file.

`python -m tests.benchmarks.halving NAME SOURCE TARGET` runs one. Libraries are imported by the function that needs
them, so that a process holds only what it measures.
"""

from __future__ import annotations

import sys

from tests.benchmarks.contestants import Contestant


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


CONVERTERS = (
    Contestant("onnxconverter-common: float16", "onnxconverter-common", onnxconverter_common),
    Contestant("ONNX Runtime: transformers.float16", "onnxruntime", onnxruntime),
    Contestant("regraft: convert-fp16", "regraft", regraft_full),
    Contestant("regraft: mode=attention", "regraft", regraft_attention),
    Contestant("regraft: mode=matmul", "regraft", regraft_matmul),
)


if __name__ == "__main__":
    _, wanted, *files = sys.argv
    next(c for c in CONVERTERS if c.work.__name__ == wanted).work(*files)
