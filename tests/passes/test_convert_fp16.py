"""`convert-fp16`: close to the 32-bit model, valid, and without a cast too many."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.errors import ModelError, PassError
from regraft.files.convert import clone
from regraft.ir.graph import Constant, Node, Variable, walk
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.models import minilm
from regraft.models.sentences import sentences
from regraft.passes.convert_fp16 import ConvertFp16
from regraft.pipelines.pass_base import Context
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import snapshot
from tests.shares import diagonal

FLOAT, HALF = 1, 10
_FLOATS = (np.float32, np.float16)
LOWEST = np.finfo(np.float32).min


def convert(
    model: Model, inputs: dict[str, Any] | None = None, rtol: float = 2e-3, atol: float = 2e-3, **options: Any
) -> Model:
    """Convert `model`: outputs stay close, no cast is redundant, and a second run changes nothing."""
    before, context = clone(model), Context("convert-fp16")
    ConvertFp16(**options).run(model, context)
    check(model)
    inputs = make_inputs(before) if inputs is None else inputs
    old, new = snapshot(before, inputs), snapshot(model, inputs)
    assert list(new) == list(old)
    for name, value in old.items():
        np.testing.assert_allclose(new[name], value, rtol, atol, err_msg=name)
    assert_no_cast_is_redundant(model, {node.name for node in before.nodes()})
    for root in model.roots:
        names = Counter(node.name for graph in walk(root) for node in graph.nodes if node.name)
        assert not [name for name, count in names.items() if count > 1]
    again = Context("convert-fp16")
    ConvertFp16(**options).run(clone(model), again)
    assert not again.changes
    return model


def assert_no_cast_is_redundant(model: Model, known: set[str]) -> None:
    """No cast of a constant, no two of one value to one dtype, none of a cast between the same two dtypes back."""
    casts = [node for node in model.nodes() if node.op == "Cast" and node.attrs["to"] in (FLOAT, HALF)]
    made = [node for node in casts if node.name not in known]
    assert not [node for node in made if isinstance(node.inputs[0], Constant)]
    assert not [k for k, n in Counter((id(c.inputs[0]), c.attrs["to"]) for c in casts).items() if n > 1]
    back_and_forth = [c for c in made for m in c.inputs[0].inputs if m in casts and _changes(m)]
    assert not back_and_forth


def _changes(cast: Node) -> bool:
    """Whether it is one between floats of two dtypes."""
    return cast.inputs[0].dtype in _FLOATS and cast.inputs[0].dtype != cast.outputs[0].dtype


def dtypes(model: Model) -> dict[str, str]:
    """The dtype of each value that has one, by name."""
    every = chain.from_iterable(
        (*graph.inputs, *(t for n in graph.nodes for t in (*n.inputs, *n.outputs))) for graph in model.graphs()
    )
    return {t.name: str(np.dtype(t.dtype)) for t in every if t.name and t.dtype is not None}


def casts(model: Model) -> int:
    return sum(node.op == "Cast" for node in model.nodes())


# ---------------------------------------------------------------------------------------------------- real models

ARTIFACTS = sorted(
    str(path.relative_to(Path(__file__).parents[1] / "artifacts"))
    for path in (Path(__file__).parents[1] / "artifacts").rglob("*.onnx")
    if "train" not in path.name  # it drops at random
)


@pytest.mark.parametrize(("name", "mode"), diagonal(3, ARTIFACTS, ["full", "matmul", "attention"]))
def test_an_artifact_stays_close_in_every_mode(artifacts, name, mode):
    model = regraft.load(artifacts / name)
    largest = max(np.abs(value).max() for value in snapshot(model, make_inputs(model)).values())
    convert(model, rtol=0, atol=2e-3 * largest, mode=mode)


@pytest.mark.parametrize(
    "name", ["pytorch/bert-cls-eager-ts.onnx", "pytorch/vit-ts.onnx", "pytorch/bert-cls-explicit-dynamo.onnx"]
)
def test_inputs_and_outputs_can_be_half_too(artifacts, name):
    model = convert(regraft.load(artifacts / name), io="fp16")
    ends = [tensor for tensor in (*model.graph.inputs, *model.graph.outputs) if np.dtype(tensor.dtype).kind == "f"]
    assert {str(np.dtype(tensor.dtype)) for tensor in ends} == {"float16"}
    assert {str(np.dtype(tensor.dtype)) for tensor in model.outputs} == {"float32"}


@pytest.mark.parametrize(
    ("name", "mode", "most"),
    [
        ("pytorch/bert-cls-sdpa-dynamo-op23.onnx", "full", 12),
        ("pytorch/bert-cls-eager-dynamo.onnx", "full", 16),
        ("pytorch/bert-cls-eager-dynamo.onnx", "attention", 12),
    ],
)
def test_an_encoder_of_two_layers_needs_few_casts(artifacts, name, mode, most):
    assert casts(convert(regraft.load(artifacts / name), mode=mode)) <= most


def test_weights_are_read_when_they_are_saved_and_not_before(artifacts, tmp_path):
    model = convert(regraft.load(artifacts / "pytorch/bert-cls-eager-ts.onnx"))
    size = regraft.save(model, tmp_path / "half.onnx").stat().st_size
    before = sum(
        v.nbytes
        for v in regraft.files.convert.export(regraft.load(artifacts / "pytorch/bert-cls-eager-ts.onnx")).values
    )
    after = sum(v.nbytes for v in regraft.files.convert.export(model).values)
    assert after < 0.55 * before
    assert size > after
    saved = regraft.load(tmp_path / "half.onnx")
    inputs = make_inputs(saved)
    assert snapshot(saved, inputs)["logits"].tobytes() == snapshot(model, inputs)["logits"].tobytes()


def test_the_demo_model_keeps_its_similarities():
    try:
        path = minilm.model_path()
        feeds = minilm.encode(sentences())
    except ModelError as error:
        pytest.skip(str(error))
    old = minilm.pair_similarities(Session(path))
    model = convert(regraft.load(path), feeds, rtol=0, atol=3e-3)
    assert np.abs(minilm.pair_similarities(Session(model)) - old).max() < 5e-4


def test_weights_that_share_their_bytes_share_them_in_half(artifacts, tmp_path):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-dynamo.onnx")
    weight = next(t for n in model.graph.nodes if n.op == "MatMul" for t in n.inputs if isinstance(t, Constant))
    twin = Constant("twin", weight.lazy)
    node = next(n for n in model.graph.nodes if weight in n.inputs)
    tied = Node("MatMul", "tied", None, [node.inputs[0], twin], [Variable("extra", np.float32)])
    model.graph.nodes.append(tied)
    model.graph.outputs.append(tied.outputs[0])
    convert(model)
    assert weight.lazy is twin.lazy


# ---------------------------------------------------------------------------------------------------- islands

PRODUCT = "<float[4, 4] w = {1, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0.5, 0, 0, 1}"


def test_nodes_that_share_an_input_share_its_cast(parse):
    model = convert(
        parse(f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
        {{ h = MatMul (x, w)  a = Softmax (h)  b = LogSoftmax (h)  c = ReduceMean (h)
           s = Sum (a, b, c)  y = MatMul (s, w) }}""")
    )
    assert casts(model) == 4  # x, h, s, y


