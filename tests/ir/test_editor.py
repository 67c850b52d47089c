from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import parser

from regraft.errors import GraphError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir import verifier
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.ir.nodes import Nodes
from regraft.rewriting.decomposed import provide
from regraft.shapes import declare_types


def model(body: str, ends: str = "(float[4] x) => (float[4] y)", constants: str = "") -> Model:
    """A model in onnx's text format; `constants` such as `<float w = {2}>`."""
    return from_proto(parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g {ends} {constants} {{ {body} }}'))


def text(edited: Model) -> list[str]:
    """The nodes as they are written, once the model is found sound."""
    verifier.check(edited)
    proto = to_proto(edited)
    onnx.checker.check_model(proto, full_check=True)
    verifier.check(from_proto(proto))
    return [f"{','.join(n.output)} = {n.op_type}({','.join(n.input)})" for n in proto.graph.node]


def find(edited: Model, name: str) -> Tensor:
    tensors = [t for n in edited.nodes() for t in (*n.inputs, *n.outputs)]
    return next(t for t in [*tensors, *edited.graph.inputs, *edited.graph.outputs] if t.name == name)


def bypass(edited: Model, op: str = "Identity") -> None:
    """Take out each `op` node, its readers reading its input."""
    with Editor(edited) as edit:
        for graph in edited.graphs():
            for node in edit.live_nodes(graph):
                if node.op == op:
                    edit.replace(node.outputs[0], node.inputs[0])
                    edit.remove(node)


# ------------------------------------------------------------------------------------------------ replace


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Relu(x) b = Identity(a) y = Abs(b)", ["a = Relu(x)", "y = Abs(a)"]),
        ("a = Identity(x) b = Identity(a) y = Add(b, a)", ["y = Add(x,x)"]),
        ("a = Relu(x) y = Identity(a)", ["y = Relu(x)"]),
        ("a = Relu(x) b = Identity(a) c = Identity(b) y = Identity(c)", ["y = Relu(x)"]),
        ("a = Relu(x) b = Abs(a) y = Identity(a)", ["y = Relu(x)", "b = Abs(y)"]),
        ("y = Identity(x)", ["y = Identity(x)"]),
        ("a = Identity(x) y = Identity(a)", ["y = Identity(x)"]),
    ],
)
def test_replace_reaches_every_reader_and_keeps_the_output(body: str, expected: list[str]) -> None:
    edited = model(body)
    bypass(edited)
    assert text(edited) == expected


def test_an_output_keeps_name_and_type() -> None:
    edited = model("a = Relu(x) y = Identity(a)", "(float[n] x) => (float[4] y)")
    edited.graph.outputs[0].info = onnx.ValueInfoProto(doc_string="doc")
    find(edited, "a").shape = ["n"]
    bypass(edited)
    output = to_proto(edited).graph.output[0]
    assert (output.name, output.doc_string) == ("y", "doc")
    assert output.type.tensor_type.shape.dim[0].dim_value == 4


@pytest.mark.parametrize(
    ("body", "ends", "expected"),
    [
        (
            "a = Relu(x) y = Identity(a) z = Identity(a)",
            "(float[4] x) => (float[4] y, float[4] z)",
            ["y = Relu(x)", "z = Identity(y)"],
        ),
        (
            "y = Relu(x) z = Identity(y)",
            "(float[4] x) => (float[4] y, float[4] z)",
            ["y = Relu(x)", "z = Identity(y)"],
        ),
    ],
)
def test_two_outputs_of_one_value_stay_two(body: str, ends: str, expected: list[str]) -> None:
    edited = model(body, ends)
    bypass(edited)
    assert text(edited) == expected


@pytest.mark.parametrize(("op", "needed"), [("Identity", True), ("Abs", False)])
def test_needs_identity_foretells_it(op: str, needed: bool) -> None:
    edited = model(f"a = Relu(x) b = {op}(x) y = Identity(b)")
    with Editor(edited) as edit:
        new = find(edited, "x" if needed else "a")
        assert edit.needs_identity(find(edited, "y"), new) == needed
        assert not edit.needs_identity(find(edited, "a"), new)


