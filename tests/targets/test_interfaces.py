"""Inputs and outputs reach every compiler as they are: scalars without axes, names with dots and slashes."""

from __future__ import annotations

from pathlib import Path

import onnx.parser
import pytest

from regraft.files.convert import from_proto
from regraft.ir.model import Model
from tests.acceptance.cells import COMPILERS
from tests.shares import diagonal
from tests.targets.compiling import compile, needs

SCALARS = (
    "(float[2] x, float s, int64 n) => (float[2] y, float z, int64 m) { y = Mul(x, s) z = Mul(s, s) m = Add(n, n) }"
)


def model(text: str) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]> g {text}'))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_scalars_stay_scalars(compiler: str, tmp_path: Path) -> None:
    needs(compiler)
    outputs = compile(compiler, model(SCALARS), tmp_path / "bundle")["drift"]["outputs"]
    assert len(outputs) == 3


@pytest.mark.parametrize(("name", "compiler"), diagonal(3, ["x.1", "onnx::x/0", "1"], COMPILERS))
def test_names_that_are_no_identifiers(compiler: str, name: str, tmp_path: Path) -> None:
    needs(compiler)
    named = model("(float[2] x, float[2] w) => (float[2] y) { y = Sub(x, w) }")
    named.graph.inputs[0].name, named.graph.outputs[0].name = name, f"{name}.y"
    assert compile(compiler, named, tmp_path / "bundle")["drift"]["passed"]
