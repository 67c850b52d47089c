"""Weights that differ: each once, with how far it moved."""

from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import regraft
from regraft.files import convert
from regraft.files.loading import load
from regraft.inspection import elements
from regraft.inspection.diff import diff
from regraft.inspection.distance import distance
from regraft.ir.graph import Constant

FLOAT = onnx.TensorProto.FLOAT


def model(weights: dict[str, np.ndarray], readers: int = 1, constant_nodes: bool = False) -> regraft.Model:
    """Sums of the input and each weight, which `readers` nodes read."""
    nodes, value = [], "x"
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    if constant_nodes:
        nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors]
    for name in weights:
        for i in range(readers):
            nodes.append(helper.make_node("Add", [value, name], [f"{name}_{i}"], f"add {name} {i}"))
            value = f"{name}_{i}"
    nodes.append(helper.make_node("Relu", [value], ["y"]))
    ends = [helper.make_tensor_value_info(name, FLOAT, None) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [] if constant_nodes else tensors)
    return convert.from_proto(helper.make_model(graph))


def expected(a: np.ndarray, b: np.ndarray) -> tuple[int, float, float]:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return int((x != y).sum()), float(np.abs(x - y).max()), float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.mark.parametrize("shape", [(3, 5), (40, 40)])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int64"])
def test_figures_are_those_of_numpy(dtype, stored, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(elements, "PIECE", 64)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(0)
    one = (rng.standard_normal(shape) * 20).astype(kind)
    other = one.copy()
    other.reshape(-1)[::4] = (one.reshape(-1)[::4] + np.asarray(3, kind)).astype(kind)
    sides = [model({"w": array}) for array in (one, other)]
    if stored:
        sides = [regraft.load(regraft.save(m, tmp_path / f"{i}.onnx", "external")) for i, m in enumerate(sides)]
    (change,) = diff(*sides).weights
    assert (change.name, change.content, change.elements) == ("w", True, one.size)
    differing, max_abs, cosine = expected(one, other)
    assert change.differing == differing
    assert change.max_abs == max_abs
    assert change.cosine == pytest.approx(cosine, abs=1e-12)


def test_large_integers_differ_though_floats_would_not():
    one = np.array([2**53, 5], np.int64)
    assert distance(Constant("a", one), Constant("b", one + np.array([1, 0]))).differing == 1


@pytest.mark.parametrize(
    ("a", "b", "differing", "max_abs", "cosine"),
    [
        ([0.0, 1.0], [-0.0, 1.0], 0, 0.0, 1.0),
        ([math.nan, 1.0], [math.nan, 1.0], 0, 0.0, None),
        ([math.nan, 1.0], [0.0, 1.0], 1, math.inf, None),
        ([math.inf, 1.0], [math.inf, 2.0], 1, 1.0, None),
        ([0.0, 0.0], [0.0, 0.0], 0, 0.0, 1.0),
        ([0.0, 0.0], [1.0, 0.0], 1, 1.0, 0.0),
        ([1.0, 0.0], [-1.0, 0.0], 1, 2.0, -1.0),
    ],
)
def test_values_at_the_edge(a, b, differing, max_abs, cosine):
    found = distance(*(Constant("w", np.array(values, np.float32)) for values in (a, b)))
    assert found == (differing, max_abs, cosine)


def test_text_has_no_distance():
    one, other = (Constant("t", np.array(words, object)) for words in (["a", "b"], ["a", "c"]))
    assert distance(one, other) == (1, None, None)


def test_a_figure_that_is_not_finite_is_text_in_json():
    one, other = (model({"w": np.array([value, 1], np.float32)}) for value in (1.0, np.inf))
    (weight,) = json.loads(diff(one, other).to_json(), parse_constant=pytest.fail)["weights"]
    assert weight["max_abs"] == "inf"


@pytest.mark.parametrize("constant_nodes", [False, True])
@pytest.mark.parametrize("size", [1, 400])
def test_a_weight_stands_once_and_its_readers_are_the_same(size, constant_nodes):
    one, other = (model({"w": np.full(size, value, np.float32)}, 5, constant_nodes) for value in (0.5, 0.75))
    found = diff(one, other)
    assert [(w.name, w.max_abs) for w in found.weights] == [("w", 0.25)]
    assert (found.changed, found.removed, found.added) == ((), (), ())
    assert found.weights[0].values == (("[0.5]", "[0.75]") if size == 1 else None)


def test_a_constant_node_is_as_good_as_an_initializer():
    weights = {"w": np.array([1.5, 2.5], np.float32), "v": np.ones(300, np.float32)}
    found = diff(model(weights, 3, True), model(weights, 3))
    assert (found.weights, found.changed, found.added) == ((), (), ())
    assert {node.operator for node in found.removed} == {"Constant"}


def test_a_change_of_dtype_is_one_line():
    names = [f"w{i}" for i in range(4)]
    one, other = (
        model({name: np.full((20, 20), 0.1 * i, dtype) for i, name in enumerate(names)})
        for dtype in (np.float32, np.float16)
    )
    found = diff(one, other)
    assert len(found.weights) == 4
    (line,) = (line for line in str(found).splitlines() if "float16" in line)
    assert line.startswith("  ~ float32 -> float16: 4 weights, max |d| 4.88e-05")


def test_a_weight_that_another_node_reads_under_another_name_is_no_change():
    weight = np.random.default_rng(0).standard_normal((20, 20)).astype(np.float32)

    def build(op: str, name: str) -> regraft.Model:
        tensors = [numpy_helper.from_array(weight, name)]
        ends = [helper.make_tensor_value_info(n, FLOAT, [20, 20]) for n in "xy"]
        return convert.from_proto(
            helper.make_model(
                helper.make_graph([helper.make_node(op, ["x", name], ["y"])], "g", ends[:1], ends[1:], tensors)
            )
        )

    found = diff(build("MatMul", "w"), build("Gemm", "v"))
    assert found.weights == ()
    assert [edit.kind for edit in found.regions] == ["MatMul -> Gemm"]


def test_a_weight_that_the_other_model_lacks_went():
    found = diff(model({"w": np.ones((20, 20), np.float32), "v": np.zeros(400, np.float32)}), model({}))
    assert [(w.name, w.before, w.after) for w in found.weights] == [
        ("w", "float32[20, 20]", None),
        ("v", "float32[400]", None),
    ]


def test_a_missing_file_is_no_equality(tmp_path):
    paths = [tmp_path / name / "m.onnx" for name in "ab"]
    for path, value in zip(paths, (1, 2), strict=True):
        path.parent.mkdir()
        regraft.save(model({"w": np.full((20, 20), value, np.float32)}), path, "external")
    next(file for file in paths[1].parent.iterdir() if file != paths[1]).unlink()
    found = diff(load(paths[0]), load(paths[1], weights=False))
    assert [(w.content, w.differing) for w in found.weights] == [(True, None)]
    assert "not compared: a file is missing" in str(found)