def test_an_output_can_become_a_constant() -> None:
    edited = model("a = Relu(x) y = Add(a, w)", constants="<float[4] w = {1, 2, 3, 4}>")
    with Editor(edited) as edit:
        node = find(edited, "y").inputs[0]
        edit.replace(node.outputs[0], find(edited, "w"))
        edit.remove_unread([find(edited, "a").inputs[0], node])
    assert text(edited) == ["y = Identity(w)"]


def test_a_constant_that_is_an_output_can_be_replaced() -> None:
    edited = model("z = Relu(x)", "(float[4] x) => (float[4] z, float[4] y)", "<float[4] y = {1, 2, 3, 4}>")
    with Editor(edited) as edit:
        edit.replace(edited.graph.outputs[1], edit.constant(np.ones(4, np.float32), "w"))
    assert text(edited) == ["z = Relu(x)", "y = Identity(w)"]
    assert [t.name for t in to_proto(edited).graph.initializer] == ["w"]


def test_an_input_that_is_an_output_cannot_be_replaced() -> None:
    edited = model("a = Relu(x)", "(float[4] x) => (float[4] a)")
    edited.graph.outputs.append(edited.graph.inputs[0])
    with pytest.raises(GraphError, match="'x' is an input and an output of graph 'g'"), Editor(edited) as edit:
        edit.replace(edited.graph.inputs[0], find(edited, "a"))


BRANCHES = """a = Relu(x) y = If(c) <
    then_branch = t () => (float[4] p) { p = Identity(a) },
    else_branch = e () => (float[4] q) { r = Abs(a) q = Identity(r) }>"""


def test_a_body_whose_output_becomes_an_outer_value_gets_an_identity() -> None:
    edited = model(BRANCHES, "(float[4] x, bool c) => (float[4] y)")
    bypass(edited)
    assert text(edited) == ["a = Relu(x)", "y = If(c)"]
    ops = {body.name: [n.op for n in body.nodes] for body in subgraphs(edited.graph.nodes[1])}
    assert ops == {"t": ["Identity"], "e": ["Abs"]}


def test_replace_reaches_readers_in_bodies() -> None:
    edited = model(BRANCHES, "(float[4] x, bool c) => (float[4] y)")
    bypass(edited, "Relu")
    verifier.check(edited)
    bodies = list(subgraphs(edited.graph.nodes[0]))
    assert all(body.nodes[0].inputs[0] is edited.graph.inputs[0] for body in bodies)


def test_replacing_by_itself_changes_nothing() -> None:
    edited = model("a = Relu(x) y = Abs(a)")
    with Editor(edited) as edit:
        edit.replace(find(edited, "a"), find(edited, "a"))
    assert text(edited) == ["a = Relu(x)", "y = Abs(a)"]


# ------------------------------------------------------------------------------------------------ insert and remove


def test_new_nodes_stand_where_their_values_are_there() -> None:
    edited = model("a = Relu(x) b = Abs(x) y = Add(a, b)")
    with Editor(edited) as edit:
        relu, absolute, add = edited.graph.nodes
        product = edit.insert(relu, "Mul", [relu.outputs[0], absolute.outputs[0]], hint="product")
        negative = edit.insert(product, "Neg", product.outputs, outputs=[add.outputs[0]])
        edit.remove(add)
    assert [n.op for n in edited.graph.nodes] == ["Relu", "Abs", "Mul", "Neg"]
    assert text(edited)[-1] == "y = Neg(product_output)"
    assert negative.outputs[0].inputs == [negative]


def test_a_chain_inserted_back_to_front_is_whole() -> None:
    edited = model("y = Relu(x)")
    with Editor(edited) as edit:
        relu = edited.graph.nodes[0]
        before, value = relu, relu.inputs[0]
        for _ in range(5):
            before = edit.insert(before, "Abs", [value])
            value = before.outputs[0]
        relu.inputs[0] = value
    assert [n.op for n in edited.graph.nodes] == ["Abs"] * 5 + ["Relu"]
    assert len(text(edited)) == 6


def test_a_node_inserted_and_removed_is_gone() -> None:
    edited = model("y = Relu(x)")
    with Editor(edited) as edit:
        edit.remove(edit.insert(edited.graph.nodes[0], "Abs", [edited.graph.inputs[0]]))
    assert text(edited) == ["y = Relu(x)"]
    assert edited.graph.inputs[0].outputs == edited.graph.nodes


