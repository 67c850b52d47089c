from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.clone import clone
from regraft.ir.graph import Constant, Graph, Node, Variable
from regraft.ir.host import Host
from regraft.ir.model import Model


def model() -> Model:
    value = helper.make_tensor_value_info
    inner = [helper.make_node("Add", ["h", "w"], ["b"], name="inner")]
    branch = helper.make_graph(inner, "branch", [], [value("b", 1, None)])
    nodes = [
        helper.make_node("Transpose", ["x"], ["h"], name="first", perm=[1, 0]),
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=branch),
    ]
    inputs = [value("x", TensorProto.FLOAT, ["n", 2]), value("d", TensorProto.FLOAT, [2])]
    initializers = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in ("w", "d", "unused")]
    initializers.append(numpy_helper.from_array(np.array(True), "c"))
    graph = helper.make_graph(nodes, "g", inputs, [value("y", TensorProto.FLOAT, ["n", 2])], initializers)
    called = helper.make_function("d", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [])
    proto = helper.make_model(graph, functions=[called], ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    return from_proto(proto)


def written(model: Model) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(to_proto(model))
    return proto


def test_it_is_written_alike() -> None:
    original = model()
    assert written(clone(original)) == written(original)


def test_bodies_read_the_values_of_the_copy() -> None:
    copied = clone(model())
    first, choice = copied.graph.nodes
    for body in (choice.attrs["then_branch"], choice.attrs["else_branch"]):
        assert body.nodes[0].inputs[0] is first.outputs[0]
    then, other = (choice.attrs[name].nodes[0] for name in ("then_branch", "else_branch"))
    assert then.inputs[1] is other.inputs[1]
    assert set(first.outputs[0].users) == {then, other}


def test_edits_of_one_leave_the_other() -> None:
    original = model()
    before, copied = written(original), clone(original)
    first, choice = copied.graph.nodes
    first.attrs["perm"].append(2)
    inner = choice.attrs["then_branch"].nodes[0]
    inner.inputs[1].values = np.zeros(2, np.float32)
    inner.inputs.pop()
    copied.graph.inputs[0].shape.append(3)
    copied.graph.inputs[1].default.name = "changed"
    copied.graph.unused.clear()
    copied.graph.outputs[0].promised = [7, 7]
    copied.functions[0].nodes[0].op = "Neg"
    copied.graph.import_domains.clear()
    copied.opset = 22
    assert written(original) == before
    again = clone(original)
    original.graph.nodes[0].attrs["perm"].clear()
    original.graph.inputs[0].name = "changed"
    assert written(again) == before


def test_weights_are_shared() -> None:
    original = model()
    (ours,), (theirs,) = original.graph.unused, clone(original).graph.unused
    assert theirs is not ours
    assert (theirs.lazy, theirs.order) == (ours.lazy, ours.order)


def test_the_host_is_copied() -> None:
    original, front = model(), model()
    original.claims = True
    original.host = Host(front, {"x": "y"}, [Variable("y", np.dtype(np.float32), [1])])
    copied = clone(original)
    assert copied.claims
    assert copied.host is not None
    assert written(copied.host.model) == written(front)
    copied.host.model.graph.nodes.clear()
    copied.host.feeds.clear()
    copied.host.outputs[0].shape = [2]
    assert len(front.graph.nodes) == 2
    assert (original.host.feeds, original.host.outputs[0].shape) == ({"x": "y"}, [1])


def test_an_output_that_is_a_constant_or_an_input() -> None:
    x, one = Variable("x", np.dtype(np.float32), [2]), Constant("one", np.ones(2, np.float32))
    original = Model(Graph([Node("Relu", "n", inputs=[x], outputs=[Variable("y")])], [x], [x, one]))
    copied = clone(original)
    assert copied.graph.outputs[0] is copied.graph.inputs[0] is copied.graph.nodes[0].inputs[0]
    assert copied.graph.outputs[0] is not x
    assert copied.graph.outputs[1].lazy is one.lazy
    assert written(copied) == written(original)
