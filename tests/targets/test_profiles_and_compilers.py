"""Profiles say what compilers say: of operators, of shapes that are computed, of inputs, of old opsets."""

from __future__ import annotations

from pathlib import Path

import onnx.parser
import pytest

from regraft.files.convert import from_proto
from regraft.ir import schema
from regraft.ir.model import Model
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from tests.shares import every
from tests.targets.compiling import compile, needs

BESIDE = {"Constant", "If"}
"""What the frontend handles without a converter."""


def test_the_list_is_that_of_the_converters() -> None:
    frontend = pytest.importorskip("tvm.relax.frontend.onnx.onnx_frontend")
    listed = read_target("tvm").profile.listed
    assert listed is not None
    converted = {*frontend._get_convert_map(), *BESIDE}
    assert set(listed.names) == {n if n in schema.names() else f"com.microsoft::{n}" for n in converted}


def model(dims: str, body: str) -> Model:
    held = "int64[1] m = {-1}, int64[1] z = {0}, int64[1] o = {1}, int64 i = {0}"
    text = f"g (float[{dims}] x) => (float[P,Q] y) <{held}> {{ {body} y = Reshape(x, w) }}"
    return from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 15]> {text}'))


@pytest.mark.parametrize(
    ("body", "taken"),
    every(
        2,
        [
            ("s = Shape(x) a = Slice(s, z, o) w = Concat <axis = 0> (a, m)", True),
            ("s = Shape(x) b = Gather(s, i) a = Unsqueeze(b, z) w = Concat <axis = 0> (a, m)", True),
            ("a = Shape <start = 0, end = 1> (x) w = Concat <axis = 0> (a, m)", True),
            ("s = Shape(x) a = Gather(s, z) w = Concat <axis = 0> (a, m)", False),
            (
                "s = Shape(x) q = Cast <to = 6> (s) a = Slice(q, z, o) e = Cast <to = 7> (a)"
                " w = Concat <axis = 0> (e, m)",
                False,
            ),
        ],
    ),
)
def test_shapes_that_are_computed(body: str, taken: bool, tmp_path: Path) -> None:
    needs("tvm")
    made = model("N,3,4", body)
    assert (read_target("tvm").check(made) == []) == taken
    if taken:
        assert compile("tvm", made, tmp_path / "bundle", pipeline="strip-dropout")["drift"]["passed"]
    else:
        with pytest.raises(CompilerError):
            compile("tvm", made, tmp_path / "bundle", pipeline="strip-dropout", check=False)


@pytest.mark.parametrize(("name", "taken"), [("tract", False), ("tvm", True), ("iree", True), ("openvino", True)])
def test_inputs_whose_dimensions_have_no_names(name: str, taken: bool, tmp_path: Path) -> None:
    needs(name)
    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }'
    proto = onnx.parser.parse_model(text)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
    made = from_proto(proto)
    assert (read_target(name).check(made) == []) == taken
    if not taken:
        with pytest.raises(CompilerError):
            compile(name, made, tmp_path / "bundle", pipeline="strip-dropout", check=False)


@pytest.mark.parametrize(("op", "opset", "taken"), [("Erf", 12, False), ("Erf", 13, True), ("Relu", 9, True)])
def test_iree_in_old_opsets(op: str, opset: int, taken: bool, tmp_path: Path) -> None:
    needs("iree")
    text = f'<ir_version: 7, opset_import: ["" : {opset}]> g (float[2,3] x) => (float[2,3] y) {{ y = {op}(x) }}'
    made = from_proto(onnx.parser.parse_model(text))
    assert (read_target("iree").check(made) == []) == taken
    if taken:
        assert compile("iree", made, tmp_path / "bundle", pipeline="strip-dropout")["drift"]["passed"]
    else:
        with pytest.raises(CompilerError):
            compile("iree", made, tmp_path / "bundle", pipeline="strip-dropout", check=False)
