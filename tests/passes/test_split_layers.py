"""split-layers: every exporter's encoder as a chain that computes what the whole does, whatever passes run after it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone, from_proto
from regraft.files.saving import to_proto
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.models import bert
from regraft.passes.split_layers import SplitLayers
from regraft.passes.strip_dropout import StripDropout
from regraft.pipelines.inheritance import STAGE
from regraft.pipelines.pass_base import Context
from regraft.splitting.stage_labels import ORDER, is_split
from regraft.splitting.stages import Stage, run_chain, stages
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import snapshot
from tests.shares import diagonal

FOLDER = Path(__file__).parents[1] / "artifacts"
EXPORTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.onnx"))
REFERENCES = {
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": "pytorch/transformers-4.25.1-bert-qa/ref.npz",
    "tensorflow/tiny_seq32_op18.onnx": "tensorflow/tiny_seq32_ref.npz",
}
LAYERS = ["embeddings", "layer.0", "layer.1", "head"]
BLOCKS = [f"layer.{n}.{part}" for n in (0, 1) for part in ("attention", "feed-forward")]
PADDED = np.array([[1] * 12, [1] * 7 + [0] * 5])


def load(name: str) -> tuple[Model, dict[str, Any], dict[str, Any]]:
    """An artifact at inference, inputs with padding, and what it makes of them, or the source framework did."""
    model = regraft.load(FOLDER / name)
    StripDropout().run(model, Context())
    if "einsum" in name:
        regraft.run(model, "lower-einsum")
    path = FOLDER / REFERENCES.get(name, name.replace(".onnx", ".npz"))
    if not path.exists():
        inputs = make_inputs(model)
        return model, inputs, {}
    with np.load(path) as values:
        parts = [{n[len(kind) :]: values[n] for n in values if n.startswith(kind)} for kind in ("in_", "out_")]
    return model, make_inputs(model, given=Given(values=parts[0])), parts[1]


def split(model: Model, pipeline: str = "split-layers") -> list[Stage]:
    regraft.run(model, pipeline)
    return stages(model)


def assert_chain_equals(chain: list[Stage], whole: Model, inputs: dict[str, Any], atol: float = 0) -> None:
    for stage in chain:
        check(stage.model)
    expected, found = snapshot(whole, inputs), run_chain(chain, inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=atol)


def test_all_exports_are_there() -> None:
    assert len(EXPORTS) >= 27


@pytest.mark.parametrize(("name", "per"), diagonal(3, EXPORTS, ["layer", "block"]))
def test_the_chain_equals_the_whole_and_the_source_framework(name: str, per: str) -> None:
    model, inputs, framework = load(name)
    whole = clone(model)
    chain = split(model, f"split-layers{{per={per}}}")
    assert [stage.name for stage in chain] == (LAYERS if per == "layer" else ["embeddings", *BLOCKS, "head"])
    assert_chain_equals(chain, whole, inputs)
    found = run_chain(chain, inputs)
    for output, value in framework.items():
        np.testing.assert_allclose(found[output], value, atol=1e-5)


@pytest.mark.parametrize("name", diagonal(3, EXPORTS))
def test_a_stage_takes_the_hidden_state_and_the_mask(name: str) -> None:
    model, inputs, _ = load(name)
    dims = {
        d: n for t in model.inputs for d, n in zip(t.shape, inputs[t.name].shape, strict=True) if isinstance(d, str)
    }
    shapes = ",".join(f"{d}={n}" for d, n in dims.items())
    prepare = f"set-shapes{{{shapes}}}," if shapes else ""
    chain = split(model, f"{prepare}fold-constants,split-layers{{per=block}}")
    for before, stage in itertools.pairwise(chain):
        hidden, *others = stage.sources.items()
        assert hidden[1] == before.name, stage.name
        assert stage.model.graph.inputs[0].dtype == np.float32
        assert len(others) == (stage.name.endswith("attention") and "vit" not in name and "einsum" not in name), (
            stage.name
        )
        assert len(stage.model.graph.outputs) == 1 or stage.name == "head"


@pytest.mark.parametrize(
    "pipeline",
    diagonal(
        2,
        [
            "split-layers,fold-constants,eliminate-common-subexpressions,eliminate-identity",
            "fold-constants,split-layers,fuse-layer-norm,lower-gelu{form=erf},lower-layer-norm{form=pow}",
            "fuse-layer-norm,fuse-gelu,lower-gelu{form=tanh},lower-layer-norm{form=mul},split-layers{per=block}",
            "split-layers{per=block},convert-opset{version=23}",
            "split-layers,convert-opset{version=13}",
        ],
    ),
)
@pytest.mark.parametrize("name", ["pytorch/bert-cls-sdpa-ts.onnx", "pytorch/gpt2-eager-dynamo.onnx", EXPORTS[-1]])
def test_before_and_after_other_passes(name: str, pipeline: str) -> None:
    model, inputs, _ = load(name)
    chain = split(model, pipeline)
    assert_chain_equals(chain, clone(model), inputs)
    parts = ["embeddings", *(BLOCKS if "block" in pipeline else LAYERS[1:3]), "head"]
    assert [stage.name for stage in chain] == parts
    layers = [stage for stage in chain if stage.name.startswith("layer")]
    operators = [[node.op for node in stage.model.graph.nodes] for stage in layers]
    half = len(layers) // 2
    if "ts" not in name:  # whose last layer reads copies of the first one's weights, through Identity
        assert [sorted(ops) for ops in operators[:half]] == [sorted(ops) for ops in operators[half:]]
    assert all("Softmax" in ops for ops in (operators[0], operators[half]))


@pytest.mark.parametrize("name", ["pytorch/bert-cls-eager-ts.onnx", "pytorch/gpt2-sdpa-ts.onnx"])
def test_half_precision_adds_no_values_between_stages(name: str) -> None:
    model, inputs, _ = load(name)
    chain = split(model, "fold-constants,split-layers,convert-fp16")
    assert_chain_equals(chain, clone(model), inputs, atol=2e-3)  # ONNX Runtime computes across a cut in float32
    assert [len(stage.sources) for stage in chain[1:3]] == [2, 2]
    assert any(t.dtype == np.float16 for node in chain[1].model.graph.nodes for t in node.inputs)


@pytest.mark.parametrize(
    ("pipeline", "first"),
    [
        ("fold-constants,externalize-embeddings{layer-norm=true},split-layers", ["shared"]),
        ("fold-constants,split-layers,externalize-embeddings{layer-norm=true}", ["embeddings"]),
        ("fold-constants,externalize-mask,externalize-embeddings{layer-norm=true},split-layers", []),
        ("fold-constants,split-layers,externalize-embeddings{layer-norm=true},externalize-mask", []),
    ],
)
@pytest.mark.parametrize("name", ["pytorch/bert-cls-eager-dynamo.onnx", "pytorch/roberta-sdpa-ts.onnx"])
def test_what_moves_to_the_host_is_no_stage(name: str, pipeline: str, first: list[str]) -> None:
    model, inputs, _ = load(name)
    regraft.run(model, pipeline)
    chain = stages(model)
    assert [stage.name for stage in chain] == [*first, *LAYERS[1:]]
    assert_chain_equals(chain, model.device, Session(model).device_inputs(inputs))


def test_attention_by_einsum_is_not_seen() -> None:
    model = regraft.load(FOLDER / "pytorch/einsum-decoder-ts.onnx")
    with pytest.raises(PassError, match="no attention was found; run lower-einsum before"):
        SplitLayers().run(model, Context())


def test_only_metadata_changes_and_a_second_run_changes_nothing() -> None:
    model, _, _ = load("pytorch/roberta-eager-dynamo.onnx")
    regraft.run(model, "infer-shapes")
    before = to_proto(model)
    context = Context("split-layers")
    SplitLayers().run(model, context)
    assert (context.changes, len(context.effects)) == ([], 1)
    after = to_proto(model)
    assert all(any(entry.key == STAGE for entry in node.metadata_props) for node in after.graph.node)
    for node in after.graph.node:
        del node.metadata_props[:]
    for node in before.graph.node:
        del node.metadata_props[:]
    assert after.graph == before.graph
    again = Context("split-layers")
    SplitLayers().run(model, again)
    assert not again.effects
    SplitLayers(per="block").run(model, again)
    assert again.effects
    assert len(stages(model)) == 6


def test_marks_are_kept_in_the_file(tmp_path: Path) -> None:
    model, inputs, _ = load("pytorch/bert-qa-eager-dynamo.onnx")
    regraft.run(model, "split-layers")
    loaded = regraft.load(regraft.save(model, tmp_path / "model.onnx"))
    assert is_split(loaded)
    assert [(a.name, a.sources) for a in stages(loaded)] == [(b.name, b.sources) for b in stages(model)]
    assert_chain_equals(stages(loaded), model, inputs)


def test_padding_is_masked_in_every_stage() -> None:
    model = bert.build(bert.Size(layers=3))
    chain = split(model, "fold-constants,split-layers{per=block}")
    ids = np.random.default_rng(0).integers(0, 128, (2, 12))
    inputs = {"input_ids": ids, "attention_mask": PADDED, "token_type_ids": np.zeros_like(ids)}
    old = run_chain(chain, inputs)["last_hidden_state"]
    new = run_chain(chain, {**inputs, "input_ids": np.where(PADDED, ids, 3)})["last_hidden_state"]
    seen = PADDED.astype(bool)
    np.testing.assert_allclose(new[seen], old[seen], atol=1e-6)
    assert np.abs(new[~seen] - old[~seen]).max() > 0.1
    unmasked = run_chain(chain, {**inputs, "attention_mask": np.ones_like(PADDED)})["last_hidden_state"]
    assert np.abs(unmasked[seen] - old[seen]).max() > 1e-3


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("per", ["layer", "block"])
@pytest.mark.parametrize(
    "style",
    [
        bert.Style(opset=20, gelu="op", layer_norm="op"),
        bert.Style(mask="additive", shapes="static", constants="initializers"),
        bert.Style(opset=13, gelu="tanh", layer_norm="decomposed", dropout="inference"),
    ],
)
def test_any_number_of_layers(style: bert.Style, per: str, layers: int) -> None:
    model = bert.build(bert.Size(layers=layers), style)
    inputs = make_inputs(model)
    whole = clone(model)
    chain = split(model, f"split-layers{{per={per}}}")
    assert len(chain) == 2 + layers * (1 if per == "layer" else 2)
    assert [node.op for node in chain[-1].model.graph.nodes if node.op != "Constant"] == [
        "Gather",
        "MatMul",
        "Add",
        "Tanh",
    ]
    assert chain[-2].results == ("last_hidden_state",)
    assert_chain_equals(chain, whole, inputs)


NOTHING_ADDED = """
g (float[1,4,8] x, float[8,8] a, float[8,8] b) => (float[1,4,8] y) {
    k = Transpose <perm=[0,2,1]> (x)
    s = MatMul (x, k)
    p = Softmax <axis=-1> (s)
    c = MatMul (p, x)
    y = MatMul (c, b)
}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("g (float[4] x) => (float[4] y) { y = Relu (x) }", "no attention was found"),
        (NOTHING_ADDED, "the hidden state is not added"),
    ],
)
def test_a_model_without_layers_is_refused(text: str, why: str) -> None:
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'))
    with pytest.raises(PassError, match=f"the model has no layers to split: .*{why}") as error:
        SplitLayers().run(model, Context())
    assert "\n" not in str(error.value)
    assert not is_split(model)