def test_insert_in_a_body_stays_in_it() -> None:
    edited = model(BRANCHES, "(float[4] x, bool c) => (float[4] y)")
    with Editor(edited) as edit:
        target = next(n for n in edited.nodes() if n.op == "Abs")
        target.inputs[0] = edit.insert(target, "Neg", [target.inputs[0]]).outputs[0]
    body = edited.graph.nodes[1].attrs["else_branch"]
    assert [n.op for n in body.nodes] == ["Neg", "Abs", "Identity"]
    text(edited)


def test_nodes_keep_their_order() -> None:
    body = " ".join(f"v{i} = Relu(x)" for i in range(10)) + " y = Sum(" + ", ".join(f"v{i}" for i in range(10)) + ")"
    edited = model(body)
    with Editor(edited) as edit:
        edit.insert(edited.graph.nodes[5], "Abs", [edited.graph.inputs[0]], outputs=[Variable("extra")])
        edit.remove(edited.graph.nodes[3])
        edited.graph.nodes[-1].inputs.pop(3)
    assert [n.outputs[0].name for n in edited.graph.nodes] == [
        *("v0", "v1", "v2", "v4", "extra", "v5", "v6", "v7", "v8", "v9", "y")
    ]


def test_what_is_removed_is_asked_for_at_once() -> None:
    edited = model("a = Relu(x) b = Abs(a) c = Neg(a) y = Add(b, c)")
    relu, absolute, negative, add = edited.graph.nodes
    with Editor(edited) as edit:
        a = relu.outputs[0]
        edit.replace(absolute.outputs[0], a)
        edit.remove(absolute)
        assert list(edit.users(a)) == [negative, add]
        assert list(edit.live_nodes(edited.graph)) == [relu, negative, add]
        edit.replace(negative.outputs[0], a)
        edit.remove(negative)
        assert edit.is_read(a)
        assert list(edit.users(a)) == [add, add]
        assert edit.is_read(add.outputs[0])
    assert relu.outputs[0].outputs == [add, add]
    assert not absolute.inputs


def test_remove_unread_takes_a_dead_group_and_nothing_else() -> None:
    edited = model("a = Relu(x) b = Abs(a) c = Neg(b) y = Identity(x)")
    with Editor(edited) as edit:
        kept = edit.remove_unread(edited.graph.nodes[:2])
        assert kept == []
        removed = edit.remove_unread(edited.graph.nodes)
    assert {n.op for n in removed} == {"Relu", "Abs", "Neg"}
    assert text(edited) == ["y = Identity(x)"]


def test_removing_a_node_removes_what_its_bodies_read() -> None:
    edited = model(BRANCHES + " z = Abs(x)", "(float[4] x, bool c) => (float[4] z)")
    with Editor(edited) as edit:
        assert len(edit.remove_unread(edited.graph.nodes)) == 2
    assert text(edited) == ["z = Abs(x)"]
    assert [n.op for n in edited.graph.inputs[0].outputs] == ["Abs"]


def test_an_error_inside_leaves_the_lists_alone() -> None:
    edited = model("a = Relu(x) y = Abs(a)")

    def fail() -> None:
        with Editor(edited) as edit:
            edit.remove(edited.graph.nodes[1])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(edited.graph.nodes) == 2


# ------------------------------------------------------------------------------------------------ names and constants


def test_names_are_new() -> None:
    edited = model(
        "[a_1] a = Relu(x) y = Abs(a)", "(float[4] x) => (float[4] y)", "<float unused = {2}, float[4] a_2 = {1,2,3,4}>"
    )
    with Editor(edited) as edit:
        names = [edit.name(hint) for hint in ("a", "a", "unused", "x", "", "new", "new")]
    assert names == ["a_3", "a_4", "unused_1", "x_1", "_1", "new", "new_1"]


