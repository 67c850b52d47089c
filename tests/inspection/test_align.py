"""Which nodes are the same: sequences, the order of the graph, and what the record of a rewrite says."""

from __future__ import annotations

import itertools
import random

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

import regraft
from regraft.files import convert
from regraft.inspection.align import Alignment
from regraft.inspection.order import in_order
from regraft.inspection.sequence import _BLOCK, common, increasing
from regraft.ir.clone import clone
from regraft.models import chain
from regraft.pipelines import manager
from tests.growth import calls
from tests.inspection.recorded_pairs import PIPELINES, Lineage, agreement, models, name_nodes, rewritten, shuffle


def longest(one, other) -> int:
    """The length of a longest common subsequence, by the table."""
    row = [0] * (len(other) + 1)
    for x in one:
        diagonal = 0
        for j, y in enumerate(other):
            diagonal, row[j + 1] = row[j + 1], diagonal + 1 if x == y else max(row[j + 1], row[j])
    return row[-1]


@given(st.text("abc", max_size=40), st.text("abc", max_size=40))
def test_a_common_subsequence_is_a_longest_one(one, other):
    found = list(common(one, other))
    assert all(one[i] == other[j] for i, j in found)
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(found))
    assert len(found) == longest(one, other)


def test_long_sequences_are_followed_through_their_blocks():
    one = list(range(3 * _BLOCK))
    other = [item for item in one if item % 7]
    assert len(list(common(one, other))) == len(other)
    assert len(list(common(other, one))) == len(other)
    assert list(common(["a"] * (2 * _BLOCK), ["b"] * (2 * _BLOCK))) == []


@given(st.permutations(range(7)))
def test_increasing_is_the_longest_part(values):
    found = increasing(list(enumerate(values)))
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(found))
    best = max(n for n in range(8) if any(list(part) == sorted(part) for part in itertools.combinations(values, n)))
    assert len(found) == best


@pytest.mark.parametrize("seed", range(3))
def test_the_order_does_not_follow_the_file(artifacts, seed):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-dynamo.onnx")
    name_nodes(model)
    stood, expected = (list(map(str, names)) for names in (_names(model.graph.nodes), _names(in_order(model))))
    random.Random(seed).shuffle(nodes := list(model.graph.nodes))
    model.graph.nodes[:] = nodes
    model.graph.toposort()
    assert _names(model.graph.nodes) != stood
    assert _names(in_order(model)) == expected
    place = {tensor: i for i, node in enumerate(in_order(model)) for tensor in node.outputs}
    assert all(place[t] < i for i, node in enumerate(in_order(model)) for t in node.inputs if t in place)


def _names(nodes) -> list[str]:
    return [node.name for node in nodes]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_structure_pairs_what_the_record_does(artifacts, pipeline):
    """Of all models, after dropping the record and dealing names to other nodes and values."""
    nodes = right = 0
    for path in models([artifacts]):
        before = regraft.load(path)
        name_nodes(before)
        if (after := rewritten(before, PIPELINES[pipeline])) is not None:
            found = agreement(before, after)
            nodes, right = nodes + found.nodes, right + found.right
    assert nodes > 5_000
    assert right >= 0.98 * nodes, f"{right / nodes:.2%} of {nodes}"


def test_wrong_pairs_do_not_agree_with_the_record(artifacts):
    before = regraft.load(artifacts / "pytorch/bert-cls-eager-ts.onnx")
    name_nodes(before)
    after = rewritten(before, "lower-layer-norm,lower-gelu")
    record = Lineage(before, after)
    olds, news = list(before.nodes()), list(after.nodes())
    assert sum(record.agrees(old, new) for old, new in zip(olds, news, strict=False)) < 0.5 * len(olds)
    assert not any(record.agrees(old, None) for old in record.after)


