"""fold-constants: what is computed, what is left and why, how far the file grows, and that no bit changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.folding import evaluate
from regraft.ir.graph import Constant, Function
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.ir.weights import Derived
from regraft.passes.fold_constants import FoldConstants
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import exact
from regraft.verification.runtime import Session

EXPORTS = {  # file: nodes before, at most as many after
    "pytorch/bert-cls-eager-dynamo.onnx": (97, 97),
    "pytorch/bert-cls-eager-ts.onnx": (243, 112),
    "pytorch/bert-cls-sdpa-dynamo.onnx": (121, 119),
    "pytorch/bert-cls-sdpa-ts.onnx": (292, 121),
    "pytorch/bert-qa-eager-dynamo.onnx": (98, 98),
    "pytorch/distilbert-sdpa-dynamo.onnx": (119, 117),
    "pytorch/distilbert-sdpa-ts.onnx": (290, 119),
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": (224, 129),
    "tensorflow/tiny_seq32_op18.onnx": (272, 186),
}


def parse(text: str, opset: int = 20) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}, "local" : 1]>\n{text}'))


def fold(model: Model, **options: Any) -> Context:
    context = Context("fold-constants")
    FoldConstants(**options).run(model, context)
    check(model)
    return context


def ops(model: Model) -> list[str]:
    return [node.op for node in model.nodes()]


def weight_bytes(model: Model) -> int:
    """Bytes of all constants in the file."""
    return sum(c.nbytes for c in constants(model))


def constants(model: Model) -> Iterator[Constant]:
    seen: set[Constant] = set()
    for graph in model.graphs():
        for node in graph.nodes:
            seen.update(
                t
                for t in (*node.inputs, *node.attrs.values())
                if isinstance(t, Constant) and node.op != "ConstantOfShape"
            )
        seen.update(graph.unused)
    yield from seen


def same_outputs(before: Model, after: Model, feeds: dict[str, Any]) -> None:
    drift = exact.check(Session(before).run(feeds), Session(after).run(feeds))
    assert drift.passed, str(drift)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_smaller_and_computes_the_same(artifacts: Path, name: str) -> None:
    model = regraft.load(artifacts / name)
    before, size = clone(model), weight_bytes(model)
    nodes, bar = EXPORTS[name]
    assert len(model.graph.nodes) == nodes
    context = fold(model)
    assert len(model.graph.nodes) <= bar
    assert weight_bytes(model) <= size + 1024
    assert context.notes == []
    for batch, length in ((1, 7), (3, 32)):
        feeds = {
            t.name: np.ones(
                [d if isinstance(d, int) else length if i else batch for i, d in enumerate(t.shape)], t.dtype
            )
            for t in model.graph.inputs
        }
        same_outputs(before, model, feeds)


@pytest.mark.parametrize("name", ["pytorch/bert-cls-sdpa-ts.onnx", "pytorch/bert-cls-eager-ts-train.onnx"])
def test_folding_twice_is_folding_once(artifacts: Path, name: str, tmp_path: Path) -> None:
    model = regraft.load(artifacts / name)
    fold(model)
    again = regraft.load(regraft.save(model, tmp_path / "model.onnx"))
    assert fold(again).changes == []


CASES = {  # body, operators left
    "arithmetic": ("c = Constant<value_float=2.0>()\n d = Sqrt(c)\n x = Mul(a, d)", ["Mul"]),
    "a dimension": (
        """s = Shape(a)
           i = Constant<value_int=1>()
           d = Gather(s, i)
           f = Cast<to=1>(d)
           x = Mul(a, f)""",
        ["Mul"],
    ),
    "number of elements of a static part": (
        """s = Shape<start=1>(a)
           n = ReduceProd<keepdims=0>(s)
           f = Cast<to=1>(n)
           x = Add(a, f)""",
        ["Add"],
    ),
    "values, then shapes, then values": (
        """two = Constant<value_float=2.0>()
           four = Mul(two, two)
           count = Cast<to=7>(four)
           one = Constant<value_ints=[1]>()
           shape = Reshape(count, one)
           zeros = ConstantOfShape(shape)
           s = Shape(zeros)
           f = Cast<to=1>(s)
           x = Add(a, f)""",
        ["Add"],
    ),
    "reshape to its own dimensions": (
        """n = Shape<start=0, end=1>(a)
           rest = Constant<value_ints=[2,2]>()
           t = Concat<axis=0>(n, rest)
           x = Reshape(a, t)""",
        ["Reshape"],
    ),
    "reshape of a product": (
        """n = Shape<start=0, end=1>(a)
           two = Constant<value_ints=[2]>()
           m = Mul(n, two)
           t = Concat<axis=0>(m, two)
           x = Reshape(a, t)""",
        ["Reshape"],
    ),
    "expand to its own shape": ("s = Shape(a)\n e = Expand(a, s)\n x = Relu(e)", ["Relu"]),
    "a constant output": ("c = Constant<value_floats=[1.0, 2.0]>()\n x = Neg(c)", ["Identity"]),
    "random": ("r = RandomNormal<shape=[4], seed=1.0>()\n x = Add(a, r)", ["RandomNormal", "Add"]),
    "quantized weight": (
        """w = Constant<value = int8[4] {1, 2, 3, 4}>()
           s = Constant<value_float=0.5>()
           d = DequantizeLinear(w, s)
           x = Mul(a, d)""",
        ["DequantizeLinear", "Mul"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left(case: str) -> None:
    body, left = CASES[case]
    model = parse(f"g (float[n,4] a) => (float[] x) {{ {body} }}")
    before = clone(model)
    context = fold(model)
    assert ops(model) == left
    assert context.notes == []
    same_outputs(before, model, {"a": np.arange(12, dtype=np.float32).reshape(3, 4)})


def test_bits_are_those_of_the_model() -> None:
    model = parse(
        """g (float[4] a) => (float[4] x, float[4] y) {
             z = Constant<value_floats=[0.0, -1.0, 1.0, 4.0]>()
             n = Neg(z)
             q = Sqrt(n)
             e = Erf(z)
             x = Mul(a, n)
             y = Add(q, e)
           }"""
    )
    before = clone(model)
    fold(model)
    old, new = (Session(m).run({"a": np.ones(4, np.float32)}) for m in (before, model))
    assert np.signbit(new["x"])[0]
    assert np.isnan(new["y"])[3]
    assert all(old[name].tobytes() == new[name].tobytes() for name in old)


@pytest.mark.parametrize(("source", "folds"), [("[0.5, 2.0]", True), ("[0.1, 2.0]", False)])
def test_nothing_is_rounded_to_half_precision(source: str, folds: bool) -> None:
    model = parse(
        f"""g (float16[2] a) => (float16[2] x) {{
              c = Constant<value_floats={source}>()
              h = Cast<to=10>(c)
              x = Mul(a, h)
            }}"""
    )
    fold(model)
    assert ops(model) == (["Mul"] if folds else ["Cast", "Mul"])


@pytest.mark.parametrize("rows", [3, 0])
def test_a_reshape_loses_an_allowzero_that_means_no_zero(rows: int) -> None:
    model = parse(
        """g (float[n,4] a) => (float[] x) {
             n = Shape<start=0, end=1>(a)
             rest = Constant<value_ints=[2,2]>()
             t = Concat<axis=0>(n, rest)
             x = Reshape<allowzero=1>(a, t)
           }"""
    )
    before = clone(model)
    fold(model)
    (reshape,) = [node for node in model.graph.nodes if node.op == "Reshape"]
    assert isinstance(reshape.inputs[1], Constant)
    assert list(reshape.inputs[1].values) == [0, 2, 2]
    assert "allowzero" not in reshape.attrs
    same_outputs(before, model, {"a": np.ones((rows, 4), np.float32)})


def test_a_reshape_with_allowzero_keeps_its_zero() -> None:
    model = parse(
        """g (float[n,0] a) => (float[] x) {
             n = Shape<start=0, end=1>(a)
             rest = Constant<value_ints=[4,0]>()
             t = Concat<axis=0>(n, rest)
             x = Reshape<allowzero=1>(a, t)
           }"""
    )
    before = clone(model)
    fold(model)
    (reshape,) = [node for node in model.graph.nodes if node.op == "Reshape"]
    assert reshape.attrs == {"allowzero": 1}
    same_outputs(before, model, {"a": np.ones((3, 0), np.float32)})


def test_a_body_is_folded_and_sees_what_is_around_it() -> None:
    model = parse(
        """g (bool c, float[2] a) => (float[2] x) {
             w = Constant<value_floats=[1.0, 4.0]>()
             x = If (c) <
               then_branch = t () => (float[2] p) {
                 r = Sqrt(w)
                 k = Constant<value_float=3.0>()
                 s = Mul(r, k)
                 p = Add(a, s)
               },
               else_branch = e () => (float[2] q) { q = Neg(w) }
             >
           }"""
    )
    before = clone(model)
    fold(model)
    assert sorted(ops(model)) == ["Add", "Identity", "If"]
    for c in (True, False):
        same_outputs(before, model, {"c": np.array(c), "a": np.ones(2, np.float32)})


def test_what_went_with_another_fold_is_not_counted_again() -> None:
    model = parse(
        """g (float[2,n] x, bool go) => (int64[1] y, int64[1] z) <int64[1] c = {2}> {
            k = Neg(c)
            s = Shape(x)
            a = Concat<axis = 0>(c)
            b = ReduceProd<keepdims = 1>(a)
            r = Reshape(s, b)
            n = Shape(r)
            z = Add(n, k)
            y = If (go) <then_branch = t () => (int64[1] p) { p = Identity(a) },
                         else_branch = e () => (int64[1] q) { q = Identity(c) }>
        }"""
    )
    before = clone(model)
    fold(model)
    same_outputs(before, model, {"x": np.zeros((2, 3), np.float32), "go": np.array(True)})


def test_an_output_that_a_branch_reads_keeps_its_name() -> None:
    model = parse(
        """g (float[2] x) => (float[2] y, float[2] w) <bool c = {1}, float[2] w = {1, 2}> {
            y = If (c) <then_branch = t () => (float[2] q) { q = Add(x, w) },
                        else_branch = e () => (float[2] r) { r = Sub(x, x) }>
        }"""
    )
    fold(model)
    assert ops(model) == ["Add"]
    assert [tensor.name for tensor in model.graph.outputs] == ["y", "w"]


@pytest.mark.parametrize("outer", ["true", "false"])
@pytest.mark.parametrize("inner", ["true", "false"])
def test_a_branch_takes_the_place_of_its_if(outer: str, inner: str) -> None:
    value = {"true": 1, "false": 0}
    model = parse(
        f"""g (bool free, float[2] a) => (float[2] x, float[2] z) {{
              c = Constant<value = bool {{{value[outer]}}}>()
              p = Relu(a)
              y = If (c) <
                then_branch = t () => (float[2] q) {{
                  d = Constant<value = bool {{{value[inner]}}}>()
                  k = Constant<value_floats=[1.0, 2.0]>()
                  q = If (d) <
                    then_branch = tt () => (float[2] r) {{ w = Add(p, k)
                                                           r = Mul(w, k) }},
                    else_branch = te () => (float[2] r) {{ r = Sub(p, k) }}
                  >
                }},
                else_branch = e () => (float[2] q) {{ q = Neg(p) }}
              >
              x = If (free) <
                then_branch = t2 () => (float[2] s) {{ w = Exp(y)
                                                       s = Add(w, y) }},
                else_branch = e2 () => (float[2] s) {{ k = Constant<value_floats=[5.0, 6.0]>()
                                                       s = Mul(y, k) }}
              >
              z = If (c) < then_branch = t3 () => (float[2] u) {{ u = Abs(a) }},
                           else_branch = e3 () => (float[2] u) {{ u = Identity(p) }} >
            }}"""
    )
    before = clone(model)
    fold(model)
    assert ops(model).count("If") == 1
    assert [t.name for t in model.graph.outputs] == ["x", "z"]
    for free in (True, False):
        same_outputs(before, model, {"free": np.array(free), "a": np.array([-1, 2], np.float32)})


def test_a_function_holds_its_constants_as_nodes() -> None:
    model = parse(
        """g (float[2] a) => (float[2] x) { x = local.f<axis=0>(a) }
           <domain: "local", opset_import: ["" : 20]>
           f <axis> (p) => (q) {
             k = Constant<value_floats=[1.0, 4.0]>()
             r = Sqrt(k)
             i = Constant<value_int: int = @axis>()
             j = Neg(i)
             h = Cast<to=1>(j)
             s = Add(p, r)
             q = Add(s, h)
           }"""
    )
    before = clone(model)
    fold(model)
    (function,) = [g for g in model.graphs() if isinstance(g, Function)]
    assert Counter(n.op for n in function.nodes) == Counter({"Constant": 1, "Neg": 1, "Cast": 1, "Add": 2})
    same_outputs(before, model, {"a": np.ones(2, np.float32)})
    assert fold(from_proto(regraft.to_proto(model))).changes == []


def test_an_input_with_a_default_is_no_constant() -> None:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["w"], ["x"])],
        "g",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.ones(2, np.float32), "w")],
    )
    model = from_proto(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]))
    fold(model)
    assert ops(model) == ["Neg"]


def test_what_cannot_run_is_noted_and_the_rest_is_folded() -> None:
    model = parse(
        """g (float[2] a) => (float[2] x) {
             data = Constant<value_floats=[1.0, 2.0]>()
             out = Constant<value_ints=[5, 0]>()
             bad = Gather(data, out)
             good = Sqrt(data)
             worse = Add(bad, good)
             y = Add(a, worse)
             x = Mul(y, good)
           }"""
    )
    (note,) = fold(model).notes
    assert "(Gather) is not folded" in note
    assert "\n" not in note
    assert sorted(ops(model)) == ["Add", "Add", "Gather", "Mul"]


def test_all_that_cannot_run_alike_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[int] = []
    monkeypatch.setattr(evaluate, "Session", lambda model: sessions.append(len(model.graph.nodes)) or Session(model))
    model = parse(
        """g (float[2] a) => (float[2] x) {
             data = Constant<value_floats=[1.0, 2.0]>()
             out = Constant<value_ints=[5, 0]>()
             bad = Gather(data, out)
             worse = Gather(data, out)
             bad_too = Gather(data, out)
             y = Add(a, bad)
             z = Add(y, worse)
             x = Add(z, bad_too)
           }"""
    )
    assert len(fold(model).notes) == 3
    assert ops(model).count("Gather") == 3
    assert max(sessions) == 1
    assert len(sessions) <= 3


def test_what_is_computed_alike_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(evaluate, "Session", lambda model: sizes.append(len(model.graph.nodes)) or Session(model))
    model = parse(
        """g (float[2] a) => (float[2] x, float[2] y, float[2] z, float[2] w) {
             one = Constant<value_floats=[1.0, 4.0]>()
             same = Constant<value_floats=[1.0, 4.0]>()
             other = Constant<value_floats=[9.0, 4.0]>()
             r1 = Sqrt(one)
             r2 = Sqrt(same)
             r3 = Sqrt(other)
             t1 = LeakyRelu<alpha = 1.0>(r1)
             t2 = LeakyRelu<alpha = 2.0>(r1)
             x = Add(a, t1)
             y = Add(a, t2)
             z = Add(a, r2)
             w = Add(a, r3)
           }"""
    )
    before = Session(clone(model)).run({"a": np.array([1, 2], np.float32)})
    fold(model)
    assert sizes == [4]  # two roots, and LeakyRelu by either attribute
    assert ops(model) == ["Add"] * 4
    after = Session(model).run({"a": np.array([1, 2], np.float32)})
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_is_too_large_is_noted_and_what_leads_to_it_is_folded() -> None:
    model = parse(
        """g (float[512,1024] a) => (float[512,1024] x) {
             half = Constant<value_ints=[256,512]>()
             shape = Add(half, half)
             big = ConstantOfShape(shape)
             x = Add(a, big)
           }"""
    )
    (note,) = fold(model).notes
    assert "(ConstantOfShape) is not folded" in note
    assert "max-bytes=1MiB" in note
    assert ops(model) == ["ConstantOfShape", "Add"]
    fold(model, max_bytes="2MiB")
    assert ops(model) == ["Add"]


def big_weight(op: str, **attrs: Any) -> Model:
    weight = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
    graph = helper.make_graph(
        [helper.make_node(op, ["w"], ["t"], "turn", **attrs), helper.make_node("MatMul", ["a", "t"], ["x"])],
        "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 1024])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1024])],
        [numpy_helper.from_array(weight, "w")],
    )
    return from_proto(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]))


@pytest.mark.parametrize(("op", "attrs"), [("Transpose", {"perm": [1, 0]}), ("Neg", {})])
def test_a_large_result_is_computed_while_saving(op: str, attrs: dict[str, Any], tmp_path: Path) -> None:
    model = big_weight(op, **attrs)
    before = clone(model)
    fold(model, max_bytes=0)
    (weight,) = constants(model)
    assert isinstance(weight.lazy, Derived)
    saved = regraft.load(regraft.save(model, tmp_path / "model.onnx"))
    same_outputs(before, saved, {"a": np.eye(2, 1024, dtype=np.float32)})


def test_parts_of_one_weight_are_folded_together() -> None:
    model = parse(
        """g (float[4] a) => (float[] x) <float[8] v = {1, 2, 3, 4, 5, 6, 7, 8}> {
             p, q = Split<num_outputs=2>(v)
             x = Concat<axis=0>(p, a, q)
           }"""
    )
    fold(model, max_bytes=0)
    assert ops(model) == ["Concat"]


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Constants and what is computed from them, some of it read by nodes that depend on the input."""
    values = [f"w{i}" for i in range(draw(st.integers(1, 3)))]
    initializers = [
        numpy_helper.from_array(np.arange(n * 4, dtype=np.float32).reshape(n, 4), name)
        for name in values
        for n in [draw(st.sampled_from([1, 2, 8, 300]))]
    ]
    initializers += [numpy_helper.from_array(np.array([k], np.int64), f"k{k}") for k in range(4)]
    nodes, dynamic = [], ["a"]
    for i in range(draw(st.integers(1, 8))):
        op = draw(st.sampled_from(["Neg", "Concat", "Slice", "Tile", "ReduceSum", "Mul", "Use"]))
        source, other, k = draw(st.sampled_from(values)), draw(st.sampled_from(values)), draw(st.integers(1, 3))
        out = f"v{i}"
        if op == "Concat":
            nodes.append(helper.make_node(op, [source, other], [out], axis=0))
        elif op == "Slice":
            nodes.append(helper.make_node(op, [source, "k0", f"k{k}", "k0"], [out]))
        elif op == "Tile":
            nodes.append(helper.make_node("Concat", [f"k{k}", "k1"], [f"{out}_r"], axis=0))
            nodes.append(helper.make_node(op, [source, f"{out}_r"], [out]))
        elif op == "ReduceSum":
            nodes.append(helper.make_node(op, [source, "k0"], [out], keepdims=1))
        elif op == "Use":
            nodes.append(helper.make_node("ReduceMax", [source, "k0"], [f"{out}_m"], keepdims=0))
            nodes.append(helper.make_node("Add", [dynamic[-1], f"{out}_m"], [out]))
            dynamic.append(out)
            continue
        else:
            nodes.append(helper.make_node(op, [source, source] if op == "Mul" else [source], [out]))
        values.append(out)
    used = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    for name in used:
        nodes.append(helper.make_node("Concat", [dynamic[-1], name], [f"x_{name}"], axis=0))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(f"x_{name}", TensorProto.FLOAT, [None, 4]) for name in used],
        [t for t in initializers if any(t.name in node.input for node in nodes)],
    )
    return from_proto(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]))