def test_scalars_are_shared_within_a_graph() -> None:
    edited = model(BRANCHES, "(float[4] x, bool c) => (float[4] y)")
    with Editor(edited) as edit:
        half, double = np.dtype(np.float16), np.dtype(np.float64)
        first = edit.scalar(0.5, half, edited.graph)
        assert first is edit.scalar(0.5, half, edited.graph)
        others = [edit.scalar(0.5, double, edited.graph), edit.scalar(2, half, edited.graph)]
        others.append(edit.scalar(0.5, half, subgraphs(edited.graph.nodes[1])[0]))
    assert len({first, *others}) == 4
    assert len({c.name for c in (first, *others)}) == 4
    assert (first.values, first.dtype, first.shape) == (0.5, half, ())


def test_an_input_with_a_default_is_no_maker() -> None:
    edited = model("y = Identity(w)", "(float[4] x, float[4] w) => (float[4] y)", "<float[4] w = {1, 2, 3, 4}>")
    bypass(edited)
    assert text(edited) == ["y = Identity(w)"]
    assert not isinstance(edited.graph.inputs[1], Constant)


# ------------------------------------------------------------------------------------------------ cost


class Counting(Nodes):
    """A list of nodes that counts those that were looked at."""

    looked = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        for item in super().__iter__():
            Counting.looked += 1
            yield item


@pytest.mark.parametrize("readers", [False, True], ids=["a chain", "one value read by all"])
def test_the_cost_is_linear(readers: bool) -> None:
    def cost(count: int) -> int:
        nodes, last = [], Variable("v0", np.dtype(np.float32), [4])
        first = last
        for i in range(count):
            out = Variable(f"v{i + 1}", np.dtype(np.float32), [4])
            nodes.append(Node("Identity", f"n{i}", None, [first if readers else last], [out]))
            last = out
        edited = model("y = Relu(x)")
        vars(edited.graph)["nodes"] = Counting(edited.graph, nodes)
        edited.graph.inputs, edited.graph.outputs = [first], [last]
        Counting.looked = 0
        bypass(edited)
        assert len(edited.graph.nodes) == 1
        return Counting.looked

    assert cost(2000) < 2.5 * cost(1000)


# --------------------------------------------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (2**53, 2**53 + 1, np.int64),
        (2**64 - 1, 2**64 - 2, np.uint64),
        (0.0, -0.0, np.float32),
        (1.0, 1.0 + 2.0**-52, np.float64),
        (1, 1, np.int64),
        (0.1, np.float32(0.1).item(), np.float32),
        (np.nan, np.nan, np.float32),
    ],
)
def test_scalars_are_one_where_their_bits_are(one: float, other: float, dtype: type) -> None:
    edited = model("y = Relu(x)")
    with Editor(edited) as edit:
        made = [edit.scalar(value, np.dtype(dtype), edited.graph) for value in (one, other)]
        again = edit.scalar(one, np.dtype(dtype), edited.graph)
    bits = [np.array(value, dtype).tobytes() for value in (one, other)]
    assert [constant.values.tobytes() for constant in made] == bits
    assert (made[0] is made[1]) == (bits[0] == bits[1])
    assert again is made[0]


# ------------------------------------------------------------------------------------------------- exceptions

GRAPH = """c = Constant<value_float=2.0>() a = Relu(x) b = Identity(a) d = Mul(b, w) y = Identity(d)
z = If (go) <then_branch = t () => (float[4] p) { q = Abs(b) p = Identity(q) },
             else_branch = e () => (float[4] r) { r = Identity(a) }> k = Sub(a, c)"""
ENDS = "(float[4] x, bool go) => (float[4] y, float[4] z, float[4] k, float[4] x)"


def edits(edited: Model, edit: Editor) -> Iterator[None]:
    """Edits of every kind, one by one."""
    nodes = {node.outputs[0].name: node for node in edited.nodes()}
    for name in ("b", "y", "p", "r"):
        edit.replace(nodes[name].outputs[0], nodes[name].inputs[0])
        yield
        edit.remove(nodes[name])
        yield
    made = edit.insert(nodes["d"], "Add", [nodes["a"].outputs[0], edit.scalar(1.0, np.dtype("f4"), edited.graph)])
    yield
    edit.replace(nodes["d"].outputs[0], made.outputs[0])
    yield
    edit.replace(nodes["k"].outputs[0], Constant("five", np.full(4, 5, np.float32)))
    yield
    edit.insert(nodes["q"], "Neg", [nodes["a"].outputs[0]], outputs=[nodes["q"].outputs[0]])
    edit.remove(nodes["q"])
    yield
    edit.remove_unread([nodes["d"], nodes["a"]])
    yield
    provide(edited, "Gelu", {}, np.dtype(np.float32))
    yield


