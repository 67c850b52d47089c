from __future__ import annotations

import numpy as np
import onnx
import pytest

import regraft
from regraft.errors import PassError, UnknownNameError
from regraft.ir.verifier import check
from regraft.passes.strip_training import StripTraining
from regraft.pipelines.manager import run
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot

HEAD = "float[4,3] x, int64[4] labels"
WEIGHTS = "float[3,5] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}"


def names(tensors):
    return [t.name for t in tensors]


def strip(model, **options):
    context = regraft.Context("strip-training")
    StripTraining(**options).run(model, context)
    check(model)
    return context


@pytest.mark.parametrize(
    "loss",
    [
        "loss = SoftmaxCrossEntropyLoss(logits, labels)",
        "loss, unread = SoftmaxCrossEntropyLoss<ignore_index=-100>(logits, labels)",
        "p = LogSoftmax<axis=1>(logits) loss = NegativeLogLikelihoodLoss(p, labels)",
        "l = SoftmaxCrossEntropyLoss(logits, labels) s = Cast<to=1>(l) loss = Mul(s, s)",
    ],
)
def test_the_loss_goes_and_the_logits_stay(parse, apply, loss):
    model = parse(f"g ({HEAD}) => (float loss, float[4,5] logits) <{WEIGHTS}> {{ logits = MatMul(x, w) {loss} }}")
    labels = {"labels": np.array([0, 1, 2, 4]), "x": np.ones((4, 3), np.float32)}
    result = apply(model, StripTraining(), inputs=labels)
    assert result.ops == ["MatMul"]
    assert (names(model.graph.inputs), names(model.graph.outputs)) == (["x"], ["logits"])
    assert result.notes == ["dropped output loss", "dropped input labels, which nothing reads"]


def test_log_probabilities_stay_without_their_loss(parse):
    text = f"""g ({HEAD}) => (float loss, float[4,5] logits, float[4,5] logp) <{WEIGHTS}> {{
        logits = MatMul(x, w) loss, logp = SoftmaxCrossEntropyLoss(logits, labels) }}"""
    model, inputs = parse(text), {"labels": np.array([0, 1, 2, 4]), "x": np.ones((4, 3), np.float32)}
    before = snapshot(model, inputs)
    strip(model)
    after = snapshot(model, {"x": inputs["x"]})
    assert list(after) == ["logits", "logp"]
    np.testing.assert_allclose(after["logp"], before["logp"], rtol=1e-6)


@pytest.mark.parametrize(
    "nodes",
    [
        "loss = SoftmaxCrossEntropyLoss(x, labels)",
        "loss, logp = SoftmaxCrossEntropyLoss(x, labels)",
        "loss = NegativeLogLikelihoodLoss(x, labels)",
    ],
)
def test_a_model_that_is_a_loss_stays(parse, apply, nodes):
    outputs = "float loss, float[4,3] logp" if "logp" in nodes else "float loss"
    model = parse(f"g ({HEAD}) => ({outputs}) {{ {nodes} }}")
    result = apply(model, StripTraining(), inputs={"labels": np.array([0, 1, 2, 0]), "x": np.ones((4, 3), np.float32)})
    assert not result.changes
    assert len(model.graph.inputs) == 2
    assert "all of them come from a loss" in result.notes[0]


def test_an_optimizer_goes(parse):
    model = parse(
        f"""g ({HEAD}, float[3,5] v, float r, int64 t) => (float[4,5] logits, float[3,5] w2, float[3,5] v2, float loss)
        <{WEIGHTS}> {{
            logits = MatMul(x, w)
            loss = SoftmaxCrossEntropyLoss(logits, labels)
            dw = ai.onnx.preview.training.Gradient<xs=["w"], y="loss">(w)
            w2, v2 = ai.onnx.preview.training.Momentum<alpha=0.9, beta=1.0, mode="standard", norm_coefficient=0.0>(
                r, t, w, dw, v)
        }}"""
    )
    strip(model)
    assert [node.op for node in model.graph.nodes] == ["MatMul"]
    assert (names(model.graph.inputs), names(model.graph.outputs)) == (["x"], ["logits"])


NORM = "float[3] s = {1, 2, 3}, float[3] b = {1, 1, 1}, float[3] mean = {0.5, 0, 1}, float[3] var = {1, 2, 4}"
TRAINING = {  # opset: outputs, node
    14: ("y, m, v", "y, m, v = BatchNormalization<training_mode=1>(x, s, b, mean, var)"),
    21: ("y", "y = BatchNormalization<training_mode=1>(x, s, b, mean, var)"),
    9: ("y, m, v", "y, m, v, sm, sv = BatchNormalization(x, s, b, mean, var)"),
    7: ("y", "y, m, v, sm, sv = BatchNormalization(x, s, b, mean, var)"),
}