@settings(max_examples=150)
@given(models(), st.sampled_from([0, 16, 100, 5_000, 10**6]))
def test_the_file_never_grows_past_the_limit_and_the_outputs_stay(model: Model, limit: int) -> None:
    before, size = clone(model), weight_bytes(model)
    fold(model, max_bytes=limit)
    assert weight_bytes(model) - size <= limit
    same_outputs(before, model, {"a": np.ones((2, 4), np.float32)})
    if limit == 10**6:
        assert not any(node.op in ("Neg", "Tile", "ReduceSum", "Mul") for node in model.graph.nodes)


# ------------------------------------------------------------------------------------------------- packed weights

PACKED = {
    "int8": "f = Cast <to = 1> (q)  w = Mul (f, s)",
    "a zero point": "z = Cast <to = 1> (zero)  f = Cast <to = 1> (q)  c = Sub (f, z)  w = Mul (c, s)",
    "by way of int32": """f = Cast <to = 6> (q)  z = Cast <to = 6> (zero)  c = Sub (f, z)  d = Cast <to = 1> (c)
      w = Mul (d, s)""",
    "behind a view": "t = Transpose (q)  f = Cast <to = 1> (t)  w = Mul (f, s)",
    "uint8": "u = Cast <to = 2> (q)  f = Cast <to = 1> (u)  w = Mul (f, s)",
    "halves of bytes": """u = Cast <to = 2> (q)  low = BitwiseAnd (u, mask)
      high = BitShift <direction = "RIGHT"> (u, four)  both = Concat <axis = 0> (low, high)
      f = Cast <to = 1> (both)  w = Mul (f, s)""",
    "half": "h = Cast <to = 10> (q)  f = Cast <to = 1> (h)  w = Mul (f, s)",
}


