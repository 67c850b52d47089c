"""inline-functions: calls in graphs and bodies, functions that call others, attributes, opsets, what stays."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.passes.inline_functions import MOST, InlineFunctions
from regraft.pipelines.manager import run
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import Session
from tests.matrix.artifacts import ARTIFACTS
from tests.shares import diagonal

X = {"x": np.array([-1.5, 2.0, 0.25], np.float32)}


def model(graph: str, *functions: str, opset: int = 17) -> Model:
    shown = "\n".join(f'<domain: "my", opset_import: ["" : {opset}, "my" : 1]> {text}' for text in functions)
    return from_proto(
        onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}, "my" : 1]> g {graph}\n{shown}')
    )


def test_a_call(apply):
    found = apply(
        model("(float[3] x) => (float[3] y) { y = my.f(x) }", "f (a) => (b) { c = Exp(a) b = Add(a, c) }"),
        InlineFunctions(),
        inputs=X,
    )
    assert found.ops == ["Exp", "Add"]
    assert found.model.functions == []
    assert found.changes[0].rule == "f"


def test_one_that_is_kept_and_what_is_called_beside_it_and_around_it(apply):
    found = apply(
        model(
            "(float[3] x) => (float[3] y) { z = my.outer(x) y = my.own(z) }",
            "own (a) => (b) { b = Neg(a) }",
            "outer (a) => (b) { c = Exp(a) b = my.own(c) }",
        ),
        InlineFunctions(keep=("my::own",)),
        inputs=X,
    )
    assert found.ops == ["Exp", "own", "own"]
    assert [function.name for function in found.model.functions] == ["own"]


def test_two_calls_of_one_that_calls_another_and_takes_attributes(apply):
    found = apply(
        model(
            "(float[3] x) => (float[3] y, float[3] z) { y = my.f <alpha = 0.5> (x) z = my.f <alpha = 2.0> (y) }",
            "f <alpha> (a) => (b) { c = my.g <slope: float = @alpha> (a) b = Add(a, c) }",
            "g <slope> (a) => (b) { b = LeakyRelu <alpha: float = @slope> (a) }",
        ),
        InlineFunctions(),
        inputs=X,
    )
    assert found.ops == ["LeakyRelu", "Add"] * 2
    assert [node.attrs["alpha"] for node in found.model.graph.nodes if node.attrs] == [0.5, 2.0]


def test_an_attribute_that_is_not_given_is_the_default_of_the_function_or_of_the_operator(apply):
    found = apply(
        model(
            "(float[3] x) => (float[3] y, float[3] z) { y = my.f(x) z = my.g(x) }",
            "f <alpha: float = 0.75> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }",
            "g <alpha> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }",
        ),
        InlineFunctions(),
        inputs=X,
    )
    assert [node.attrs for node in found.model.graph.nodes] == [{"alpha": 0.75}, {}]


def test_inputs_and_outputs_that_are_left_out(apply):
    found = apply(
        model(
            "(float[3] x) => (float[3] y) { y, rest = my.f(x) }",
            "f (a, least) => (b, rest) { b = Clip(a, least) rest = Sub(a, b) }",
        ),
        InlineFunctions(),
        inputs=X,
    )
    assert "Clip" in found.ops


def test_a_value_that_is_handed_through():
    """ONNX Runtime opens no such function."""
    found = model("(float[3] x) => (float[3] y, float[3] z) { y, z = my.f(x) }", "f (a) => (b, a) { b = Neg(a) }")
    InlineFunctions().run(found, Context("inline-functions"))
    outputs = Session(found).run(X)
    assert np.array_equal(outputs["y"], -X["x"])
    assert np.array_equal(outputs["z"], X["x"])


def test_calls_in_bodies_and_bodies_in_functions(apply):
    branch = "then_branch = t () => (float[3] u) { u = my.g(x) }, else_branch = e () => (float[3] v) { v = Neg(x) }"
    inner = "then_branch = t () => (u) { u = Exp(k) }, else_branch = e () => (v) { w = my.h(k) v = Add(w, a) }"
    found = apply(
        model(
            f"(float[3] x, bool c) => (float[3] y) {{ z = If <{branch}> (c) y = my.f(z, c) }}",
            f"f (a, c) => (b) {{ k = Neg(a) b = If <{inner}> (c) }}",
            "g (a) => (b) { b = Abs(a) }",
            "h (a) => (b) { b = Sqrt(a) }",
        ),
        InlineFunctions(),
        inputs=X | {"c": np.array(False)},
    )
    assert found.model.functions == []
    assert found.ops == ["If", "Neg", "If"]


def test_a_function_of_another_opset(apply):
    text = "(float[3] x) => (float[3] y) { y = my.f(x) }"
    other = model(text, "f (a) => (b) { c = Exp(a) b = Softmax(c) }", opset=17)
    other.functions[0].opset = 11
    context = Context("inline-functions")
    InlineFunctions().run(other, context)
    assert [node.op for node in other.graph.nodes] == ["f"]
    assert "Exp is one of opset 11, the model of 17; run convert-opset before" in context.notes[0]
    same = model(text, "f (a) => (b) { b = Sigmoid(a) }", opset=17)
    same.functions[0].opset = 13
    assert apply(same, InlineFunctions(), inputs=X).ops == ["Sigmoid"]


def test_functions_without_end_and_without_measure_stay():
    looping = model(
        "(float[3] x) => (float[3] y) { y = my.f(x) }", "f (a) => (b) { b = my.g(a) }", "g (a) => (b) { b = Neg(a) }"
    )
    looping.functions[1].nodes[0].op, looping.functions[1].nodes[0].domain = "f", "my"
    context = Context("inline-functions")
    InlineFunctions().run(looping, context)
    assert "the function calls itself" in context.notes[0]
    doubling = [f"f{n} (a) => (b) {{ c = my.f{n + 1}(a) b = my.f{n + 1}(c) }}" for n in range(40)]
    wide = model("(float[3] x) => (float[3] y) { y = my.f0(x) }", *doubling, "f40 (a) => (b) { b = Neg(a) }")
    context = Context("inline-functions")
    InlineFunctions().run(wide, context)
    assert f"it would become more than {MOST} nodes" in context.notes[0]
    assert len(wide.functions) == 41


def test_a_chain_of_many_functions(apply):
    chain = [f"f{n} (a) => (b) {{ c = my.f{n + 1}(a) b = Neg(c) }}" for n in range(1500)]
    long = model("(float[3] x) => (float[3] y) { y = my.f0(x) }", *chain, "f1500 (a) => (b) { b = Neg(a) }")
    InlineFunctions().run(long, Context("inline-functions"))
    assert len(long.graph.nodes) == 1501
    assert long.functions == []


@pytest.mark.parametrize("artifact", diagonal(3, ARTIFACTS), ids=lambda artifact: artifact.name)
def test_what_stands_for_operators_is_written_out(artifact, lower):
    """Of fused exports, in an opset that lacks what is fused."""
    found = artifact.load()
    run(found, "strip-dropout,convert-opset{version=13},fold-constants,fuse-gelu,fuse-layer-norm")
    calls = sum(bool(node.domain) for node in found.graph.nodes)
    assert calls == artifact.gelus + artifact.layer_norms
    after = lower(found, InlineFunctions(), inputs=None)
    assert after.model.functions == []
    assert not any(node.domain for node in after.model.graph.nodes)
