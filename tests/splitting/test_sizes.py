"""`take_sizes` and `drop_inputs`: what asks for a size asks the value that stays."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from regraft.files.convert import clone, from_proto
from regraft.ir.editor import Editor
from regraft.ir.verifier import check
from regraft.pipelines.pass_base import Context
from regraft.shapes import analyse, declare_types
from regraft.splitting import drop_inputs, take_sizes, to_host
from regraft.verification.verify import snapshot


def asked(shape: str, of: str = "a", opset: int = 17, body: str = "b = Identity(source)"):
    """A model that gives the Shape of an input, taken from `source` now; and what was said."""
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{of}] x, float[N, M, 4] source) => (int64[K] y, float[N, M, 4] b) {{ y = {shape}(x) {body} }}"""
    model = from_proto(onnx.parser.parse_model(text))
    before, context, facts = clone(model), Context(), analyse(model)
    source = model.graph.inputs[1]
    with Editor(model) as edit:
        take_sizes(list(model.graph.nodes), source, facts[source].dims, facts, edit, context)
    check(model)
    return before, model, context


@pytest.mark.parametrize("opset", [11, 13, 15, 17, 23])
@pytest.mark.parametrize(
    "of", ["N, M", "M, N", "N", "M", "N, M, 4", "N, M, 1", "N, 1, 1, M", "4, M", "N, N", "3, 5", "7, M, N, 2"]
)
def test_every_size_that_the_source_has(of, opset):
    before, model, context = asked("Shape", of, opset)
    assert len(context.changes) == 1
    assert not model.graph.inputs[0].outputs
    sizes = {"N": 2, "M": 3}
    x = np.zeros([sizes.get(d, d) if d in sizes else int(d) for d in of.replace(" ", "").split(",")], np.float32)
    inputs = {"x": x, "source": np.zeros((2, 3, 4), np.float32)}
    assert snapshot(model, inputs)["y"].tolist() == snapshot(before, inputs)["y"].tolist() == list(x.shape)


@pytest.mark.parametrize(
    ("bounds", "of"),
    [("start = 1", "N, M"), ("end = 1", "N, M"), ("start = -1", "5, M"), ("start = 1, end = 2", "N, 1")],
)
def test_part_of_a_shape(bounds, of):
    before, model, context = asked(f"Shape<{bounds}>", of)
    assert len(context.changes) == 1
    x = np.zeros([{"N": 2, "M": 3}.get(d) or int(d) for d in of.split(", ")], np.float32)
    inputs = {"x": x, "source": np.zeros((2, 3, 4), np.float32)}
    assert snapshot(model, inputs)["y"].tolist() == snapshot(before, inputs)["y"].tolist()


@pytest.mark.parametrize("of", ["N, L", "L", "N, ?"])
def test_a_size_that_the_source_may_not_have_is_asked_where_it_was(of):
    _, model, context = asked("Shape", of)
    assert not context.changes
    assert [node.op for node in model.graph.nodes] == ["Shape", "Identity"]


def test_an_input_that_nothing_reads_any_more_goes_and_with_it_what_fed_it():
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 4] x) => (float[N, 4] y, int64[2] z) { a = Abs(x) b = Neg(a) y = Exp(b) z = Shape(a) }"""
    model = from_proto(onnx.parser.parse_model(text))
    declare_types(model)
    values = {t.name: t for node in model.graph.nodes for t in node.outputs}
    made = to_host(model, {"one": values["a"]}, Context())
    two = to_host(model, {"two": values["b"]}, Context())
    facts = analyse(model)
    drop_inputs(model, made.values())
    assert [t.name for t in model.graph.inputs] == ["one", "two"]
    with Editor(model) as edit:
        take_sizes(list(model.graph.nodes), two["two"], facts[two["two"]].dims, facts, edit, Context())
    drop_inputs(model, made.values())
    check(model)
    assert [t.name for t in model.graph.inputs] == list(model.host.feeds) == ["two"]
    assert len(model.host.model.graph.outputs) == 1
    found = snapshot(model, {"x": np.full((3, 4), -2, np.float32)})
    assert found["z"].tolist() == [3, 4]
    np.testing.assert_allclose(found["y"], np.exp(np.full((3, 4), -2.0)), rtol=1e-6)
