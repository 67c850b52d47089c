"""The stages of a split model in a folder: each runs alone, and what the manifest says of it is so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

import regraft
from regraft.bundling import write_bundle
from regraft.bundling.chain import write_stages
from regraft.bundling.weights import file_name
from regraft.errors import PassError
from regraft.files.bundle import check_sums
from regraft.files.convert import clone
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.models import bert
from regraft.splitting.stages import stages
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session

EXPORTS = ["pytorch/bert-cls-eager-ts.onnx", "pytorch/gpt2-sdpa-dynamo.onnx", "pytorch/t5-encoder-dynamo.onnx"]


def write(model: Model, folder: Path, pipeline: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split and write; what the manifest says, and the inputs."""
    inputs = make_inputs(model)
    regraft.run(model, pipeline)
    said = write_stages(model, folder, inputs)
    return json.loads(json.dumps(said)), inputs


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as values:
        return dict(values)


@pytest.mark.parametrize("per", ["layer", "block"])
@pytest.mark.parametrize("name", EXPORTS)
def test_each_stage_runs_alone_on_its_golden_vectors(artifacts: Path, tmp_path: Path, name: str, per: str) -> None:
    model = regraft.load(artifacts / name)
    said, inputs = write(model, tmp_path, f"fold-constants,split-layers{{per={per}}}")
    values = dict(inputs)
    for number, stage in enumerate(said["chain"]):
        assert stage["model"] == f"stages/{number:02d}-{stage['name']}/model.onnx"
        onnx.checker.check_model(tmp_path / stage["model"], full_check=True)
        given, made = (arrays(tmp_path / stage["golden"][what]) for what in ("inputs", "outputs"))
        assert list(given) == [port["name"] for port in stage["inputs"]]
        for port in stage["inputs"]:
            np.testing.assert_array_equal(given[port["name"]], values[port["name"]])
        found = Session(tmp_path / stage["model"]).run(given)
        assert list(found) == list(made) == [port["name"] for port in stage["outputs"]]
        for port in (*stage["inputs"], *stage["outputs"]):
            value = (given | made)[port["name"]]
            assert (port["golden_shape"], port["bytes"]) == (list(value.shape), value.nbytes)
            assert port["dtype"] == str(value.dtype)
        for output, value in found.items():
            np.testing.assert_array_equal(value, made[output])
        values |= found
    for output, value in Session(model).run(inputs).items():
        np.testing.assert_array_equal(values[output], value)


def test_where_values_come_from_and_where_they_go(artifacts: Path, tmp_path: Path) -> None:
    model = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    said, _ = write(model, tmp_path, "fold-constants,split-layers")
    embeddings, first, second, head = said["chain"]
    assert [port["from"] for port in embeddings["inputs"]] == [{"input": port["name"]} for port in embeddings["inputs"]]
    assert [port["from"] for port in first["inputs"]] == [{"stage": "embeddings"}] * 2
    assert [port["from"] for port in second["inputs"]] == [{"stage": "layer.0"}, {"stage": "embeddings"}]
    assert [port["to"] for port in embeddings["outputs"]] == [["layer.0"], ["layer.0", "layer.1"]]
    assert [(port["name"], port["to"], port["is_output"]) for port in head["outputs"]] == [
        ("start_logits", [], True),
        ("end_logits", [], True),
    ]


@pytest.mark.parametrize("name", EXPORTS)
def test_weights_are_those_of_the_graph_in_both_layouts(artifacts: Path, tmp_path: Path, name: str) -> None:
    model = regraft.load(artifacts / name)
    said, _ = write(model, tmp_path, "fold-constants,split-layers{per=block}")
    initializers = {t.name: t.values for n in model.graph.nodes for t in n.inputs if isinstance(t, Constant)}
    seen = set()
    for stage in said["chain"]:
        graph = onnx.load(tmp_path / stage["model"]).graph
        nodes = {node.name: node for node in graph.node}
        for weight in stage["weights"]:
            value = np.load(tmp_path / weight["file"])
            np.testing.assert_array_equal(value, initializers[weight["name"]])
            assert (weight["shape"], weight["dtype"]) == (list(value.shape), str(value.dtype))
            assert weight["bytes"] == value.nbytes
            assert ("transposed" in weight) == (value.ndim == 2)
            if value.ndim == 2:
                transposed = np.load(tmp_path / weight["transposed"])
                np.testing.assert_array_equal(transposed, value.T)
                assert transposed.flags.c_contiguous
            for reader in weight["readers"]:
                assert nodes[reader["node"]].input[reader["input"]] == weight["name"]
            seen.add(weight["name"])
        assert stage["weight_bytes"] == sum(weight["bytes"] for weight in stage["weights"])
    matrices = {name for name, value in initializers.items() if value.ndim == 2 and value.dtype == np.float32}
    assert matrices <= seen


