from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from regraft import load, save
from regraft.errors import ModelError
from regraft.models import bert

STYLES = {
    "torchscript": bert.Style(),
    "opset 11": bert.Style(opset=11, dropout="inference"),
    "opset 12": bert.Style(opset=12, dropout="training", constants="initializers"),
    "opset 13": bert.Style(opset=13, gelu="tanh"),
    "tensorflow": bert.Style(opset=18, gelu="tanh", mask="additive", shapes="static", constants="initializers"),
    "dynamo": bert.Style(opset=20, gelu="op", layer_norm="op", constants="initializers"),
    "opset 23": bert.Style(opset=23, layer_norm="op", mask="additive", dropout="training"),
}


def feeds(batch: int, sequence: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(0, bert.TINY.vocabulary, (batch, sequence))
    mask = np.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}


def outputs(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["last_hidden_state", "pooler_output"], inputs)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_style_is_valid_and_computes_something_sane(tmp_path, style):
    path = save(bert.build(style=style), tmp_path / "bert.onnx")
    onnx.checker.check_model(path, full_check=True)
    hidden, pooled = outputs(path, feeds(3, bert.TINY.positions))
    assert hidden.shape == (3, bert.TINY.positions, bert.TINY.hidden)
    assert pooled.shape == (3, bert.TINY.hidden)
    assert np.isfinite(hidden).all()
    assert 0.5 < hidden.std() < 2
    assert hidden.std(axis=1).min() > 0.05, "tokens should not all look alike"
    assert pooled.std() > 0.1


@pytest.mark.parametrize("mask", ["where", "additive"])
@pytest.mark.parametrize("shapes", ["chains", "static"])
def test_masked_tokens_change_nothing_else(tmp_path, mask, shapes):
    path = save(bert.build(style=bert.Style(mask=mask, shapes=shapes)), tmp_path / "bert.onnx")
    inputs = feeds(2, bert.TINY.positions)
    hidden, _ = outputs(path, inputs)
    inputs["input_ids"] = np.where(inputs["attention_mask"], inputs["input_ids"], 1)
    changed, _ = outputs(path, inputs)
    np.testing.assert_array_equal(hidden[0], changed[0])
    np.testing.assert_allclose(hidden[1, :4], changed[1, :4], atol=1e-6)
    assert not np.allclose(hidden[1, 4:], changed[1, 4:], atol=1e-3)


@pytest.mark.parametrize("gelu", ["erf", "op"])
def test_forms_of_one_op_agree(tmp_path, gelu):
    whole = bert.Style(opset=20, gelu="op", layer_norm="op")
    parts = bert.Style(opset=20, gelu=gelu, layer_norm="decomposed", shapes="chains", constants="initializers")
    results = []
    for number, style in enumerate((whole, parts)):
        results.append(outputs(save(bert.build(style=style), tmp_path / f"{number}.onnx"), feeds(2, 7)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_parts_are_as_many_as_the_layers_have():
    size = bert.Size(layers=3)
    ops = Counter(node.op for node in bert.build(size, bert.Style(opset=20, gelu="op", layer_norm="op")).nodes())
    assert (ops["Gelu"], ops["LayerNormalization"], ops["Softmax"]) == (3, 7, 3)
    assert Counter(n.op for n in bert.build(size, bert.Style(dropout="training")).nodes())["Dropout"] == 10


def test_the_seed_decides_the_weights(tmp_path):
    files = [save(bert.build(seed=seed), tmp_path / f"{n}.onnx").read_bytes() for n, seed in enumerate((1, 1, 2))]
    assert files[0] == files[1] != files[2]


def test_external_data_holds_the_same_weights(tmp_path):
    model = bert.build()
    inline = save(model, tmp_path / "inline.onnx", "inline")
    external = save(model, tmp_path / "external.onnx", "external")
    assert external.stat().st_size < inline.stat().st_size
    for a, b in zip(outputs(inline, feeds(2, 7)), outputs(external, feeds(2, 7)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_is_large_and_costs_nothing_before_it_is_saved():
    model = bert.build(bert.LARGE)
    weights = {tensor for node in model.nodes() for tensor in node.inputs if hasattr(tensor, "nbytes")}
    assert sum(tensor.nbytes for tensor in weights) == pytest.approx(1.34e9, rel=0.01)


def test_rows_of_a_large_weight_differ(tmp_path):
    size = bert.Size(layers=0, hidden=64, vocabulary=4096)
    model = load(save(bert.build(size), tmp_path / "bert.onnx"))
    (words,) = (t for node in model.nodes() for t in node.inputs if t.name.endswith("word_embeddings.weight"))
    assert len(np.unique(words.values, axis=0)) == 4096


@pytest.mark.parametrize(
    ("size", "style", "message"),
    [
        (bert.Size(heads=5), bert.Style(), "5 heads do not divide a hidden size of 32"),
        (bert.TINY, bert.Style(opset=19, gelu="op"), "Gelu is an op from opset 20 on, not at 19"),
        (bert.TINY, bert.Style(opset=16, layer_norm="op"), "LayerNormalization is an op from opset 17 on, not at 16"),
    ],
)
def test_what_cannot_be_built_is_refused(size, style, message):
    with pytest.raises(ModelError, match=message):
        bert.build(size, style)


def test_labels_make_a_classifier(tmp_path):
    path = save(bert.build(bert.Size(labels=3)), tmp_path / "bert.onnx")
    (logits,) = onnxruntime.InferenceSession(str(path)).run(None, feeds(2, 7))
    assert logits.shape == (2, 3)
