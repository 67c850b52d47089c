from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.files.convert import clone
from regraft.ir.graph import Constant
from regraft.ir.schema import constant_of
from regraft.passes.strip_dropout import StripDropout
from regraft.pipelines.manager import run

SHAPE = "float[2,3] x"


def without_training(model):
    """The model in inference mode, its Dropouts still in it: what the contract of the pass compares with."""
    model = clone(model)
    for node in model.nodes():
        if node.op == "Dropout" and len(node.inputs) > 2:
            node.inputs[2] = Constant(f"{node.name}_off", np.array(False))
    return model


@pytest.mark.parametrize("opset", [7, 10, 12, 13, 22])
@pytest.mark.parametrize("ratio", ["", "<ratio=0.0>"])
def test_every_opset_hands_its_input_on(parse, apply, opset, ratio):
    ratio = ratio if opset < 12 else ""
    model = parse(f"g ({SHAPE}) => (float[2,3] y) {{ a = Neg(x) b = Dropout{ratio}(a) y = Neg(b) }}", opset)
    assert apply(model, StripDropout()).ops == ["Neg", "Neg"]


@pytest.mark.parametrize("given", ["ratio", "ratio, on", "ratio, off", ", on"])
@pytest.mark.parametrize("as_node", [False, True])
def test_training_mode_is_a_constant(parse, apply, given, as_node):
    if as_node:
        constants, nodes = (
            "",
            "on = Constant<value=bool {1}>() off = Constant<value=bool {0}>() ratio = Constant<value_float=0.5>()",
        )
    else:
        constants, nodes = "<float ratio = {0.5}, bool on = {1}, bool off = {0}>", ""
    given = f'"" {given}' if given.startswith(",") else given
    model = parse(
        f"g ({SHAPE}) => (float[2,3] y) {constants} {{ {nodes} a = Neg(x) b = Dropout(a, {given}) y = Neg(b) }}"
    )
    result = apply(model, StripDropout(), like=without_training(model))
    assert "Dropout" not in result.ops
    assert [change.rule for change in result.changes] == ["training" if "on" in given else "inference"]
    assert len(result.notes) == ("on" in given)


@pytest.mark.parametrize("opset", [1, 6])
@pytest.mark.parametrize(
    ("test", "rule"), [("", "training"), ("<is_test=0>", "training"), ("<is_test=1>", "inference")]
)
def test_is_test_before_opset_7(parse, opset, test, rule):
    model = parse(f"g ({SHAPE}) => (float[2,3] y) {{ a = Neg(x) b = Dropout{test}(a) y = Neg(b) }}", opset)
    context = regraft.Context()
    StripDropout().run(model, context)
    assert [node.op for node in model.graph.nodes] == ["Neg", "Neg"]
    assert [change.rule for change in context.changes] == [rule]


@pytest.mark.parametrize(
    ("opset", "dtype", "expected"), [(9, "float", 0), (10, "bool", 0), (12, "bool", 1), (22, "bool", 1)]
)
def test_the_mask_is_made_anew(parse, apply, opset, dtype, expected):
    model = parse(f"g (float[n,3] x) => (float[n,3] y, {dtype}[n,3] mask) {{ y, mask = Dropout(x) }}", opset)
    result = apply(model, StripDropout(), inputs={"x": np.ones((2, 3), np.float32)})
    assert sorted(result.ops) == ["ConstantOfShape", "Identity", "Shape"]
    fill = next(node for node in model.graph.nodes if node.op == "ConstantOfShape").attrs["value"]
    assert fill.values.tolist() == [expected]


def test_a_mask_of_training_mode_keeps_everything(parse, apply):
    model = parse(
        f"g ({SHAPE}) => (float[2,3] y, bool[2,3] m) <float r = {{0.9}}, bool t = {{1}}> {{ y, m = Dropout(x, r, t) }}"
    )
    apply(model, StripDropout(), like=without_training(model))