def test_multiply_accumulates_of_each_stage(tmp_path: Path) -> None:
    model = bert.build()
    said, inputs = write(model, tmp_path, "split-layers{per=block}")
    batch, places = inputs["input_ids"].shape
    hidden, wide = 32, 64
    attention = batch * (4 * places * hidden**2 + 2 * places**2 * hidden)
    feed_forward = batch * 2 * places * hidden * wide
    expected = [0, attention, feed_forward, attention, feed_forward, batch * hidden**2]
    assert [stage["macs"] for stage in said["chain"]] == expected
    assert said["macs"] == sum(expected)
    assert all(stage["macs_unknown"] == {} for stage in said["chain"])
    assert said["chain"][1]["operators"]["MatMul"] == 6


def test_bfloat16_is_written_as_float32(tmp_path: Path) -> None:
    model = bert.build(bert.Size(layers=1), bert.Style(constants="initializers"))
    inputs = make_inputs(model)
    regraft.run(model, "split-layers")
    weights = [
        t for n in model.graph.nodes if n.op == "Gather" for t in n.inputs if isinstance(t, Constant) and t.size > 1
    ]
    table = next(t for t in weights if "word" in t.name)
    rounded = table.values.astype(ml_dtypes.bfloat16)
    cast = Constant("narrow", rounded)
    said = write_stages(_with_narrow_table(model, table, cast), tmp_path, inputs)
    (weight,) = [w for w in said["chain"][0]["weights"] if w["name"] == "narrow"]
    assert (weight["dtype"], weight["bytes"]) == ("bfloat16", rounded.size * 2)
    np.testing.assert_array_equal(np.load(tmp_path / weight["file"]), rounded.astype(np.float32))


def _with_narrow_table(model: Model, table: Constant, narrow: Constant) -> Model:
    """`model` with its words looked up in `narrow`, cast to float32."""
    reader = table.outputs[0]
    with Editor(model) as edit:
        wide = edit.insert(reader, "Cast", [narrow], {"to": 1}).outputs[0]
        edit.replace(table, wide)
    return model


def test_names_that_files_cannot_have() -> None:
    assert file_name("onnx::MatMul_306") == "onnx_MatMul_306"
    assert file_name("../../etc/passwd") == "etc_passwd"
    assert file_name("Weight", {"weight", "weight_2"}) == "Weight_3"
    assert file_name("///") == "_"
    assert len(file_name("x" * 500)) <= 143


def test_a_model_that_is_not_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="run split-layers"):
        write_stages(bert.build(), tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pipeline", ["split-layers", "externalize-embeddings,split-layers{per=block}"])
def test_a_bundle_holds_the_stages_of_the_device(artifacts: Path, tmp_path: Path, pipeline: str) -> None:
    original = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    model = clone(original)
    regraft.run(model, f"fold-constants,{pipeline}")
    write_bundle(model, tmp_path / "bundle", original=original)
    manifest = json.loads((tmp_path / "bundle/manifest.json").read_text())
    check_sums(tmp_path / "bundle")
    chain = manifest["stages"]["chain"]
    named = [path for stage in chain for path in (stage["model"], *stage["golden"].values())]
    assert set(named) <= set(manifest["files"])
    fed, made = (arrays(tmp_path / "bundle" / manifest["golden"][what]) for what in ("device_inputs", "outputs"))
    values = dict(fed)
    for stage in chain:
        given = {port["name"]: values[port["name"]] for port in stage["inputs"]}
        values |= Session(tmp_path / "bundle" / stage["model"]).run(given)
    for output, value in made.items():
        np.testing.assert_array_equal(values[output], value)
    assert [stage.name for stage in stages(regraft.load(tmp_path / "bundle"))] == [stage["name"] for stage in chain]


@pytest.mark.slow
def test_a_chain_of_twelve_layers_gives_the_last_hidden_state(tmp_path: Path) -> None:
    """BERT-base's size at 512 places, with rows of 512 and 300 tokens."""
    model = bert.build(bert.BASE)
    ids = np.random.default_rng(0).integers(0, bert.BASE.vocabulary, (2, 512))
    mask = (np.arange(512) < np.array([[512], [300]])).astype(np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    whole = Session(model).run(inputs)
    regraft.run(model, "fold-constants,split-layers")
    said = write_stages(model, tmp_path, inputs)
    assert len(said["chain"]) == 14
    last = arrays(tmp_path / said["chain"][12]["golden"]["outputs"])["last_hidden_state"]
    np.testing.assert_allclose(last, whole["last_hidden_state"], rtol=0, atol=1e-5)
    layer = 2 * (4 * 512 * 768**2 + 2 * 512**2 * 768 + 2 * 512 * 768 * 3072)
    assert {stage["macs"] for stage in said["chain"][1:13]} == {layer}
