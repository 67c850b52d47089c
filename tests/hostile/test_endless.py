"""What would never end, or take exponential time, ends: in a right answer, or in one clear line."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import regraft
from regraft.errors import GraphError
from regraft.files.convert import from_proto
from regraft.ir.endless import is_equation, written_out
from regraft.shapes.analysis import analyse
from regraft.verification.runtime import Session

IMPORTS = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]


def info(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes: list[onnx.NodeProto], functions: list[onnx.FunctionProto] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [info("x", ["b", 4])], [info("y", ["b", 4])])
    return helper.make_model(graph, opset_imports=IMPORTS, ir_version=9, functions=functions or [])


def function(name: str, *operators: tuple[str, str]) -> onnx.FunctionProto:
    """A function of one value that applies `operators`, each a domain and a name, one after the other."""
    nodes = [helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain=domain) for i, (domain, op) in enumerate(operators)]
    return helper.make_function("my", name, ["v0"], [f"v{len(nodes)}"], nodes, IMPORTS)


def doubled(levels: int) -> onnx.ModelProto:
    """Each function calls the one before twice: 2^levels calls in a few lines."""
    functions = [function("F0", ("", "Relu"), ("", "Neg"))]
    functions += [function(f"F{i}", ("my", f"F{i - 1}"), ("my", f"F{i - 1}")) for i in range(1, levels + 1)]
    return model([helper.make_node(f"F{levels}", ["x"], ["y"], domain="my")], functions)


def test_calls_of_functions_are_analysed_once_for_those_that_are_alike() -> None:
    found = from_proto(doubled(60))
    started = time.process_time()
    facts = analyse(found)
    regraft.run(found, "infer-shapes,fold-constants,eliminate-identity,convert-fp16,eliminate-dead-code")
    assert time.process_time() - started < 20
    assert [str(d) for d in facts[found.graph.outputs[0]].dims or ()] == ["b", "4"]
    assert written_out(from_proto(doubled(60))) == 2 * 2**60


def test_what_no_runtime_can_write_out_is_refused_before_it_is_asked() -> None:
    with pytest.raises(GraphError, match=r"write out as 2\.2e\+12 nodes"):
        Session(from_proto(doubled(40)))
    assert Session(from_proto(doubled(4))).run({"x": np.ones((2, 4), np.float32)})["y"].shape == (2, 4)


def test_dimensions_that_depend_on_values_differ_from_call_to_call() -> None:
    inner = function("Some", ("", "NonZero"))
    nodes = [helper.make_node("Some", ["x"], [name], domain="my") for name in ("one", "two")]
    concat = helper.make_node("Some", ["x"], ["y"], domain="my")
    found = from_proto(model([*nodes, concat], [inner]))
    facts = analyse(found)
    one, two = (facts[node.outputs[0]].dims for node in found.graph.nodes[:2])
    assert one is not None
    assert two is not None
    assert one[0] == two[0] == 2
    assert one[1] != two[1]


@pytest.mark.parametrize("size", [4, "b"])
def test_calls_that_are_not_alike_are_told_apart(size: int | str) -> None:
    inner = function("Turn", ("", "Transpose"))
    graph = helper.make_graph(
        [
            helper.make_node("Turn", ["x"], ["t"], domain="my"),
            helper.make_node("Turn", ["z"], ["u"], domain="my"),
            helper.make_node("Turn", ["t"], ["y"], domain="my"),
        ],
        "g",
        [info("x", [size, 3]), info("z", [5, 6])],
        [info("y", [size, 3]), info("u", [6, 5])],
    )
    found = from_proto(helper.make_model(graph, opset_imports=IMPORTS, ir_version=9, functions=[inner]))
    facts = analyse(found)
    assert [[str(d) for d in facts[t].dims or ()] for t in found.graph.outputs] == [[str(size), "3"], ["6", "5"]]
    assert not facts.problems


@pytest.mark.parametrize(
    "functions",
    [[function("F", ("my", "F"))], [function("F", ("my", "G")), function("G", ("", "Relu"), ("my", "F"))]],
    ids=["itself", "each other"],
)
def test_functions_that_call_themselves_are_refused(functions: list[onnx.FunctionProto]) -> None:
    with pytest.raises(GraphError, match=r"function 'my\.[FG]' calls itself"):
        from_proto(model([helper.make_node("F", ["x"], ["y"], domain="my")], functions))


BAD = ["..ij,,k->zzz", "i.j->ij", "ij->->i", "i..->i", "1j", "...i...->i", "ij->i\n", "é", "i,j->(ij)"]
GOOD = ["ij,jk->ik", "i j , j k -> i k", "...ij,...jk->...ik", "ii->i", "i", "->", ",", "Ab,bC->AC", "i...->..."]


@pytest.mark.parametrize("equation", BAD)
def test_an_equation_that_means_nothing_is_refused_with_its_node(equation: str) -> None:
    node = helper.make_node("Einsum", ["x", "x"], ["y"], "sum", equation=equation)
    with pytest.raises(GraphError, match=r"node 'sum' \(Einsum\): '.*' is no equation of Einsum"):
        from_proto(model([node]))
    inner = function("F", ("", "Relu"))
    inner.node[0].CopyFrom(helper.make_node("Einsum", ["v0"], ["v1"], "inside", equation=equation))
    with pytest.raises(GraphError, match=r"node 'inside' \(Einsum\)"):
        from_proto(model([helper.make_node("F", ["x"], ["y"], domain="my")], [inner]))


@pytest.mark.parametrize("equation", GOOD)
def test_other_equations_are_taken(equation: str) -> None:
    assert is_equation(equation)


def test_an_equation_that_a_call_gives_is_looked_at_too() -> None:
    inner = function("F", ("", "Relu"))
    node = helper.make_node("Einsum", ["v0"], ["v1"], "inside")
    node.attribute.append(onnx.AttributeProto(name="equation", ref_attr_name="e", type=onnx.AttributeProto.STRING))
    inner.node[0].CopyFrom(node)
    inner.attribute.append("e")
    found = from_proto(model([helper.make_node("F", ["x"], ["y"], domain="my", e="..ij,,k->zzz")], [inner]))
    assert "'..ij,,k->zzz' is no equation" in analyse(found).problems[0]


@pytest.mark.parametrize("op", ["Sum", "Max", "Concat"])
def test_many_equal_inputs_take_linear_time(op: str) -> None:
    def seconds(count: int) -> float:
        more = {"axis": 0} if op == "Concat" else {}
        found = from_proto(model([helper.make_node(op, ["x"] * count, ["y"], **more)]))
        started = time.process_time()
        regraft.run(found, "infer-shapes,fold-constants,eliminate-common-subexpressions,fuse-gelu,eliminate-dead-code")
        return time.process_time() - started

    seconds(100)
    assert seconds(8_000) < 20 * max(seconds(1_000), 0.05)