def test_the_record_tells_though_structure_would_not(artifacts):
    before = regraft.load(artifacts / "pytorch/roberta-sdpa-ts.onnx")
    name_nodes(before)
    after = rewritten(before, PIPELINES["clean up"])
    record, found = Lineage(before, after), Alignment(before, after)
    pairs = [(old, found.after.get(old)) for old in before.nodes()]
    assert all(record.agrees(old, new) for old, new in pairs)


def numbered(shift: int) -> regraft.Model:
    """Ten Relus and Sigmoids in turn, whose names count operators, as exporters do, beginning with `shift`."""
    counts = {"Relu": shift, "Sigmoid": 0}
    nodes = []
    for i in range(20):
        op = ("Relu", "Sigmoid")[i % 2]
        nodes.append(helper.make_node(op, [f"v{i}" if i else "x"], [f"v{i + 1}"], f"{op}_{counts[op]}"))
        counts[op] += 1
    if shift:
        nodes.insert(0, helper.make_node("Relu", ["x0"], ["x"], "Relu_0"))
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4]) for n in ("x0" if shift else "x", "v20")]
    return convert.from_proto(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))


def test_names_that_count_do_not_mislead():
    before, after = numbered(0), numbered(1)
    found = Alignment(before, after)
    pairs = {(a.name, b.name) for a, b in found.after.items()}
    assert {(f"Sigmoid_{i}", f"Sigmoid_{i}") for i in range(10)} < pairs
    assert {(f"Relu_{i}", f"Relu_{i + 1}") for i in range(1, 10)} < pairs
    assert (len(found.removed), len(found.added)) == (0, 1)


def test_names_that_agree_with_neighbours_tell():
    """Between two changes of a row of equal nodes nothing else does."""

    def build(first: int, last: int) -> regraft.Model:
        ops = ["Relu"] * 30
        ops[first] = ops[last] = "Neg"
        nodes = [helper.make_node(op, [f"v{i}" if i else "x"], [f"v{i + 1}"], f"n{i}") for i, op in enumerate(ops)]
        ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4]) for n in ("x", "v30")]
        return convert.from_proto(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))

    found = Alignment(build(3, 20), build(9, 26))
    assert all(a.name == b.name for a, b in found.after.items())
    assert found.removed == found.added == []


def weights_in_a_row(order: list[int], before: str, after: str) -> regraft.Model:
    """Products with a weight each, in `order`, between an operator before them, and one after."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((16, 16)).astype(np.float32) for _ in order]
    nodes = [helper.make_node("MatMul", ["v", f"w{i}"], [f"y{i}"]) for i in order]
    tensors = [onnx.numpy_helper.from_array(weights[i], f"w{i}") for i in order]
    ends = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [16, 16])]
    outputs = [helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [16, 16])]
    nodes = [
        helper.make_node(before, ["x"], ["v"]),
        *nodes,
        helper.make_node("Sum", [f"y{i}" for i in order], ["all"]),
        helper.make_node(after, ["all"], ["sum"]),
    ]
    return convert.from_proto(helper.make_model(helper.make_graph(nodes, "g", ends, outputs, tensors)))


def test_weights_tell_nodes_by_what_they_hold():
    order = [3, 1, 4, 0, 5, 2]
    before, after = weights_in_a_row([0, 1, 2, 3, 4, 5], "Relu", "Neg"), weights_in_a_row(order, "Abs", "Exp")
    shuffle(after)
    for old, new in Alignment(before, after).after.items():
        if old.op == "MatMul":
            assert old.inputs[1].values.tobytes() == new.inputs[1].values.tobytes()


@pytest.mark.parametrize("recorded", [True, False])
def test_work_grows_as_the_model_does(recorded):
    def work(nodes: int) -> int:
        before = chain.build(nodes)
        after = clone(before)
        manager.run(after, "fuse-gelu,fuse-layer-norm")
        if not recorded:
            shuffle(after)
            after.metadata.clear()
        return calls(lambda: Alignment(before, after))

    assert work(4_000) < 2.3 * work(2_000)
