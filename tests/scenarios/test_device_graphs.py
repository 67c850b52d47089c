"""Whole hand-overs: the graph that a device wants, made from a raw model by one pipeline, and right.

A BERT classifier for Inferentia 1 takes hidden states and a mask in float16 and has no lookup, Dropout, Where,
LayerNormalization or Gelu. A BERT-large for it takes hidden states that the host has normalized in 32 bits, and
computes attention and fully connected layers in float16, the rest in 32 bits.
"""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.bundling import write_bundle
from regraft.files.convert import clone
from regraft.ir.schema import kind
from regraft.models import bert
from regraft.runtime import Session
from regraft.verification.inputs import Given, make_inputs

BATCH, LENGTH = 8, 64
RAW = bert.Style(opset=17, dropout="inference", mask="where")
CLEAN = (
    "strip-training,strip-dropout,set-shapes{batch=8,sequence=64},fold-constants,eliminate-identity,fuse-layer-norm,"
    "fuse-gelu,"
)
PLAIN = "lower-layer-norm{form=mul},lower-gelu{form=tanh},lower-where,"
TIDY = ",eliminate-common-subexpressions,eliminate-dead-code"
BASE = CLEAN + "externalize-embeddings,externalize-mask," + PLAIN + "convert-fp16{io=fp16}" + TIDY
LARGE = (
    CLEAN
    + "externalize-embeddings{layer-norm=true},externalize-mask,fold-attention-scale,"
    + PLAIN
    + "convert-fp16{mode=attention}"
    + TIDY
)
UNWANTED = {"Dropout", "Where", "LayerNormalization", "Gelu", "OneHot", "Erf", "Range", "Expand", "Equal"}


def hand_over(size, pipeline, folder):
    """The original, the bundle, and inputs with real lengths."""
    original = regraft.save(bert.build(size, RAW, seed=1), folder / "model.onnx")
    model = regraft.load(original)
    report = regraft.run(model, pipeline)
    shapes = {t.name: (BATCH, LENGTH) for t in model.inputs}
    write_bundle(model, folder / "bundle", original=regraft.load(original), report=report, given=Given(shapes=shapes))
    inputs = make_inputs(regraft.load(original), seed=2, given=Given(shapes=shapes))
    assert (inputs["attention_mask"] == 0).any()
    return original, folder / "bundle", inputs


def check_base(size, folder) -> tuple[float, float]:
    """See that the device's graph and its results are as they should be; the largest error, and as share of the bar."""
    original, bundle, inputs = hand_over(size, BASE, folder)
    model = regraft.load(bundle)
    taken = {t.name: (str(np.dtype(t.dtype)), t.shape) for t in model.graph.inputs}
    assert taken == {
        "hidden_states": ("float16", [BATCH, LENGTH, size.hidden]),
        "attention_bias": ("float16", [BATCH, 1, 1, LENGTH]),
    }
    assert not {kind(node) for node in model.nodes()} & UNWANTED
    assert not any(node.op == "Gather" and len(node.inputs[0].shape or ()) == 2 for node in model.nodes())
    expected, found = Session(original).run(inputs)["logits"], Session(bundle).run(inputs)["logits"]
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))
    np.testing.assert_allclose(found, expected, atol=1e-2, rtol=1e-2)
    error = np.abs(found - expected)
    return float(error.max()), float((error / (1e-2 + 1e-2 * np.abs(expected))).max())


def check_large(size, folder) -> float:
    original, bundle, inputs = hand_over(size, LARGE, folder)
    model = regraft.load(bundle)
    taken = {t.name: t.shape for t in model.graph.inputs}
    assert taken == {"hidden_states": [BATCH, LENGTH, size.hidden], "attention_bias": [BATCH, 1, 1, LENGTH]}
    assert not {kind(node) for node in model.nodes()} & UNWANTED
    assert model.host is not None
    host = {str(np.dtype(t.dtype)) for node in model.host.model.nodes() for t in node.outputs if t.dtype is not None}
    assert "float16" not in host
    dtypes: dict[str, set[str]] = {}
    for node in model.nodes():
        dtypes.setdefault(node.op, set()).update(str(np.dtype(t.dtype)) for t in node.inputs[:1] if t.dtype is not None)
    assert dtypes["MatMul"] == dtypes["Softmax"] == {"float16"}
    assert dtypes["ReduceMean"] == dtypes["Sqrt"] == {"float32"}
    expected, found = Session(original).run(inputs)["logits"], Session(bundle).run(inputs)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-2, rtol=1e-2)
    return float(np.abs(found - expected).max())


def test_a_classifier_for_inferentia(tmp_path):
    check_base(bert.Size(12, 64, 4, 128, 500, 128, labels=2), tmp_path)


def test_a_large_one_in_mixed_precision(tmp_path):
    check_large(bert.Size(4, 64, 4, 128, 500, 128, labels=2), tmp_path)


@pytest.mark.slow
def test_bert_base(tmp_path):
    error, share = check_base(bert.Size(12, 768, 12, 3072, 30_522, 512, labels=2), tmp_path)
    print(f"BERT-base, 8 x 64, float16: max abs {error:.2e}, {share:.1%} of the bar")


@pytest.mark.slow
def test_bert_large(tmp_path):
    error = check_large(bert.Size(24, 1024, 16, 4096, 30_522, 512, labels=2), tmp_path)
    print(f"BERT-large, mixed: max abs {error:.2e}")


def test_padding_is_masked(tmp_path):
    """What stands behind the end of a sentence changes nothing."""
    original, bundle, inputs = hand_over(bert.Size(2, 64, 4, 128, 500, 128, labels=2), BASE, tmp_path)
    session = Session(bundle)
    changed = dict(inputs, input_ids=np.where(inputs["attention_mask"] == 0, 7, inputs["input_ids"]))
    assert (changed["input_ids"] != inputs["input_ids"]).any()
    np.testing.assert_array_equal(session.run(changed)["logits"], session.run(inputs)["logits"])
    unmasked = dict(inputs, attention_mask=np.ones_like(inputs["attention_mask"]))
    assert np.abs(session.run(unmasked)["logits"] - session.run(inputs)["logits"]).max() > 1e-3
    assert clone(regraft.load(original)).host is None
