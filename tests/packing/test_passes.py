"""pack-sequences and unpack-attention on what exporters write: each sequence as if it were run alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.errors import RegraftError, VerificationError
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.packers.fits import KEY, PackedShape, read_shape
from regraft.pipelines.frontend import ImportOptions
from regraft.pipelines.pipeline import Pipeline
from regraft.runtime import Session
from regraft.runtime.packing import read_lengths
from regraft.verification.runtime import RuntimeFailure
from tests.shares import diagonal

ROWS, TOKENS, MOST, LONGEST = 4, 64, 8, 64
PIPELINES = {
    "rows": "pack-sequences",
    "rows static": f"pack-sequences{{rows={ROWS},tokens={TOKENS}}}",
    "unpacked": "unpack-attention",
    "unpacked static": "unpack-attention{form=static,"
    f"rows={ROWS},tokens={TOKENS},max-valid-num={MOST},segment-max-size={LONGEST}}}",
    "bucket": "unpack-attention{form=bucket,bucket-sizes={4,8,16}}",
    "loop": "convert-opset{version=13,only=older},unpack-attention{form=loop}",
    "loop simplified": "convert-opset{version=13,only=older},simplify-gather,simplify-mask,unpack-attention{form=loop}",
}
MODELS = (
    *(f"bert-cls-{kind}" for kind in ("eager-ts", "eager-dynamo", "sdpa-ts", "sdpa-dynamo", "sdpa-dynamo-op23")),
    "bert-cls-explicit-dynamo",  # its mask is what is added to scores, [batch, 1, 1, sequence]
    *("bert-mlm-tied-ts", "bert-mlm-tied-dynamo", "bert-qa-eager-dynamo", "transformers-4.25.1-bert-qa/model"),
    *("distilbert-sdpa-ts", "distilbert-sdpa-dynamo", "t5-encoder-ts", "t5-encoder-dynamo"),
    *(f"{family}-{kind}" for family in ("gpt2", "roberta") for kind in ("eager-ts", "eager-dynamo", "sdpa-dynamo")),
)
GLUON = ("gn0.8.3-classifier", "gn0.10.0-classifier", "gn0.10.0-mlm-nsp")
ON_HOST = {"NonZero", "Scan", "ScatterElements"}
"""What tells where tokens lie is computed by these, and an accelerator takes none of them."""


def _model(artifacts: Path, name: str) -> Model:
    if name not in GLUON:
        return regraft.load(artifacts / "pytorch" / f"{name}.onnx")
    shapes: dict[str, Any] = {"data0": ("batch", "seq"), "data1": ("batch", "seq"), "data2": ("batch",)}
    if "mlm" in name:
        shapes["data3"] = ("batch", 4)
    return regraft.open_source(artifacts / "mxnet" / name / "model-symbol.json", None, ImportOptions(shapes))


@pytest.mark.parametrize(("name", "form"), diagonal(len(PIPELINES), [*MODELS, *GLUON], PIPELINES))
def test_verified_end_to_end(name: str, form: str, artifacts: Path) -> None:
    model = _model(artifacts, name)
    report = regraft.run(model, PIPELINES[form], verify="final")
    assert report.drift is not None
    assert report.drift.compared
    fed = {tensor.name: tensor.shape for tensor in model.graph.inputs}
    packed = [ROWS, TOKENS] if "static" in form else [1, "tokens"]
    assert packed in fed.values()
    assert ("segment_ids" in fed) == form.startswith("rows")
    if "static" in form:
        made = [tensor.shape for node in model.graph.nodes for tensor in node.outputs if tensor.name]
        assert all(shape is not None and all(isinstance(dim, int) for dim in shape) for shape in made)
        assert ON_HOST.isdisjoint(node.op for node in model.graph.nodes)
        assert all(isinstance(dim, int) for shape in fed.values() for dim in shape or ())


@pytest.mark.parametrize(
    ("name", "opset", "form"), diagonal(7, ["bert-cls-eager-ts", "t5-encoder-ts"], [11, 13, 17, 23], PIPELINES)
)
def test_in_other_opsets(name: str, opset: int, form: str, artifacts: Path) -> None:
    model = _model(artifacts, name)
    regraft.run(model, f"convert-opset{{version={opset}}}")
    regraft.run(model, PIPELINES[form], verify="final")


@pytest.mark.parametrize(
    ("name", "form"), diagonal(3, ["bert-qa-eager-dynamo", "roberta-eager-ts", "gpt2-eager-dynamo"], PIPELINES)
)
def test_each_sequence_is_as_if_run_alone(name: str, form: str, artifacts: Path) -> None:
    """On lengths of the seed's distribution, cut to what the model has positions for."""
    before, after = _model(artifacts, name), _model(artifacts, name)
    regraft.run(after, PIPELINES[form])
    alone, packed = Session(before), Session(after)
    lengths = np.clip(read_lengths("seed004").values[:40] // 8, 1, 32).reshape(8, 5)
    random = np.random.default_rng(0)
    for batch in lengths:
        feeds = _feeds(before, batch, random)
        found = packed.run(feeds)
        for row, length in enumerate(batch):
            right = alone.run({key: value[row : row + 1, :length] for key, value in feeds.items()})
            for key, value in right.items():
                shown = found[key][row : row + 1]
                shown = shown[:, :length] if value.ndim > 1 and value.shape[1] == length else shown
                assert np.abs(shown - value).max() <= 1e-5


def _feeds(model: Model, lengths: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Padded on the right to the longest."""
    shape = len(lengths), int(lengths.max())
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    made = {"attention_mask": mask, "input_ids": random.integers(2, 99, shape) * mask + (1 - mask)}
    made["token_type_ids"] = random.integers(0, 2, shape) * mask
    return {tensor.name: made[tensor.name] for tensor in model.inputs}


@pytest.mark.parametrize(
    ("spoiled", "form"),
    [
        *(("segment_ids", "rows"), ("position_ids", "rows"), ("unpack_index", "unpacked")),
        ("sequence_starts", "loop simplified"),
    ],
)
def test_negative_controls(spoiled: str, form: str, artifacts: Path) -> None:
    """A segment that two share, positions that go on, lengths that are off by one: each is seen in the outputs."""
    model = _model(artifacts, "bert-qa-eager-dynamo")
    regraft.run(model, PIPELINES[form])
    feeds = _feeds(model, np.array([9, 7, 12]), np.random.default_rng(0))
    session = Session(model)
    fed = session.device_inputs(feeds)
    device = Session(model.device)
    right = device.run(fed)
    wrong = {
        "segment_ids": np.minimum(fed.get("segment_ids", 0), 1),
        "position_ids": np.arange(fed["position_ids"].size).reshape(fed["position_ids"].shape) % 64,
        "unpack_index": np.maximum(fed["unpack_index"] - 1, 0),
        "sequence_starts": np.maximum(fed.get("sequence_starts", 0) - 1, 0),
    }[spoiled]
    spoilt = {**fed, spoiled: wrong.astype(fed[spoiled].dtype)}
    if spoiled == "sequence_starts":  # as many tokens in all
        spoilt["sequence_ends"] = np.append(spoilt[spoiled][1:], fed["sequence_ends"][-1:], axis=0)
    found = device.run(spoilt)
    assert max(np.abs(found[name] - right[name]).max() for name in right) > 1e-3


def test_masks_on_the_left_and_with_holes(artifacts: Path) -> None:
    """T5 sees distances, which stay where tokens between two others are hidden."""
    for form in PIPELINES.values():
        before, after = _model(artifacts, "t5-encoder-ts"), _model(artifacts, "t5-encoder-ts")
        regraft.run(after, form)
        feeds = _feeds(before, np.array([12, 12]), np.random.default_rng(0))
        feeds["attention_mask"] = np.array([[0] * 5 + [1] * 7, [1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0]])
        right, found = Session(before).run(feeds), Session(after).run(feeds)
        shown = feeds["attention_mask"].astype(bool)
        for name in right:
            assert np.abs(right[name] - found[name])[shown].max() <= 1e-5


@pytest.mark.parametrize("form", diagonal(2, PIPELINES))
def test_a_row_that_hides_everything_spoils_no_other(form: str, artifacts: Path) -> None:
    before, after = _model(artifacts, "bert-qa-eager-dynamo"), _model(artifacts, "bert-qa-eager-dynamo")
    regraft.run(after, f"{PIPELINES[form]},convert-fp16" if "static" in form else PIPELINES[form])
    feeds = _feeds(before, np.array([9, 7, 12]), np.random.default_rng(0))
    feeds["attention_mask"][1] = 0
    right, found = Session(before).run(feeds), Session(after).run(feeds)
    shown = feeds["attention_mask"].astype(bool)
    for name in right:
        assert np.isfinite(found[name]).all()
        assert np.abs(right[name] - found[name])[shown].max() <= 1e-2
    feeds["attention_mask"][:] = 0
    assert all(np.isfinite(value).all() for value in Session(after).run(feeds).values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bert-static-dynamo", "fixed dimensions"), ("vit-ts", "no input says which tokens are padding")],
)
@pytest.mark.parametrize("form", PIPELINES)
def test_what_cannot_be_packed(name: str, reason: str, form: str, artifacts: Path) -> None:
    with pytest.raises(RegraftError, match=reason):
        regraft.run(_model(artifacts, name), PIPELINES[form])


def test_a_convolution_over_the_sequence_is_refused(artifacts: Path) -> None:
    """It stands before the queries of the second layer, and sees the tokens beside each."""
    model = _model(artifacts, "bert-qa-eager-dynamo")
    layers = [node for node in model.graph.nodes if node.op == "LayerNormalization"]
    with regraft.Editor(model) as edit:
        hidden = layers[2].outputs[0]
        readers = list(hidden.outputs)
        width = 64
        kernel = edit.constant(np.random.default_rng(0).normal(size=(width, width, 3)).astype(np.float32), "kernel")
        turned = edit.insert(readers[0], "Transpose", [hidden], {"perm": [0, 2, 1]}).outputs[0]
        mixed = edit.insert(readers[0], "Conv", [turned, kernel], {"pads": [1, 1], "kernel_shape": [3]}).outputs[0]
        back = edit.insert(readers[0], "Transpose", [mixed], {"perm": [0, 2, 1]}).outputs[0]
        for reader in readers:
            for place, tensor in enumerate(reader.inputs):
                if tensor is hidden:
                    reader.inputs[place] = back
    for form in PIPELINES.values():
        with pytest.raises(RegraftError, match=r"\(Conv\) mixes tokens|are not merged into tokens again"):
            regraft.run(clone(model), form)


@pytest.mark.parametrize("form", diagonal(3, PIPELINES))
def test_a_mean_over_padding_is_refused(form: str, artifacts: Path) -> None:
    """The original gives another number where there is more padding: no packed model can."""
    model = _model(artifacts, "t5-encoder-ts")
    hidden = model.graph.outputs[0]
    with regraft.Editor(model) as edit:
        edit.touch(model.graph)
        axes = edit.constant(np.array([1]), "axes")
        mean = edit.insert(hidden.inputs[0], "ReduceMean", [hidden, axes], {"keepdims": 0}).outputs[0]
        mean.dtype, mean.shape = hidden.dtype, ["batch", 32]
        model.graph.outputs = [mean]
    with pytest.raises(VerificationError, match="differ too much"):
        regraft.run(model, PIPELINES[form], verify="final")


@pytest.mark.parametrize(
    "text",
    [
        "pack-sequences{rows=4}",
        "pack-sequences{tokens=4}",
        "pack-sequences{rows=-1,tokens=4}",
        "unpack-attention{form=static,rows=4,tokens=64}",
        "unpack-attention{rows=4}",
    ],
)
def test_options_that_do_not_fit(text: str, artifacts: Path) -> None:
    with pytest.raises(RegraftError, match="rows"):
        regraft.run(_model(artifacts, "bert-qa-eager-dynamo"), text)


def test_a_batch_that_does_not_fit_is_told_so(artifacts: Path, tmp_path: Path) -> None:
    model = _model(artifacts, "bert-qa-eager-dynamo")
    before = _model(artifacts, "bert-qa-eager-dynamo")
    report = regraft.run(model, PIPELINES["rows static"])
    regraft.write_bundle(model, tmp_path / "bundle", original=before, report=report)
    session = Session(tmp_path / "bundle")
    random = np.random.default_rng(0)
    for lengths, reason in (([30] * 17, "17 sequences"), ([33] * 5, "165 tokens do not fit"), ([63, 1, 64, 1], "")):
        feeds = _feeds(before, np.array(lengths), random)
        if reason:
            with pytest.raises(RuntimeFailure, match=reason):
                session.run(feeds)
        else:
            assert session.run(feeds)["start_logits"].shape == (4, 64)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": 1}', "[" * 100_000])
def test_damaged_metadata(text: str) -> None:
    with pytest.raises(RegraftError, match="damaged"):
        read_shape({KEY: text})


def test_what_fits() -> None:
    shape = PackedShape(2, 8, 3, 8, across_rows=False, mask="mask")
    for lengths, fits in (([8, 8], True), ([5, 5, 4], False), ([5, 4, 3], True), ([1] * 4, False), ([9], False)):
        mask = (np.arange(10) < np.array(lengths)[:, None]).astype(int)
        assert (shape.misfit({"mask": mask}) == "") == fits, lengths
        assert (shape.misfit({"mask": np.array(lengths)}) == "") == fits, lengths
    assert shape.misfit({}) == ""


def test_why_says_what_kept_a_model_from_being_packed(artifacts: Path) -> None:
    for form in ("pack-sequences", "unpack-attention"):
        (miss,) = regraft.why(_model(artifacts, "vit-ts"), Pipeline.parse(form).passes[0])
        assert "no input says which tokens are padding" in miss.reason
