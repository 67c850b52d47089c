"""The plan: what is seen on real inputs, written, read, edited, and followed."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.mixed_precision import plan
from regraft.mixed_precision.observe import observe
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import snapshot

GRAPH = """g (float[2, 4] x) => (float[2, 4] y)
<float[4, 4] w = {1, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0.5, 0, 0, 1}>
{ h = MatMul (x, w)  r = Relu (h)  s = Softmax (r)  y = MatMul (s, w) }"""


def parse(text: str = GRAPH) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]>\n{text}'))


def make(model: Model, x: np.ndarray, **options) -> dict[str, plan.Row]:
    return {row.name: row for row in plan.make(model, [{"x": x.astype(np.float32)}], **options)}


X = np.array([[1, -2, 3, 0], [0, 0.5, 0, 4]])


def test_ranges_are_those_of_the_values():
    model = parse()
    seen = observe(model, ["h", "s"], [{"x": X.astype(np.float32)}, {"x": -X.astype(np.float32)}])
    h = X @ np.array([[1, 0, 0, 1], [0, 2, 0, 0], [0, 0, 1, 0], [0.5, 0, 0, 1]])
    assert (seen["h"].low, seen["h"].high) == (-np.abs(h).max(), np.abs(h).max())
    assert seen["h"].least == np.abs(h[h != 0]).min()
    assert 0 < seen["s"].low < seen["s"].high < 1
    assert not seen["h"].nan
    assert not seen["h"].inf


def test_what_is_not_a_number_and_what_is_infinite_is_seen():
    x = np.array([[np.inf, 1, 2, 3], [np.nan, 0, 0, 0]], np.float32)
    model = parse("g (float[2, 4] x) => (float[2, 4] y) { y = Neg (x) }")
    seen = observe(model, ["y"], [{"x": x}])["y"]
    assert (seen.low, seen.high, seen.least, seen.nan, seen.inf) == (-3, 0, 1, True, True)


def test_a_value_without_elements_has_no_range():
    model = parse("g (float[N, 4] x) => (float[N, 4] y) { y = Neg (x) }")
    seen = observe(model, ["y"], [{"x": np.zeros((0, 4), np.float32)}])["y"]
    assert (seen.size, seen.nan, seen.inf) == (0, False, False)
    both = observe(model, ["y"], [{"x": np.zeros((n, 4), np.float32)} for n in (0, 1)])["y"]
    assert (both.low, both.high) == (0, 0)


def test_every_value_of_an_artifact_is_observed(artifacts):
    rows = plan.make(
        regraft.load(model := artifacts / "pytorch/bert-cls-eager-ts.onnx"), [make_inputs(regraft.load(model))]
    )
    assert all(row.seen is not None for row in rows)
    assert {row.precision for row in rows} == {"float16", "float32"}


@pytest.mark.parametrize(("factor", "expected"), [(1, "float16"), (1e4, "float32"), (1e-9, "float32")])
def test_overflow_is_seen_before_it_happens(factor, expected):
    rows = make(parse(), X * factor)
    assert rows["h"].precision == expected
    if expected == "float32":
        assert "reached" in rows["h"].why or "vanish" in rows["h"].why


def test_a_margin_is_kept():
    assert make(parse(), X * 5000, margin=1)["h"].precision == "float16"
    assert make(parse(), X * 5000, margin=10)["h"].precision == "float32"


def test_a_plan_is_followed(tmp_path):
    model = parse()
    rows = list(make(model, X).values())
    plan.write(tmp_path / "plan.toml", rows, "float16", "convert-fp16")
    half, same = clone(model), clone(model)
    regraft.run(half, f"convert-fp16{{plan={tmp_path / 'plan.toml'}}}")
    regraft.run(same, "convert-fp16")
    assert [(n.op, n.name) for n in half.graph.nodes] == [(n.op, n.name) for n in same.graph.nodes]
    np.testing.assert_allclose(
        snapshot(half, {"x": X.astype("f")})["y"], snapshot(model, {"x": X.astype("f")})["y"], 2e-3
    )


def edited(tmp_path, old: str, new: str):
    path = tmp_path / "plan.toml"
    plan.write(path, list(make(parse(), X).values()), "float16", "convert-fp16")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_row_can_be_edited(tmp_path):
    path = edited(tmp_path, 'name = "h", precision = "float16"', 'name = "h", precision = "float32"')
    model = parse()
    regraft.run(model, f"convert-fp16{{plan={path}}}")
    kept = {t.name for n in model.graph.nodes for t in n.outputs if t.dtype == np.float32}
    assert "h" in kept


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "h"', 'name = "k"', "was made for another model: it has no row for 'h'; make the plan anew"),
        ('precision = "float16"', 'precision = "half"', "the precision of 'h' is 'half'"),
        ('dtype = "float16"', 'dtype = "bfloat16"', "is no plan for float16: its dtype is 'bfloat16'"),
        ("values = [", "values = [[", "is no plan: "),
    ],
)
def test_a_bad_plan_is_refused_in_one_line(tmp_path, old, new, message):
    path = edited(tmp_path, old, new)
    with pytest.raises(PassError, match=message):
        regraft.run(parse(), f"convert-fp16{{plan={path}}}")


def test_a_plan_decides_alone(tmp_path):
    path = edited(tmp_path, "low", "low")
    with pytest.raises(PassError, match="leave out mode"):
        regraft.run(parse(), f"convert-fp16{{plan={path},mode=matmul}}")
    with pytest.raises(PassError, match="cannot read "):
        regraft.run(parse(), "convert-fp16{plan=nowhere.toml}")


def test_what_has_no_half_cannot_be_planned_so(tmp_path):
    model = parse("g (float x) => (float[K] y) <float one = {1}> { r = Range (x, x, one)  y = Neg (r) }")
    rows = [plan.Row(name, "", "float16", "") for name in ("r", "y")]
    plan.write(tmp_path / "plan.toml", rows, "float16", "convert-fp16")
    with pytest.raises(PassError, match=r"'r' cannot be float16: Range has no float16 in opset 17"):
        regraft.run(model, f"convert-fp16{{plan={tmp_path / 'plan.toml'}}}")


def test_names_of_any_script_survive(tmp_path):
    model = parse()
    value = next(t for node in model.graph.nodes for t in node.outputs if t.name == "h")
    value.name = 'größe "😀" \\ \x7f\n'
    plan.write(tmp_path / "plan.toml", list(make(clone(model), X).values()), "float16", "convert-fp16")
    regraft.run(model, f"convert-fp16{{plan={tmp_path / 'plan.toml'}}}")
    assert {str(np.dtype(t.dtype)) for node in model.graph.nodes for t in node.outputs} == {"float16", "float32"}


def test_a_mask_that_was_not_needed_in_the_data_is_clipped_all_the_same(artifacts, tmp_path):
    model = regraft.load(artifacts / "pytorch/vit-dynamo.onnx")
    rows = plan.make(clone(model), [make_inputs(model)], mode="attention")
    plan.write(tmp_path / "plan.toml", rows, "float16", "convert-fp16")
    regraft.run(model, f"convert-fp16{{plan={tmp_path / 'plan.toml'}}}")
    assert [node.op for node in model.graph.nodes].count("Clip") == 1


def test_a_constant_that_half_precision_cannot_hold_is_clipped_where_a_plan_asks_for_it(tmp_path):
    text = """g (float[2, 4] x) => (float[2, 4] y) <float low = {-3.4e38}> { h = Relu (x)  m = Max (h, low)
      y = Neg (m) }"""
    rows = plan.make(parse(text), [{"x": X.astype(np.float32)}])
    plan.write(tmp_path / "plan.toml", rows, "float16", "convert-fp16")
    path = tmp_path / "plan.toml"
    path.write_text(path.read_text().replace('precision = "float32"', 'precision = "float16"'))
    model = parse(text)
    regraft.run(model, f"convert-fp16{{plan={path}}}")
    low = next(t for node in model.graph.nodes if node.op == "Max" for t in node.inputs if not t.inputs)
    assert (low.dtype, low.values.shape) == (np.float16, ())
    np.testing.assert_allclose(Session(model).run({"x": X.astype(np.float32)})["y"], -np.maximum(X, 0))


@pytest.mark.parametrize(
    "text",
    [
        "values = 1",
        "values = [1]",
        "values = [{name = [1]}]",
        'values = [{name = "h", precision = "float16", low = "x"}]',
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(f'dtype = "float16"\n{text}\n')
    with pytest.raises(PassError, match=r"is no plan: |must be numbers"):
        regraft.run(parse(), f"convert-fp16{{plan={path}}}")
