"""Calls of which something is known from elsewhere, and those of which too little is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.proving.call import Call
from regraft.proving.denote import Denotation
from regraft.proving.domain import Domain
from regraft.proving.meanings import meaning
from regraft.proving.places import prove_models
from regraft.proving.polynomial import Index
from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import Tensor, axes_of, operand
from regraft.rewriting.facts import Operand
from regraft.rewriting.term import Term, Var, op
from tests.proving.evaluate import Numbers

LAYOUTS = {
    "x": Operand("a 6"),
    "y": Operand("b s"),
    "g": Operand("B 6"),
    "i": Operand("k", "integer"),
    "z": Operand("", "integer"),
    "p": Operand("n 4 h w"),
    "w": Operand("m 3 3 3"),
    "q": Operand("b s 12"),
    "q4": Operand("b h s d"),
    "m": Operand("s 1"),
    "any": Operand(),
    "f": Operand("a"),
}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (op.Reshape(Var("x"), shape=[0, 4, 2]), r"Reshape of \[a 6\] to \[a 4 2\]"),
        (op.Reshape(Var("x"), shape=[-1, 4]), "and one more axis"),
        (op.Reshape(Var("g"), shape=[-1, 6]), "capitals are groups"),
        (op.Reshape(Var("any"), shape=[-1]), "any shape"),
        (op.Reshape(Var("x"), Var("i")), "of which the number is not known"),
        (op.Reshape(Var("x")), "axes that are not known"),
        (op.Slice(Var("y"), starts=[0], ends=[5], axes=[1]), "a Slice at 5 of |s| elements"),
        (op.Slice(Var("y"), starts=[-3], ends=[9], axes=[1]), "a Slice at -3"),
        (op.Slice(Var("x"), starts=[3], ends=[3], axes=[1]), "an axis of 0 elements"),
        (op.Slice(Var("y"), starts=[0], ends=[2**40], axes=[1], steps=[2]), "each 2 of"),
        (op.Slice(Var("g"), starts=[0], ends=[1], axes=[0]), "groups of axes"),
        (op.Concat(Var("x"), Var("y"), axis=0), "Concat of"),
        (op.Concat(Var("any"), Var("y"), axis=0), "any shape"),
        (op.Pad(Var("x"), pads=[0, 1, 0, 1], mode="reflect"), "other than a constant"),
        (op.Squeeze(Var("y")), "size is not known"),
        (op.Flatten(Var("g")), "groups"),
        (op.Tile(Var("g"), repeats=[2, 1]), "group of axes"),
        (op.Gather(Var("x"), np.array(6), axis=1), "never holds"),
        (op.GatherElements(Var("x"), Var("i")), "GatherElements of"),
        (op.OneHot(Var("i"), Var("i"), Var("f"), axis=-1), "number is not known"),
        (op.Range(np.array(0.0), np.array(4.0), np.array(1.0)), "other than whole numbers"),
        (op.Range(np.array(0), np.array(4), np.array(2)), "one by one"),
        (op.Conv(Var("p"), Var("w")), "1 group"),
        (op.AveragePool(Var("p"), kernel_shape=[2, 2], ceil_mode=1), "ceil_mode"),
        (op.AveragePool(Var("p"), kernel_shape=[2, 2], strides=[2, 2]), "windows at each 2"),
        (op.MaxPool(Var("p"), kernel_shape=[2, 2], auto_pad="SAME_UPPER", strides=[2, 2]), "sizes that are not known"),
        (op.BatchNormalization(*(Var("f"),) * 5, training_mode=1), "in training"),
        (op.GroupNormalization(Var("p"), Var("f"), Var("f"), num_groups=2), "before opset 21"),
        (op.LpNormalization(Var("x"), p=3), "p = 3"),
        (op.Attention(Var("q"), Var("q"), Var("q")), "without their number"),
        (op.Attention(*(Var("q4"),) * 4, Var("q4"), Var("q4")), "with a cache"),
        (op.Attention(*(Var("q4"),) * 3, scale=-1.0), "a scale of -1"),
        (op.Attention(*(Var("q4"),) * 3, Var("m")), "shorter than the keys"),
        (op.RotaryEmbedding(Var("q4"), Var("y"), Var("y")), "the size is not known"),
        (op.QuantizeLinear(Var("x"), 0.5, Var("z")), "a type that is not known"),
        (op.QuantizeLinear(Var("x"), Var("f"), axis=1), "a scale"),
        (op.DequantizeLinear(Var("x"), Var("f"), axis=0, block_size=2), "of blocks"),
        (op.CumSum(Var("g"), np.array(0)), "groups of axes"),
        (op.BitShift(Var("i"), Var("i"), direction="LEFT"), "BitShift by"),
        (op.Dropout(Var("x"), 0.5, np.array(True)), "in training"),
        (op.Constant(), "no numbers"),
    ],
    ids=str,
)
def test_what_is_not_known_of_places_is_out_of_reach(one: Term, reason: str) -> None:
    with pytest.raises(OutOfReach, match=reason):
        anywhere(Denotation(LAYOUTS)(one))


def anywhere(meant: Tensor) -> None:
    meant.elements(tuple(0 if axis.unit else Index(axis.name, n) for n, axis in enumerate(meant.axes)), Domain(9))


def called(name: str, before: str, result: str, **attrs: Any) -> Tensor:
    """The meaning of a call of which the axes of the result are known."""
    found = meaning(Call(name, (operand("x", axes_of(before)),), attrs, (Var("x"),), axes_of(result)))
    assert isinstance(found, Tensor)
    return found


def test_the_axes_of_a_result_that_are_known_need_no_shape() -> None:
    sizes = {"s": (4,), "a": (4,), "r": (3,), "c": (2,)}
    for axes, result in (("6 s", "2 3 s"), ("a 6", "a 2 3"), ("r 8*c", "r c 8")):
        shape = [n for name in axes.split() for n in Numbers({}, {}, sizes).along(name)]
        values = np.arange(float(np.prod(shape))).reshape(shape)
        found = Numbers({"x": values}, {"x": axes}, sizes).array(called("Reshape", axes, result))
        assert found.ravel().tolist() == values.ravel().tolist()


def test_a_slice_of_which_the_result_is_known_starts_where_it_says() -> None:
    cut = called("Slice", "a", "c", starts=[1], ends=[4], axes=[0])
    found = Numbers({"x": np.arange(5.0)}, {"x": "a"}, {"a": (5,), "c": (3,)}).array(cut)
    assert found.tolist() == [1, 2, 3]


def test_only_some_operators_mean_more_than_their_first_output() -> None:
    with pytest.raises(OutOfReach, match="first output"):
        meaning(
            Call("MaxPool", (operand("x", axes_of("b c 6")),), {"kernel_shape": [2]}, (Var("x"),), outputs=2, place=1)
        )


@pytest.mark.parametrize(("result", "axis"), [("?0", "a - 1"), ("c", "c")])
def test_an_axis_of_a_result_without_a_name_is_computed(result: str, axis: str) -> None:
    cut = called("Slice", "a", result, starts=[1], ends=[2**40], axes=[0])
    assert [one.name for one in cut.axes] == [axis]


GRAPH = (
    "agraph (float[n, 4, 6] x) => (float[n, 24] y) <int64[2] flat = {{-1, 24}}, float s = {{0.05}}, {zero} z = {{3}}>"
)
LATE = "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Reshape(d, flat) }"
EARLY = "{ t = Reshape(x, flat) q = QuantizeLinear(t, s, z) y = DequantizeLinear(q, s, z) }"


@pytest.mark.parametrize(("zero", "outcome"), [("uint8", "proved"), ("int8", "out of reach")])
def test_the_integer_types_of_a_graph_are_known(zero: str, outcome: str) -> None:
    header = '<ir_version: 10, opset_import: ["" : 21]> '
    before = onnx.parser.parse_model(header + GRAPH.format(zero="uint8") + LATE)
    after = onnx.parser.parse_model(header + GRAPH.format(zero=zero) + EARLY)
    assert {one.outcome for one in prove_models(regraft.load(before), regraft.load(after))} == {outcome}