@pytest.mark.parametrize("opset", TRAINING)
def test_batch_normalization_uses_its_running_statistics(parse, opset):
    outputs, node = TRAINING[opset]
    kinds = ", ".join(f"float[{'4,3' if name == 'y' else '3'}] {name}" for name in outputs.split(", "))
    model = parse(f"g (float[4,3] x) => ({kinds}) <{NORM}> {{ {node} }}", opset)
    inputs = make_inputs(model)
    strip(model)
    after = snapshot(model, inputs)
    mean, var = np.float32([0.5, 0, 1]), np.float32([1, 2, 4])
    expected = (inputs["x"] - mean) / np.sqrt(var + 1e-5) * np.float32([1, 2, 3]) + 1
    assert list(after) == ["y"]
    np.testing.assert_allclose(after["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"""g (float[4,3] x, float[3] means) => (float[4,3] y, float[3] m) <{NORM}> {{
                y, m, v = BatchNormalization<training_mode=1>(x, s, b, means, var) }}""",
            "not constants",
        ),
        (
            f"""g (float[4,3] x, float[3] mean = {{1, 2, 3}}) => (float[4,3] y) <{NORM.replace("mean", "other")}> {{
                y, m, v = BatchNormalization<training_mode=1>(x, s, b, mean, var) }}""",
            "not constants",
        ),
    ],
)
def test_batch_normalization_without_constant_statistics_stays(parse, apply, text, reason):
    result = apply(parse(text), StripTraining())
    assert result.ops == ["BatchNormalization"]
    assert reason in result.notes[0]


def test_statistics_that_the_user_keeps_stay(parse, apply):
    text = f"g (float[4,3] x) => (float[4,3] y, float[3] m) <{NORM}> {{ {TRAINING[14][1]} }}"
    result = apply(parse(text, 14), StripTraining(keep_outputs=("m",)))
    assert not result.changes
    assert "its new statistics are read" in result.notes[0]


@pytest.mark.parametrize("opset", [7, 9, 14, 21])
def test_batch_normalization_at_inference_stays(parse, apply, opset):
    text = f"g (float[4,3] x) => (float[4,3] y) <{NORM}> {{ y = BatchNormalization(x, s, b, mean, var) }}"
    assert not apply(parse(text, opset), StripTraining()).changes


def test_inputs_that_nothing_read_before_can_stay(artifacts):
    model = regraft.load(artifacts / "tensorflow/tiny_seq32_op18.onnx")
    before = names(model.graph.inputs)
    StripTraining(unread_inputs="keep").run(model, regraft.Context())
    assert names(model.graph.inputs) == before


def test_labels_that_nothing_reads_go(apply, artifacts):
    model = regraft.load(artifacts / "tensorflow" / "tiny_seq32_op18.onnx")
    assert {"label_ids", "is_real_example"} <= set(names(model.graph.inputs))
    apply(model, StripTraining())
    assert names(model.graph.inputs) == ["input_ids", "input_mask", "segment_ids"]


def test_the_user_has_a_say(parse):
    nodes = "y = Neg(x) score = Mul(y, labels)"
    text = f"g (float[2] x, float[2] labels, float[2] mask) => (float[2] y, float[2] score) {{ {nodes} }}"
    model = parse(text)
    strip(model)
    assert (names(model.graph.inputs), names(model.graph.outputs)) == (["x", "labels"], ["y", "score"])
    strip(model, drop_outputs=("score",))
    assert (names(model.graph.inputs), names(model.graph.outputs)) == (["x"], ["y"])
    model = parse(text)
    strip(model, keep_inputs=("mask",))
    assert names(model.graph.inputs) == ["x", "labels", "mask"]


def test_an_input_that_is_an_output_or_read_in_a_body_stays(parse, apply):
    model = parse(
        """g (float[2] x, float[2] out, float[2] inner, bool c) => (float[2] y, float[2] out) {
            y = If(c) <then_branch = t () => (float[2] u) { u = Neg(inner) },
                       else_branch = e () => (float[2] v) { v = Neg(x) }>
        }"""
    )
    context = strip(model)
    assert names(model.graph.inputs) == ["x", "out", "inner", "c"]
    assert not context.notes


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"drop_outputs": ("z",)}, UnknownNameError, "no output named 'z'"),
        ({"keep_inputs": ("lable",)}, UnknownNameError, "did you mean 'labels'"),
        ({"drop_outputs": ("y",)}, PassError, "leave one"),
    ],
)
def test_wrong_names(parse, options, error, message):
    model = parse("g (float[2] x, float[2] labels) => (float[2] y) { y = Neg(x) }")
    with pytest.raises(error, match=message):
        strip(model, **options)


def test_training_info_goes(parse):
    model = parse("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    model.header.training_info.add().CopyFrom(onnx.TrainingInfoProto())
    context = strip(model)
    assert not model.header.training_info
    assert context.notes == ["dropped the model's training_info"]


@pytest.mark.parametrize("verify", ["each", "final"])
def test_the_manager_compares_with_inference(parse, verify):
    kinds = "float[4,3] y, float[3] m, float[3] v"
    model = parse(f"g (float[4,3] x) => ({kinds}) <{NORM}> {{ {TRAINING[14][1]} }}", 14)
    report = run(model, "strip-training", verify=verify)
    drift = report.drift if verify == "final" else report.passes[0].drift
    assert [output.name for output in drift.outputs] == ["y"]
    assert sorted(drift.removed) == ["m", "v"]


def test_an_input_that_the_host_feeds_goes_on_both_sides(parse):
    """The host casts what a caller gives to half precision, and then nothing reads it."""
    model = parse(
        "g (float[2,3] x, float[2,3] u) => (float[2,3] y, float loss)"
        " <int64[2] t = {0, 1}> { y = Relu(x) loss = SoftmaxCrossEntropyLoss(y, t) }"
    )
    values = make_inputs(model)
    expected = snapshot(model, values)
    run(model, "convert-fp16{io=fp16},strip-training")
    assert names(model.graph.inputs) == ["x"] == list(model.host.feeds)
    assert names(model.host.outputs) == ["y"]
    np.testing.assert_allclose(snapshot(model, values)["y"], expected["y"], rtol=1e-3)