def test_a_layer_norm_written_out_does_not_overflow(parse):
    text = f"""g (float[2, 4] x) => (float[2, 4] y)
    {PRODUCT}, int64[1] axes = {{-1}}, float two = {{2}}, float eps = {{1e-12}}, float[4] scale = {{1, 2, 3, 4}}>
    {{ h = MatMul (x, w)  mean = ReduceMean (h, axes)  d = Sub (h, mean)  square = SQUARE  v = ReduceMean (square, axes)
       e = Add (v, eps)  s = Sqrt (e)  n = Div (d, s)  z = Mul (n, scale)  y = MatMul (z, w) }}"""
    x = np.array([[900, -900, 300, 0], [1, 1, 1, 1]], np.float32)
    for square in ("Pow (d, two)", "Mul (d, d)"):
        model = convert(parse(text.replace("SQUARE", square)), {"x": x})
        kept = {name for name, dtype in dtypes(model).items() if dtype == "float32"}
        assert kept >= {"mean", "d", "square", "v", "e", "s", "n"}


@pytest.mark.parametrize("mode", ["full", "matmul", "attention"])
@pytest.mark.parametrize("lowest", [LOWEST, -np.inf, -1e9, -65504.0])
@pytest.mark.parametrize("form", ["Where", "Mul"])
def test_a_masked_row_is_no_nan_where_it_was_none(parse, mode, lowest, form):
    if np.isinf(lowest) and form == "Mul":
        pytest.skip("0 times infinity is NaN in any precision")
    bias = {
        "Where": "bias = Where (keep, zero, low)",
        "Mul": "f = Cast <to = 1> (keep) i = Sub (one, f) bias = Mul (i, low)",
    }
    model = parse(
        f"""g (float[2, 4, 4] q, bool[2, 1, 4] keep) => (float[2, 4, 4] y)
        {PRODUCT}, float zero = {{0}}, float one = {{1}}, float low = {{1}}, float scale = {{0.5}}>
        {{ a = MatMul (q, w)  b = MatMul (q, w)  v = MatMul (q, w)  k = Transpose <perm = [0, 2, 1]> (b)
           products = MatMul (a, k)  scores = Mul (products, scale)  {bias[form]}
           masked = Add (scores, bias)  p = Softmax (masked)  c = MatMul (p, v)  y = MatMul (c, w) }}"""
    )
    low = next(t for node in model.graph.nodes for t in node.inputs if t.name == "low")
    low.values = np.array(lowest, np.float32)
    keep = np.array([[[True, True, False, True]], [[False] * 4]])
    q = 0.3 * np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    if np.isinf(lowest):
        keep[1] = True
    inputs = {"q": q, "keep": keep}
    expected = snapshot(model, inputs)["y"]
    found = snapshot(convert(model, inputs, atol=5 if mode == "attention" else 5e-3, mode=mode), inputs)["y"]
    np.testing.assert_allclose(found[0], expected[0], atol=5e-3)
    assert np.isfinite(found).all()  # a row that is masked throughout has no meaning, but values


