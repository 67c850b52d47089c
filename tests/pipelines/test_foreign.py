"""Functions on messages and on onnx-ir's models are passes in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import regraft
from regraft.errors import PassError
from regraft.testing import parse

TEXT = """g (float[n] x) => (float[n] y) <float two = {2.0}> {
    [first] a = Neg(x) [second] b = Neg(a) [last] y = Mul(b, two)
}"""


def without_pairs(proto: onnx.ModelProto) -> None:
    """Drops the two Neg."""
    del proto.graph.node[:2]
    proto.graph.node[0].input[0] = "x"


def test_a_function_on_a_message_is_a_pass() -> None:
    model = parse(TEXT)
    one = regraft.proto_pass("without-pairs", without_pairs, regraft.exact)
    assert one.help() == "Drops the two Neg."
    report = regraft.run(model, [one], verify="each")
    assert [node.op for node in model.graph.nodes] == ["Mul"]
    assert report.passes[0].changes[0].removed == ("first", "second")


def test_a_function_may_return_another_message() -> None:
    model = parse(TEXT)

    def renamed(proto: onnx.ModelProto) -> onnx.ModelProto:
        other = onnx.ModelProto()
        other.CopyFrom(proto)
        other.graph.node[0].op_type = other.graph.node[1].op_type = "Identity"
        return other

    report = regraft.run(model, [regraft.proto_pass("renamed", renamed, regraft.exact)], verify="each")
    assert [node.op for node in model.graph.nodes] == ["Identity", "Identity", "Mul"]
    assert [node.metadata.get("regraft.pass") for node in model.graph.nodes] == ["renamed", "renamed", None]
    assert report.passes[0].changed


def test_large_weights_are_there() -> None:
    model = parse("g (float[n, 64] x, float[64, 64] w) => (float[n, 64] y) { y = MatMul(x, w) }")
    weight = model.graph.inputs.pop().to_constant(np.ones((64, 64), np.float32))
    seen = []
    regraft.run(model, [regraft.proto_pass("look", lambda p: seen.append(len(p.graph.initializer[0].raw_data)))])
    assert seen == [weight.nbytes]


def test_onnx_irs_passes_are_passes() -> None:
    ir = pytest.importorskip("onnx_ir", reason="onnx-ir is not installed")
    passes = pytest.importorskip("onnx_ir.passes.common", reason="onnx-ir has no passes")

    def swap(model: Any) -> None:
        for node in list(model.graph):
            if node.op_type == "Neg":
                model.graph.insert_before(node, new := ir.node("Identity", [node.inputs[0]]))
                node.outputs[0].replace_all_uses_with(new.outputs[0])
                model.graph.remove(node)

    model = parse(TEXT)
    regraft.run(
        model,
        [
            regraft.onnx_ir_pass("swap", swap, regraft.exact),
            regraft.onnx_ir_pass("tidy", passes.IdentityEliminationPass(), regraft.exact),
        ],
        verify="each",
    )
    assert [node.op for node in model.graph.nodes] == ["Mul"]


def test_onnxscripts_rules_are_passes() -> None:
    pattern = pytest.importorskip("onnxscript.rewriter.pattern", reason="onnxscript is not installed")
    rewriter = pytest.importorskip("onnxscript.rewriter")
    rule = pattern.RewriteRule(lambda op, x: op.Neg(op.Neg(x)), lambda op, x: op.Identity(x))
    model = parse(TEXT)
    one = regraft.onnx_ir_pass("rules", lambda m: rewriter.rewrite(m, pattern_rewrite_rules=[rule]), regraft.exact)
    regraft.run(model, [one], verify="each")
    assert "Neg" not in {node.op for node in model.graph.nodes}


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(PassError, match=r"its function returns str; it must return a model, or nothing"):
        regraft.run(parse(TEXT), [regraft.proto_pass("wrong", lambda proto: "done")])
