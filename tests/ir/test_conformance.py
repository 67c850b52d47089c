"""A node that lacks what its operator asks for is refused before a pass meets it."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import TensorProto, helper

import regraft
from regraft.errors import GraphError
from regraft.files.convert import from_proto
from regraft.ir import verifier
from regraft.ir.model import Model


def model(op: str, inputs: list[str], **attributes: Any) -> Model:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 4]) for n in "xz"]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    node = helper.make_node(op, inputs, ["y"], "n", **attributes)
    graph = helper.make_graph([node], "g", infos, outputs)
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "says"),
    [
        ("Add", ["x"], {}, "takes 2 inputs, and it has 1"),
        ("Relu", [], {}, "takes 1 input, and it has 0"),
        ("Relu", ["x", "z"], {}, "takes 1 input, and it has 2"),
        ("Concat", [], {"axis": 0}, "takes at least 1 input, and it has 0"),
        ("Clip", ["", "x"], {}, "has no input number 0"),
        ("Cast", ["x"], {}, "has no attribute 'to'"),
        ("Softmax", ["x"], {"axis": "last"}, "has an attribute 'axis' that is not a whole number"),
        ("Transpose", ["x"], {"perm": 1}, "has an attribute 'perm' that is not a list of whole numbers"),
        ("Elu", ["x"], {"alpha": [1.0]}, "has an attribute 'alpha' that is not a number"),
        ("Einsum", ["x"], {"equation": "i->i", "extra": 1}, None),
        ("Clip", ["x", "", "z"], {}, None),
    ],
)
def test_a_node_that_does_not_fit_its_operator(
    op: str, inputs: list[str], attributes: dict[str, Any], says: str | None
) -> None:
    found = model(op, inputs, **attributes)
    if says is None:
        verifier.check(found)
        return
    with pytest.raises(GraphError, match=f"node 'n' \\({op}\\) {says}"):
        verifier.check(found)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", ["constant", "input"])
def test_scores_that_no_product_makes_are_no_attention(place: int, kind: str) -> None:
    """A Constant node has no inputs to look behind."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [4, 4], range(16))
    inputs = ["x", "x"]
    inputs[place] = "c" if kind == "constant" else "x"
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Mul", inputs, ["m"]),
        helper.make_node("Mul", ["m", "c"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"], axis=-1),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 4]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    found = from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    regraft.run(found, "fold-attention-scale,fuse-attention,externalize-mask,simplify-mask")
