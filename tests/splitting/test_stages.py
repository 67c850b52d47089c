"""Stages: whatever the marks say, the chain computes what the whole does, and each stage is a model of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regraft
from regraft.errors import GraphError
from regraft.files.convert import clone, from_proto
from regraft.idioms.dominators import Stream
from regraft.ir.graph import Graph, Node, Variable
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.ir.weights import Stored
from regraft.pipelines.inheritance import STAGE
from regraft.splitting.stage_labels import ORDER
from regraft.splitting.stages import Stage, run_chain, stages, steps
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import RuntimeFailure
from regraft.verification.verify import snapshot

QUICK = settings(max_examples=60, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def parse(text: str, **marks: str) -> Model:
    """A model whose nodes are marked: `a="first c d"` puts the producers of c and d into the stage first."""
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18, "local" : 1]>\n{text}'))
    made = {tensor.name: node for node in model.graph.nodes for tensor in node.outputs}
    for stage, names in marks.items():
        for name in names.split():
            made[name].metadata[STAGE] = stage
    model.metadata[ORDER] = json.dumps(list(marks))
    return model


def assert_chain_equals(model: Model, inputs: dict[str, Any] | None = None) -> list[Stage]:
    whole = clone(model)
    inputs = make_inputs(whole) if inputs is None else inputs
    chain = stages(model)
    for stage in chain:
        check(stage.model)
    expected, found = snapshot(whole, inputs), run_chain(chain, inputs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    return chain


TWO = """
g (float[N] x, float[N] y) => (float[N] z, float[N] s) <float[1] w = {3}> {
    a = Mul (x, w)
    b = Exp (y)
    c = Add (a, b)
    s = Identity (a)
    z = Mul (c, w)
}
"""


def test_where_values_come_from_and_go() -> None:
    first, second = assert_chain_equals(parse(TWO, first="a b s", second="c z"))
    assert first.sources == {"x": None, "y": None}
    assert first.readers == {"a": ("second",), "b": ("second",), "s": ()}
    assert first.results == ("s",)
    assert second.sources == {"a": "first", "b": "first"}
    assert second.results == ("z",)
    assert [t.name for t in second.model.graph.inputs] == ["a", "b"]
    assert all(STAGE not in node.metadata for node in second.model.graph.nodes)
    assert ORDER not in second.model.metadata


def test_what_the_nearest_stage_makes_comes_first() -> None:
    model = parse(
        """g (float[N] x) => (float[N] z) {
             a = Neg (x)
             b = Exp (a)
             c = Add (x, a)
             z = Add (c, b)
        }""",
        first="a",
        second="b",
        third="c z",
    )
    assert list(assert_chain_equals(model)[2].sources.items()) == [("b", "second"), ("a", "first"), ("x", None)]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({"first": "a", "second": "c z"}, [["a", "s"], ["b", "c", "z"]]),  # s reads a; only second needs b
        ({"first": "b c", "second": "a s z"}, [["a", "b", "c"], ["s", "z"]]),  # a is read in first
        ({"first": "z", "second": "a b c s"}, [["a", "b", "c", "z"], ["s"]]),
    ],
)
def test_nodes_without_a_mark_and_marks_that_cannot_be(marks: dict[str, str], expected: list[list[str]]) -> None:
    chain = assert_chain_equals(parse(TWO, **marks))
    assert [sorted(t.name for node in stage.model.graph.nodes for t in node.outputs) for stage in chain] == expected


def test_a_cast_before_a_stage_is_of_that_stage() -> None:
    model = parse(
        """g (float[N] x) => (float[N] z) {
             a = Neg (x)
             h = Cast <to=10> (a)
             b = Exp (h)
             f = Cast <to=1> (b)
             z = Add (f, a)
        }""",
        first="a",
        second="b z",
    )
    first, second = assert_chain_equals(model)
    assert list(first.readers) == ["a"]
    assert len(second.model.graph.nodes) == 4


def test_what_depends_on_constants_is_in_every_stage_that_reads_it() -> None:
    model = parse(
        """g (float[2] x) => (float[2] z) <float[2] w = {1, 2}> {
             k = Constant <value_float=2.0> ()
             v = Mul (w, k)
             a = Add (x, v)
             z = Add (a, v)
        }""",
        first="k v a",
        second="z",
    )
    chain = assert_chain_equals(model)
    assert [[node.op for node in stage.model.graph.nodes] for stage in chain] == [["Constant", "Mul", "Add"]] * 2
    assert list(chain[1].sources) == ["a"]


def test_what_is_drawn_by_chance_is_drawn_once() -> None:
    model = parse(
        """g (float[2] x) => (float[2] z) {
             r = RandomNormal <shape=[2], seed=1.0> ()
             a = Add (x, r)
             z = Sub (a, r)
        }""",
        first="r a",
        second="z",
    )
    first, second = stages(model)
    assert list(first.readers) == ["r", "a"]
    assert set(second.sources) == {"a", "r"}


def test_bodies_take_what_other_stages_make() -> None:
    model = parse(
        """g (bool flag, float[2] x) => (float[2] z) <float[2] w = {1, 2}> {
             a = Neg (x)
             b = Exp (x)
             z = If (flag) <
                 then_branch = t () => (float[2] p) { p = Add (a, w) },
                 else_branch = e () => (float[2] q) { c = Mul (b, x)  q = Sub (c, w) }
             >
        }""",
        first="a",
        second="b",
        third="z",
    )
    for flag in (True, False):
        chain = assert_chain_equals(model, {"flag": np.array(flag), "x": np.array([1, 4], np.float32)})
    assert set(chain[2].sources) == {"a", "b", "x", "flag"}


def test_local_functions_go_where_they_are_called() -> None:
    text = """g (float[2] x) => (float[2] z) { a = local.Twice (x)  b = Neg (a)  z = local.Half (b) }
    <opset_import: ["" : 18], domain: "local"> Twice (v) => (w) { w = Add (v, v) }
    <opset_import: ["" : 18], domain: "local"> Half (v) => (w) { k = Constant <value_float=0.5> ()  w = Mul (v, k) }"""
    model = parse(text, first="a", second="b", third="z")
    called = [[function.name for function in stage.model.functions] for stage in assert_chain_equals(model)]
    assert called == [["Twice"], [], ["Half"]]


def test_an_input_with_a_default_keeps_it() -> None:
    model = parse(
        "g (float[2] x, float[2] w = {5, 6}) => (float[2] z) { a = Add (x, w)  z = Mul (a, w) }", first="a", second="z"
    )
    x, w = np.array([1, 2], np.float32), np.array([0, 1], np.float32)
    assert_chain_equals(model, {"x": x})
    assert_chain_equals(model, {"x": x, "w": w})


def test_weights_stay_in_their_file(tmp_path: Path) -> None:
    numbers = ", ".join(["0.5"] * 4096)
    model = parse(
        f"""g (float[1,64] x) => (float[1,64] z) <float[64,64] w = {{{numbers}}}>
            {{ a = MatMul (x, w)  z = MatMul (a, w) }}""",
        first="a",
        second="z",
    )
    loaded = regraft.load(regraft.save(model, tmp_path / "model.onnx"))
    for stage in assert_chain_equals(loaded):
        (weight,) = [t for node in stage.model.graph.nodes for t in node.inputs if t.name == "w"]
        assert isinstance(weight.lazy, Stored)
        assert weight.lazy.source.path == tmp_path / "model.onnx"


def test_a_type_that_is_not_known_is_said() -> None:
    model = parse("g (float[2] x) => (float[2] z) { a = local.Magic (x)  z = Neg (a) }", first="a", second="z")
    with pytest.raises(GraphError, match="the type of 'a', which goes from one part to another, is not known"):
        stages(model)


def test_what_a_stage_makes_does_not_keep_its_session() -> None:
    chain = stages(parse(TWO, first="a b s", second="c z"))
    x = np.ones(3, np.float32)
    for step in steps(chain, {"x": x, "y": x}):
        assert all(value.flags.owndata for value in step.made.values())


def test_a_missing_input_is_said_with_its_stage() -> None:
    chain = stages(parse(TWO, first="a b s", second="c z"))
    with pytest.raises(RuntimeFailure, match="stage 'first': no value for input 'y'"):
        run_chain(chain, {"x": np.ones(3, np.float32)})


@st.composite
def graphs(draw: st.DrawFn) -> Model:
    """A graph of sums and negations, any of its values outputs, its nodes in any stage or none."""
    values = [Variable(name, np.dtype(np.float32), ["N"]) for name in ("x", "y")]
    inputs, nodes = list(values), []
    for i in range(draw(st.integers(1, 12))):
        reads = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
        made = Variable(f"v{i}", np.dtype(np.float32), ["N"])
        nodes.append(Node("Add" if len(reads) == 2 else "Neg", f"n{i}", None, reads, [made]))
        values.append(made)
        stage = draw(st.sampled_from(["a", "b", "c", None]))
        if stage is not None:
            nodes[-1].metadata[STAGE] = stage
    ends = draw(st.sets(st.sampled_from(values[2:]), min_size=1, max_size=3))
    graph = Graph(nodes, inputs, sorted(ends, key=lambda t: t.name), name="g", opset=18)
    return Model(graph, metadata={ORDER: json.dumps(["a", "b", "c"])})


@given(graphs())
@QUICK
def test_any_marks_give_a_chain_that_equals_the_whole(model: Model) -> None:
    x, y = (np.arange(3, dtype=np.float32) + i for i in range(2))
    chain = assert_chain_equals(model, {"x": x, "y": y})
    order = [stage.name for stage in chain]
    assert order == sorted(order)
    for stage in chain:
        assert all(source is None or source < stage.name for source in stage.sources.values())
    needed = ancestors(*model.graph.outputs)
    made = [t.name for stage in chain for node in stage.model.graph.nodes for t in node.outputs]
    assert sorted(made) == sorted(t.name for t in needed if t.inputs)


def ancestors(*tensors: Variable) -> set[Variable]:
    found, pending = set(tensors), list(tensors)
    while pending:
        new = [t for node in pending.pop().inputs for t in node.inputs if t not in found]
        found.update(new)
        pending += new
    return found


def reaches(model: Model, ends: set[Variable], without: Variable | None) -> bool:
    """Whether something is computed from x on the way to `ends`, and not from `without`."""
    known = {model.graph.inputs[0]}
    for node in model.graph.nodes:
        if any(t in known for t in node.inputs):
            known.update(t for t in node.outputs if t is not without)
    return not known.isdisjoint(ends)


@given(graphs())
@QUICK
def test_cuts_are_the_values_without_which_nothing_arrives(model: Model) -> None:
    graph, x = model.graph, model.graph.inputs[0]
    stream = Stream(graph, x, graph.outputs)
    on_the_way = {t for node in stream.nodes for t in node.inputs}
    last = stream.made.intersection(graph.outputs) - on_the_way
    made = [t for node in stream.nodes for t in node.outputs]
    expected = [t for t in made if not reaches(model, last, without=t)] if last else []
    assert stream.cuts == [x, *expected]