def fail_after(edited: Model, steps: int) -> None:
    with Editor(edited) as edit:
        for _ in itertools.islice(edits(edited, edit), steps):
            pass
        raise KeyError("what a pass got wrong")


@pytest.mark.parametrize("steps", range(1, 16))
def test_an_exception_takes_every_edit_back(steps: int) -> None:
    edited = model(GRAPH, ENDS, "<float[4] w = {1, 2, 3, 4}>")
    before, links = to_proto(edited), [(list(t.inputs), list(t.outputs)) for t in tensors_of(edited)]
    with pytest.raises(KeyError):
        fail_after(edited, steps)
    assert to_proto(edited) == before
    assert [(list(t.inputs), list(t.outputs)) for t in tensors_of(edited)] == links
    verifier.check(edited)
    bypass(edited)
    text(edited)


def test_what_is_known_stays_the_value_it_was() -> None:
    edited = model("a = Relu(x) b = Constant<value_floats=[2.0]>() c = Mul(a, b) y = Add(c, b)")
    verifier.check(edited)
    made = find(edited, "b")
    with Editor(edited) as edit:
        known = edit.know(made.inputs[0], np.array([2], np.float32))
    assert known is made
    assert find(edited, "b") is made
    assert [node.op for node in edited.nodes()] == ["Relu", "Mul", "Add"]
    assert list(made.outputs) == edited.graph.nodes[1:]
    assert text(edited) == ["a = Relu(x)", "c = Mul(a,b)", "y = Add(c,b)"]


def test_an_exception_takes_back_that_a_value_is_known() -> None:
    edited = model("a = Relu(x) b = Constant<value_floats=[2.0]>() y = Mul(a, b)")
    declare_types(edited)
    before, made = to_proto(edited), find(edited, "b")

    def know_and_fail() -> None:
        with Editor(edited) as edit:
            edit.know(made.inputs[0], np.array(3, np.int64))
            raise KeyError

    with pytest.raises(KeyError):
        know_and_fail()
    assert isinstance(made, Variable)
    assert (made.dtype, made.shape, made.inputs[0].op) == (np.float32, [1], "Constant")
    assert to_proto(edited) == before
    assert len(text(edited)) == 3


def turn_round(edited: Model) -> None:
    first, last = edited.graph.nodes[0], edited.graph.nodes[-1]
    with Editor(edited) as edit:
        made = edit.insert(first, "Add", [last.outputs[0], first.inputs[0]])
        edit.touch(first, *first.inputs, made.outputs[0])
        first.inputs[0] = made.outputs[0]


def test_an_edit_that_makes_a_cycle_is_taken_back() -> None:
    edited = model("a = Relu(x) b = Neg(a) y = Abs(b)")
    before = to_proto(edited)
    with pytest.raises(GraphError, match="cycle"):
        turn_round(edited)
    assert to_proto(edited) == before
    verifier.check(edited)


def tensors_of(edited: Model) -> list[Tensor]:
    """Every value, in an order that the graphs decide."""
    found = [t for node in edited.nodes() for t in (*node.inputs, *node.outputs)]
    return list(dict.fromkeys([*edited.graph.inputs, *found, *edited.graph.outputs]))


def test_old_names_of_the_editor_work_and_warn():
    y, z = Variable("y"), Variable("z")
    model = Model(Graph([Node("Relu", "one", inputs=[Variable("x")], outputs=[y]), Node("Neg", "two", None, [y], [z])]))
    model.graph.outputs = [z]
    with Editor(model) as edit:
        with pytest.warns(DeprecationWarning, match="Editor.ends is now Editor.graph_outputs"):
            assert edit.ends is edit.graph_outputs
        with pytest.warns(DeprecationWarning, match="live_nodes"):
            assert list(edit.alive(model.graph)) == model.graph.nodes
        with pytest.warns(DeprecationWarning, match="users"):
            assert list(edit.readers(y)) == [model.graph.nodes[1]]
        with pytest.raises(AttributeError, match="no attribute 'end'"):
            edit.end  # noqa: B018