def test_a_weight_that_overflows_keeps_its_node(parse):
    model = parse("g (float[1, 2] x) => (float[1, 2] y) <float[2, 2] w = {70000, 0, 0, 1}> { y = MatMul (x, w) }")
    assert casts(convert(model)) == 0


@pytest.mark.parametrize("op", ["Exp", "Softmax", "ReduceSum", "Log", "Sin"])
def test_what_needs_the_range_or_the_digits_stays(parse, op):
    model = parse(
        f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
        {{ h = MatMul (x, w)  a = Abs (h)  t = {op} (a)  u = Mul (t, h)  y = MatMul (u, w) }}"""
    )
    inputs = {"x": np.array([[1, 2, 3, 4], [0.5, 0.25, 2, 1]], np.float32)}
    assert dtypes(convert(model, inputs, rtol=5e-3))["t"] == "float32"


# ---------------------------------------------------------------------------------------------------- bodies

BRANCH = f"""g (float[2, 4] x, bool b) => (float[2, 4] y) {PRODUCT}>
{{ h = MatMul (x, w)
   r = If (b) <then_branch = t () => (float[2, 4] p) {{ s = Softmax (h)  p = MatMul (s, w) }},
               else_branch = e () => (float[2, 4] n) {{ n = Neg (h) }}>
   y = MatMul (r, w) }}"""


@pytest.mark.parametrize("b", [True, False])
def test_what_stays_can_stand_in_a_branch(parse, b):
    model = convert(parse(BRANCH), {"x": np.ones((2, 4), np.float32), "b": np.array(b)})
    assert dtypes(model)["s"] == "float32"
    assert dtypes(model)["r"] == dtypes(model)["n"] == "float16"


def test_a_loop_hands_on_one_precision(parse):
    model = parse(f"""g (float[4, 4] x, int64 n, bool go) => (float[4, 4] y, float[K, 4] rows)
    {PRODUCT}, float[4, 4] start = {{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}}, int64[1] axes = {{0}}>
    {{ h = MatMul (x, w)
       z, rows = Loop (n, go, h) <body = b (int64 i, bool c, float[4, 4] s) => (bool c2, float[4, 4] s2, float[4] row)
         {{ c2 = Identity (c)  m = MatMul (s, start)  s2 = Softmax (m)  row = ReduceMean <keepdims = 0> (s2, axes) }}>
       y = MatMul (z, start) }}""")
    inputs = {"x": np.eye(4, dtype=np.float32), "n": np.array(3), "go": np.array(True)}
    convert(model, inputs)


def test_a_scan_is_cut_and_stacked_in_one_precision(parse):
    model = parse(f"""g (float[3, 2, 4] x, float[2, 4] zero) => (float[2, 4] last, float[3, 2, 4] y) {PRODUCT}>
    {{ h = MatMul (x, w)
       last, all = Scan (zero, h) <num_scan_inputs = 1,
         body = b (float[2, 4] s, float[2, 4] piece) => (float[2, 4] t, float[2, 4] u)
         {{ p = MatMul (piece, w)  t = Add (s, p)  u = MatMul (t, w) }}>
       y = MatMul (all, w) }}""")
    convert(model, rtol=5e-3, atol=2e-2)


ENDS = {  # a body gives the model's output, or a value that is lowered
    "If": """r = If (b) <then_branch = t () => (float[2, 4] p) { p = MatMul (h, w) },
                        else_branch = e () => (float[2, 4] q) { q = MatMul (x, w) }>""",
    "Loop": """r, rows = Loop (n, , h)
                 <body = l (int64 i, bool c, float[2, 4] s) => (bool c2, float[2, 4] t, float[2, 4] u)
                 { c2 = Identity (c)  t = MatMul (s, w)  u = Identity (t) }>""",
    "Scan": """r, rows = Scan (h, z) <num_scan_inputs = 1,
                 body = s (float[2, 4] s, float[2, 4] piece) => (float[2, 4] t, float[2, 4] u)
                 { p = MatMul (piece, w)  t = MatMul (s, w)  u = Add (p, t) }>""",
}


@pytest.mark.parametrize("is_end", [False, True])
@pytest.mark.parametrize("op", ENDS)
def test_a_body_that_gives_a_lowered_value_needs_no_host(parse, tmp_path, op, is_end):
    model = parse(f"""g (float[2, 4] x, float[3, 2, 4] z, bool b, int64 n) => (float[2, 4] {"r" if is_end else "y"})
    {PRODUCT}> {{ h = MatMul (x, w)  {ENDS[op]}  {"" if is_end else "y = MatMul (r, w)"} }}""")
    model = convert(model, make_inputs(model) | {"n": np.array(3)}, rtol=5e-3, atol=1e-2)
    assert model.host is None
    assert dtypes(model)["h"] == "float16"
    assert dtypes(model)["r"] == ("float32" if is_end else "float16")
    regraft.save(model, tmp_path / "half.onnx")


@pytest.mark.parametrize("before", ["", "externalize-embeddings,"])
def test_a_constant_that_is_an_output_stands_beside_inputs_of_the_host(parse, before):
    model = parse(f"""g (int64[N] ids, float[N, 4] x) => (float[N, 4] y, float[4, 4] w) {PRODUCT},
    float[3, 4] table = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}>
    {{ e = Gather (table, ids)  s = Add (e, x)  y = MatMul (s, w) }}""")
    inputs = {"ids": np.array([2, 0]), "x": np.ones((2, 4), np.float32)}
    expected = snapshot(model, inputs)
    regraft.run(model, f"{before}convert-fp16{{io=fp16}}")
    for name, value in snapshot(model, inputs).items():
        np.testing.assert_allclose(value, expected[name], 2e-3)


FUNCTIONS = """
<domain: "local", opset_import: ["" : 21]> block (a, b) => (c) { h = MatMul (a, b)  s = Softmax (h)  c = MatMul (s, b) }
"""


def test_a_local_function_is_lowered_with_its_calls(parse):
    model = convert(
        parse(
            f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
        {{ p = local.block (x, w)  y = local.block (p, w) }} {FUNCTIONS}"""
        )
    )
    assert [node.op for node in model.functions[0].nodes].count("Cast") >= 2
    assert dtypes(model)["h"] == "float16"


