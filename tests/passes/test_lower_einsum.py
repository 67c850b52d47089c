"""lower-einsum against numpy: equations drawn at random, those of attention, what cannot be written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.ir.verifier import check
from regraft.passes.lower_einsum import LowerEinsum
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot

OPSETS = (12, 13, 17, 18, 20, 23)


def einsum_model(equation: str, dims, opset: int = 17, code: int = TensorProto.FLOAT):
    inputs = [helper.make_tensor_value_info(f"x{i}", code, d) for i, d in enumerate(dims)]
    node = helper.make_node("Einsum", [i.name for i in inputs], ["y"], name="einsum", equation=equation)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", code, None)])
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


def lowered(model) -> tuple[list[str], list[str]]:
    """The operators after the pass, and its notes."""
    context = Context("lower-einsum")
    LowerEinsum().run(model, context)
    check(model)
    return [node.op for node in model.graph.nodes], context.notes


def check_against_numpy(equation, shapes, dims=None, opset=17) -> list[str]:
    model = einsum_model(equation, dims or shapes, opset)
    ops, notes = lowered(model)
    assert not notes
    assert "Einsum" not in ops
    values = {f"x{i}": np.random.default_rng(i).normal(size=s).astype(np.float32) for i, s in enumerate(shapes)}
    expected = np.einsum(equation, *values.values())
    found = snapshot(model, values)["y"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return ops


@st.composite
def equations(draw):
    """An equation, shapes, and shapes in which some dimensions have only a name."""
    labels = "abcdEF"[: draw(st.integers(1, 6))]
    sizes = {label: draw(st.integers(1, 4)) for label in labels}
    terms = draw(
        st.lists(st.lists(st.sampled_from(labels), unique=True, max_size=4), min_size=1, max_size=3).filter(any)
    )
    known = sorted({label for term in terms for label in term})
    output = draw(st.none() | st.lists(st.sampled_from(known), unique=True))
    shapes = [tuple(1 if draw(st.integers(0, 9)) == 0 else sizes[label] for label in term) for term in terms]
    dims = [
        [label if size != 1 and draw(st.booleans()) else size for label, size in zip(term, shape, strict=True)]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    equation = ",".join("".join(term) for term in terms) + ("" if output is None else "->" + "".join(output))
    return equation, shapes, dims


@settings(max_examples=150)
@given(equations())
def test_every_equation_means_what_numpy_says(drawn):
    equation, shapes, dims = drawn
    model = einsum_model(equation, dims)
    ops, notes = lowered(model)
    if notes:  # several contracted labels, of which one operand says the size and the other does not
        assert any(isinstance(d, str) for term in dims for d in term)
        assert "not known to be equal" in notes[0]
        return
    assert "Einsum" not in ops
    values = {f"x{i}": np.random.default_rng(i).normal(size=s).astype(np.float32) for i, s in enumerate(shapes)}
    np.testing.assert_allclose(
        snapshot(model, values)["y"], np.einsum(equation, *values.values()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("equation", "shapes", "ops"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], ["Transpose", "MatMul"]),
        ("bhqk,bhkd->bhqd", [(2, 3, 4, 6), (2, 3, 6, 5)], ["MatMul"]),
        ("bsd,dhe->bshe", [(2, 3, 4), (4, 5, 6)], ["Reshape", "MatMul", "Reshape"]),
        ("bshd,hde->bse", [(2, 3, 4, 5), (4, 5, 6)], ["Reshape", "Reshape", "MatMul"]),
        ("bsd,de->bse", [(2, 3, 4), (4, 5)], ["MatMul"]),
        ("bi,bi->b", [(2, 3), (2, 3)], ["Mul", "ReduceSum"]),
        ("ij,ij->ij", [(2, 3), (2, 3)], ["Mul"]),
        ("i,j->ij", [(2,), (3,)], ["Unsqueeze", "Mul"]),
        ("i,i->", [(3,), (3,)], ["Mul", "ReduceSum"]),
        ("ij->j", [(2, 3)], ["ReduceSum"]),
        ("ij->ji", [(2, 3)], ["Transpose"]),
        (" b i d , b j d -> b i j ", [(2, 3, 4), (2, 5, 4)], ["Transpose", "MatMul"]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], ["MatMul", "MatMul"]),
        ("Ba,aC", [(2, 3), (3, 4)], ["MatMul"]),
    ],
)
def test_the_common_equations_take_the_fewest_operators(equation, shapes, ops, opset):
    assert check_against_numpy(equation, shapes, opset=opset) == ops


@pytest.mark.parametrize(
    ("equation", "shapes", "dims"),
    [
        ("bshd,hde->bse", [(2, 3, 4, 5), (4, 5, 6)], [["b", "s", "h", "d"], ["h", "d", "e"]]),
        ("bsd,dhe->bshe", [(2, 3, 4), (4, 5, 6)], [["b", "s", "d"], ["d", "h", "e"]]),
        ("bsd,dhe->bshe", [(2, 3, 4), (4, 5, 6)], [["b", "s", 4], [4, 5, 6]]),
        ("bmnk,bkpq->bpmqn", [(2, 3, 4, 5), (2, 5, 6, 7)], [["b", "m", "n", "k"], ["b", "k", "p", "q"]]),
        ("bijkl,bklpq->bijpq", [(2, 3, 2, 4, 5), (2, 4, 5, 3, 2)], [["b", "i", "j", "k", "l"], ["b", "k", "l", 3, 2]]),
    ],
)
@pytest.mark.parametrize("opset", [12, 18])
def test_dimensions_that_only_have_names_need_no_shape_arithmetic(equation, shapes, dims, opset):
    ops = check_against_numpy(equation, shapes, dims, opset)
    assert set(ops) <= {"Transpose", "MatMul", "Reshape", "Unsqueeze"}


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ij,...jk->...ik", [(2, 5, 3, 4), (2, 5, 4, 6)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (1, 5, 4, 6)]),
        ("b...i,i->b...", [(2, 3, 4), (4,)]),
        ("...i->...", [(2, 3, 4)]),
        ("i...j", [(2, 3, 4)]),
        ("...,...", [(2, 3), (2, 3)]),
    ],
)
def test_an_ellipsis_stands_for_axes_that_broadcast(equation, shapes):
    check_against_numpy(equation, shapes)


def test_sizes_of_one_broadcast_also_where_they_are_summed():
    check_against_numpy("bij,bjk->bik", [(1, 3, 1), (2, 4, 5)])
    check_against_numpy("bi,bi->b", [(2, 1), (2, 3)])


@pytest.mark.parametrize(
    ("equation", "dims", "code", "reason"),
    [
        ("ii->i", [(3, 3)], TensorProto.FLOAT, "diagonal"),
        ("bii,bij->bj", [(2, 3, 3), (2, 3, 4)], TensorProto.FLOAT, "diagonal"),
        ("ab,ab->b", [None, (2, 3)], TensorProto.FLOAT, "shape"),
        ("...a->...", [None], TensorProto.FLOAT, "rank"),
        ("abc,bcd->ad", [(2, "p", "q"), ("r", "s", 3)], TensorProto.FLOAT, "not known to be equal"),
        ("ab,bc->ac", [(2, 3), (3, 4)], TensorProto.INT16, "int16"),
    ],
)
def test_what_cannot_be_written_stays_with_a_reason(equation, dims, code, reason):
    ops, notes = lowered(einsum_model(equation, dims, code=code))
    assert ops == ["Einsum"]
    assert len(notes) == 1
    assert reason in notes[0]


def test_a_constant_weight_is_transposed_while_saving(parse, apply):
    model = parse("""g (float[2,3] x) => (float[2,4] y) <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> {
        y = Einsum<equation = "ij,kj->ik">(x, w) }""")
    assert apply(model, LowerEinsum()).ops == ["MatMul"]


def test_bodies_are_rewritten_too(parse, apply):
    model = parse("""g (bool c, float[2,3] x, float[3,2] w) => (float[2,2] y) {
        y = If(c) <then_branch = t () => (float[2,2] a) { a = Einsum<equation = "ij,jk->ik">(x, w) },
                   else_branch = e () => (float[2,2] b) { b = Einsum<equation = "ij,ki->jk">(w, x) }> }""")
    done = apply(
        model,
        LowerEinsum(),
        inputs={"c": np.array(True), "x": np.ones((2, 3), np.float32), "w": np.ones((3, 2), np.float32)},
    )
    assert not any(node.op == "Einsum" for node in done.model.nodes())


@pytest.mark.parametrize("name", ["einsum-decoder-ts", "einsum-decoder-dynamo"])
def test_attention_written_in_einsum(artifacts, name):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    before = clone(model)
    ops, notes = lowered(model)
    assert "Einsum" not in ops
    assert not notes
    inputs = make_inputs(before)
    drift = reassociation.through(4).check(snapshot(before, inputs), snapshot(model, inputs))
    assert drift.passed, str(drift)