@pytest.mark.parametrize("max_bytes", [1 << 20, 1 << 30])
@pytest.mark.parametrize("form", PACKED)
def test_packed_weights_stay_packed(form, max_bytes):
    numbers, rows = ", ".join(str(i % 251 - 125) for i in range(64)), 16 if form == "halves of bytes" else 8
    model = parse(f"""g (float[3, {rows}] x) => (float[3, 8] y)
    <int8[8, 8] q = {{{numbers}}}, float s = {{0.01}}, int8 zero = {{3}}, uint8 mask = {{15}}, uint8 four = {{4}}>
    {{ {PACKED[form]}  y = MatMul (x, w) }}""")
    before, size = clone(model), weight_bytes(model)
    inputs = {"x": np.arange(3 * rows, dtype=np.float32).reshape(3, rows)}
    context = fold(model, max_bytes=max_bytes)
    assert weight_bytes(model) <= size + 3  # the zero point is a number
    assert exact.check(Session(before).run(inputs), Session(model).run(inputs)).passed
    assert "Mul" in ops(model)
    assert any("that unpack weights in 8 or 16 bits stay" in note for note in context.notes)


def test_what_is_packed_again_is_folded():
    model = parse("""g (int8[2, 2] x) => (int8[2, 2] y) <int8[2, 2] q = {1, 2, 3, 4}, int32[2, 2] two = {2, 2, 2, 2}>
    { f = Cast <to = 6> (q)  m = Mul (f, two)  p = Cast <to = 3> (m)  y = Add (x, p) }""")
    fold(model)
    assert ops(model) == ["Add"]


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_a_single_number_is_no_weight(dtype):
    model = parse(f"""g (float[2] x) => (float[2] y) <{dtype} q = {{3}}> {{ f = Cast <to = 1> (q)  y = Mul (x, f) }}""")
    fold(model)
    assert ops(model) == ["Mul"]


def test_truths_are_masks_and_no_weights():
    model = parse("""g (float[4] x) => (float[4] y)
    <bool[4] keep = {1, 0, 1, 0}, float low = {-10000}, float zero = {0}>
    { m = Where (keep, zero, low)  y = Add (x, m) }""")
    fold(model)
    assert ops(model) == ["Add"]