def test_a_function_of_other_types_stays(parse):
    model = parse(
        f"g (float[2, 4] x, double[4, 4] v, double[2, 4] d) => (float[2, 4] y, double[2, 4] z) {PRODUCT}>"
        f"{{ p = local.block (x, w)  y = MatMul (p, w)  z = local.block (d, v) }} {FUNCTIONS}"
    )
    assert not [node for node in convert(model).functions[0].nodes if node.op == "Cast"]


@pytest.mark.parametrize("op", ["Gelu (h)", "LayerNormalization <axis = -1> (h, s, s)"])
def test_functions_that_stand_for_operators_get_the_dtype(parse, op):
    model = parse(f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}, float[4] s = {{1, 2, 1, 2}}>
    {{ h = MatMul (x, w)  a = {op}  y = MatMul (a, w) }}""")
    regraft.run(model, "convert-opset{version=16}")
    regraft.run(model, "fuse-gelu,fuse-layer-norm")
    assert model.functions
    convert(model)


# ---------------------------------------------------------------------------------------------------- ends and dtypes


def test_an_output_that_is_read_inside_keeps_name_and_dtype(parse):
    model = convert(
        parse(
            f"g (float[2, 4] x) => (float[2, 4] h, float[2, 4] y) {PRODUCT}> {{ h = MatMul (x, w)  y = MatMul (h, w) }}"
        )
    )
    assert [t.name for t in model.graph.outputs] == ["h", "y"]
    assert casts(model) == 3


@pytest.mark.parametrize("io", ["keep", "fp16"])
def test_an_input_that_is_an_output_stays(parse, io):
    model = parse(f"g (float[2, 4] x) => (float[2, 4] x, float[2, 4] y) {PRODUCT}> {{ y = MatMul (x, w) }}")
    assert dtypes(convert(model, io=io))["x"] == "float32"


def test_a_weight_read_in_both_precisions_is_stored_twice(parse):
    model = convert(
        parse(
            f"""g (float[4, 4] x) => (float[4, 4] y) {PRODUCT}>
        {{ h = MatMul (x, w)  u = Exp (h)  y = MatMul (u, w) }}"""
        )
    )
    weights = [t for node in model.graph.nodes for t in node.inputs if isinstance(t, Constant)]
    assert sorted(str(t.dtype) for t in dict.fromkeys(weights)) == ["float16", "float32"]


def test_values_of_other_dtypes_are_left_alone(parse):
    model = parse("""g (float16[2, 4] x, double[4, 4] d) => (float16[2, 4] y, double[4, 4] e)
    { y = Relu (x)  e = MatMul (d, d) }""")
    convert(model)
    assert casts(model) == 0


def test_casts_that_were_there_are_drawn_anew(parse):
    model = parse(f"""g (float16[2, 4] x) => (float16[2, 4] y) {PRODUCT}>
    {{ a = Cast <to = 1> (x)  h = MatMul (a, w)  b = Cast <to = 10> (h)  c = Cast <to = 1> (b)  s = Softmax (c)
       k = MatMul (s, w)  y = Cast <to = 10> (k) }}""")
    model = convert(model, {"x": np.ones((2, 4), np.float16)})
    assert casts(model) == 2
    assert dtypes(model)["s"] == "float32"


@pytest.mark.parametrize("made", ["ConstantOfShape <value = float[1] {2}> (shape)", "Cast <to = 1> (flags)"])
def test_a_dtype_attribute_follows(parse, made):
    model = parse(f"""g (float[4, 4] x, bool[4, 4] flags) => (float[4, 4] y) {PRODUCT}, int64[2] shape = {{4, 4}}>
    {{ h = MatMul (x, w)  c = {made}  s = Add (h, c)  y = MatMul (s, w) }}""")
    assert dtypes(convert(model))["c"] == "float16"


def test_random_numbers_are_drawn_in_half(parse):
    model = parse(f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
    {{ h = MatMul (x, w)  r = RandomNormalLike <seed = 1.0> (h)  z = Mul (r, h)  n = Sub (z, z)
       y = MatMul (n, w) }}""")
    assert dtypes(convert(model))["r"] == "float16"


