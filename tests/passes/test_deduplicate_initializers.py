from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.inspection.contents import same
from regraft.ir.graph import Constant
from regraft.ir.weights import Stored
from regraft.passes.deduplicate_initializers import DeduplicateInitializers


def read(model):
    return {t for node in model.nodes() for t in node.inputs if isinstance(t, Constant)}


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0, 3.0], False),
        ([0.0, 2.0], [-0.0, 2.0], False),
        ([float("nan")], [float("nan")], True),
        (np.float32([1, 2]), np.int32([1, 2]), False),
        (np.float32([0, 0]), np.int32([0, 0]), False),
        (np.zeros((2, 3)), np.zeros((3, 2)), False),
        (np.zeros((0, 3)), np.zeros((0, 3)), True),
        (np.array(["a", "bc"], object), np.array(["a", "bc"], object), True),
        (np.array(["ab", "c"], object), np.array(["a", "bc"], object), False),
        (np.array(["", "a,1"], object), np.array(["a,1", ""], object), False),
        (np.arange(10**6), np.arange(10**6), True),
        (np.arange(10**6), np.where(np.arange(10**6) == 123456, 0, np.arange(10**6)), False),
    ],
)
def test_values_are_compared_by_bits(a, b, equal):
    groups = same([Constant("a", np.asarray(a)), Constant("b", np.asarray(b))])
    assert [[c.name for c in group] for group in groups] == ([["a", "b"]] if equal else [["a"], ["b"]])


def test_copies_become_one(parse, apply):
    model = parse(
        """g (float[2] x) => (float[2] y) <float[2] w = {1, 2}, float[2] copy = {1, 2}, float[2] other = {1, 3}> {
            a = Add(x, w) b = Mul(a, copy) c = Sub(b, other) y = Sub(copy, c) }"""
    )
    result = apply(model, DeduplicateInitializers())
    assert {c.name for c in read(model)} == {"w", "other"}
    assert result.notes == ["copies removed: 1, 8 bytes"]


def test_outputs_and_defaults_of_inputs_stay(parse, apply):
    model = parse(
        """g (float[2] x, float[2] d = {1, 2}) => (float[2] y, float[2] w) <float[2] w = {1, 2}, float[2] v = {1, 2}> {
            a = Add(x, d) b = Mul(a, w) y = Sub(b, v) }"""
    )
    apply(model, DeduplicateInitializers())
    assert {c.name for c in read(model)} == {"w", "v"}
    assert model.graph.inputs[1].default is not None


def test_bodies_share_one(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            y = If(c) <then_branch = t () => (float[2] u) <float[2] w = {1, 2}, float[2] k = {5, 6}> {
                           e = Add(x, w) u = Mul(e, k) },
                       else_branch = f () => (float[2] v) <float[2] k = {1, 2}, float[2] m = {7, 8}> {
                           h = Sub(x, k) v = Mul(h, m) }>
        }"""
    )
    apply(model, DeduplicateInitializers())
    assert len(read(model)) == 3


def test_a_shared_initializer_takes_a_name_that_no_body_has(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y) {
            y = If(c) <then_branch = t () => (float[2] u) <float[2] w = {1, 2}> { u = Add(x, w) },
                       else_branch = f () => (float[2] v) <float[2] w = {7, 8}, float[2] k = {1, 2}> {
                           h = Sub(x, k) v = Mul(h, w) }>
        }"""
    )
    for chosen in (True, False):
        apply(model, DeduplicateInitializers(), inputs={"x": np.float32([3, 4]), "c": np.array(chosen)})
    assert len(read(model)) == 2


@pytest.fixture
def stored(tmp_path):
    """A file with six tensors of 64 KiB: two equal, one like them but for a value, and three others."""
    values = np.random.default_rng(0).normal(size=(6, 128, 128)).astype(np.float32)
    values[1] = values[2] = values[0]
    values[2, 37, 5] += 1  # outside the sampled blocks
    nodes, last = [], "x"
    for i in range(6):
        nodes.append(helper.make_node("Add", [last, f"w{i}"], [f"v{i}"]))
        last = f"v{i}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [128, 128]) for name in ("x", "v5")]
    graph = helper.make_graph(
        nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(v, f"w{i}") for i, v in enumerate(values)]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_weights_in_a_file(stored, apply, tmp_path):
    model = regraft.load(stored)
    apply(model, DeduplicateInitializers())
    assert {c.name for c in read(model)} == {"w0", "w2", "w3", "w4", "w5"}
    assert all(isinstance(c.lazy, Stored) for c in read(model))
    regraft.save(model, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").stat().st_size < stored.stat().st_size - 60_000


def test_only_what_agrees_so_far_is_read(stored, monkeypatch):
    sizes = []
    pread, preadv = os.pread, os.preadv
    model = regraft.load(stored)
    monkeypatch.setattr("os.pread", lambda fd, size, at: sizes.append(size) or pread(fd, size, at))
    monkeypatch.setattr("os.preadv", lambda fd, to, at: sizes.append(sum(map(len, to))) or preadv(fd, to, at))
    DeduplicateInitializers().run(model, regraft.Context())
    assert sum(sizes) == 6 * 3 * 4096 + 3 * 65536


@pytest.mark.slow
def test_memory_does_not_follow_the_weights(tmp_path):
    script = f"""
import json, numpy as np, onnx, regraft
from onnx import helper, TensorProto
from regraft.passes.deduplicate_initializers import DeduplicateInitializers
n, size = 10, 128 << 20
with open({str(tmp_path / "w")!r}, "wb") as file:
    file.truncate(n * size)
tensors = []
for i in range(n):
    t = TensorProto(name=f"w{{i}}", data_type=1, dims=[size // 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w"), ("offset", i * size), ("length", size)):
        t.external_data.add(key=key, value=str(value))
    tensors.append(t)
x, y = (helper.make_tensor_value_info(name, 1, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Sum", ["x", *(t.name for t in tensors)], ["y"])], "g", [x], [y], tensors)
onnx.save(helper.make_model(graph), {str(tmp_path / "m.onnx")!r})
model = regraft.load({str(tmp_path / "m.onnx")!r})
DeduplicateInitializers().run(model, regraft.Context())
left = len(set(model.graph.nodes[0].inputs))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss has the parent's in it
print(json.dumps([left, int(peak.split()[1])]))
"""
    left, kilobytes = json.loads(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
    assert left == 2
    assert kilobytes < 150_000


def test_the_readers_of_copies_are_reported(parse, apply):
    constants = "float[2] w = {1, 2}, float[2] v = {1, 2}"
    model = parse(f"g (float[2] x) => (float[2] y) <{constants}> {{ a = Add(x, w) y = Mul(a, v) }}")
    [change] = apply(model, DeduplicateInitializers()).changes
    assert change.removed == change.added == ("%y",)