PARALLEL = """
g (float[1,4,8] x) => (float[1,4,8] z)
<float[8,8] w = {WEIGHTS}>
{
    q = MatMul (x, w)
    k = Transpose <perm=[0,2,1]> (q)
    s = MatMul (q, k)
    p = Softmax <axis=-1> (s)
    c = MatMul (p, q)
    f = MatMul (x, w)
    g = Relu (f)
    h = Add (c, g)
    y = Add (h, x)
    z = Neg (y)
}
""".replace("WEIGHTS", ", ".join(["0.1"] * 64))


def test_a_layer_that_is_not_in_two_parts_stays_whole() -> None:
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{PARALLEL}'))
    whole, context = clone(model), Context("split-layers")
    SplitLayers(per="block").run(model, context)
    assert context.notes == ["layer.0 stays whole: attention and feed-forward are not one after the other"]
    assert [stage.name for stage in stages(model)] == ["layer.0", "head"]
    assert_chain_equals(stages(model), whole, make_inputs(whole))


def test_a_model_that_is_not_split_has_no_stages() -> None:
    model = bert.build()
    with pytest.raises(PassError, match="run split-layers"):
        stages(model)
    regraft.run(model, "split-layers")
    model.metadata[ORDER] = json.dumps(["embeddings"])
    with pytest.raises(PassError, match=r"stage 'layer\.0'; known: embeddings"):
        stages(model)