def test_an_input_that_has_no_half_stays(parse):
    model = parse(f"""g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) {PRODUCT}, float[4] scales = {{1, 1, 2, 2}}>
    {{ h = MatMul (x, w)  r = Resize <mode = "nearest"> (h, , scales)  y = Relu (r) }}""")
    assert dtypes(convert(model))["scales"] == "float32"


def test_large_indices_are_computed_in_32_bits(parse):
    model = parse(f"""g (float[9000, 4] x) => (float[1, 4] y) {PRODUCT}, float half = {{0.5}}, int64[1] one = {{1}}>
    {{ h = MatMul (x, w)  shape = Shape <start = 0, end = 1> (h)  f = Cast <to = 1> (shape)  m = Mul (f, half)
       i = Cast <to = 7> (m)  j = Add (i, one)  r = Gather (h, j)  y = MatMul (r, w) }}""")
    convert(model)


# ---------------------------------------------------------------------------------------------------- options


def test_kept_operators_and_nodes_stay(parse):
    text = f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
    {{ [one] h = MatMul (x, w)  [two] r = MatMul (h, w)  y = Relu (r) }}"""
    assert casts(convert(parse(text), keep_ops=["MatMul"])) == 0
    assert dtypes(convert(parse(text), keep_nodes=["t*"])).get("r") == "float32"
    with pytest.raises(PassError, match="did you mean 'MatMul'"):
        ConvertFp16(keep_ops=["Matmul"]).run(parse(text), Context())
    with pytest.raises(PassError, match="no node of the model is called 'three'"):
        ConvertFp16(keep_nodes=["three"]).run(parse(text), Context())


def test_matmul_mode_lowers_products_and_what_moves_values(parse):
    text = f"""g (float[2, 4] x) => (float[2, 4] y) {PRODUCT}>
    {{ h = MatMul (x, w)  t = Transpose (h)  u = Transpose (t)  r = MatMul (u, w)  a = Relu (r)  y = MatMul (a, w) }}"""
    found = dtypes(convert(parse(text), mode="matmul"))
    assert (found["h"], found["t"], found["r"], found["a"]) == ("float16", "float16", "float16", "float32")