def test_a_mask_that_cannot_be_made_keeps_its_dropout(parse, apply):
    model = parse(f"g ({SHAPE}) => (float[2,3] y, float[2,3] m) {{ y, m = Dropout(x) }}", 7)
    result = apply(model, StripDropout())
    assert result.ops == ["Dropout"]
    assert "convert the opset" in result.notes[0]


@pytest.mark.parametrize("opset", [9, 10])
def test_a_mask_of_unknown_dtype_keeps_its_dropout(parse, apply, opset):
    mask = "float" if opset < 10 else "bool"
    model = parse(
        f"""g ({SHAPE}) => ({mask}[2,3] m) {{ m = local.masked(x) }}
        <domain: "local", opset_import: ["" : {opset}]> masked (p) => (q) {{ r = Neg(p) s, q = Dropout(r) }}""",
        opset,
    )
    apply(model, StripDropout())
    assert any(node.op == "Dropout" for node in model.nodes()) == (opset < 10)


@pytest.mark.parametrize("training", [False, True])
def test_a_choice_at_run_time_is_the_callers(parse, apply, training):
    text = f"g ({SHAPE}, bool t) => (float[2,3] y) <float r = {{0.5}}> {{ y = Dropout<seed=3>(x, r, t) }}"
    inputs = {"x": np.ones((2, 3), np.float32), "t": np.array(training)}
    kept = apply(parse(text), StripDropout(), inputs=inputs)
    assert kept.ops == ["Dropout"]
    assert "run-time=strip" in kept.notes[0]
    stripped = apply(
        parse(text), StripDropout(run_time="strip"), inputs=inputs | {"t": np.array(False)}, like=parse(text)
    )
    assert stripped.ops == ["Identity"]
    assert [t.name for t in stripped.model.graph.inputs] == ["x", "t"]


def test_a_default_that_the_caller_may_override_is_a_choice_at_run_time(parse):
    model = parse(f"g ({SHAPE}, bool t = {{1}}) => (float[2,3] y) <float r = {{0.5}}> {{ y = Dropout(x, r, t) }}")
    context = regraft.Context()
    StripDropout().run(model, context)
    assert not context.changes


def test_bodies_and_functions(parse, apply):
    model = parse(
        f"""g ({SHAPE}, bool c) => (float[2,3] y) {{
            a = local.block(x)
            y = If(c) <then_branch = t () => (float[2,3] u) {{ u = Dropout(a) }},
                       else_branch = e () => (float[2,3] v) {{ w = Neg(a) v = Dropout(w) }}>
        }}
        <domain: "local", opset_import: ["" : 21]> block (p) => (q) {{ r = Neg(p) s = Dropout(r) q = Neg(s) }}"""
    )
    result = apply(model, StripDropout())
    assert len(result.changes) == 3
    assert not any(node.op == "Dropout" for node in model.nodes())


def test_dropout_of_another_domain_stays(parse):
    model = parse(f"g ({SHAPE}) => (float[2,3] y) {{ y = local.Dropout(x) }}")
    context = regraft.Context()
    StripDropout().run(model, context)
    assert not context.changes


def test_an_export_in_training_mode(artifacts, apply):
    model = regraft.load(artifacts / "pytorch" / "bert-cls-eager-ts-train.onnx")
    training = [n for n in model.nodes() if n.op == "Dropout" and constant_of(n.inputs[2])]
    result = apply(model, StripDropout(), like=without_training(model))
    assert len(training) == 8
    assert [change.rule for change in result.changes] == ["training"] * 8


@pytest.mark.parametrize("verify", ["each", "final"])
def test_the_manager_compares_with_inference(artifacts, verify):
    model = regraft.load(artifacts / "pytorch" / "bert-cls-eager-ts-train.onnx")
    report = run(model, "strip-dropout", verify=verify)
    assert [output.name for output in report.drift.outputs] == [t.name for t in model.graph.outputs]
    assert report.drift.max_abs == 0
