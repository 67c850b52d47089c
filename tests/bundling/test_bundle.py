"""Bundles: what is written, read back, refused; and that host and device together are the original."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnx.checker
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import regraft
from regraft.bundling import write_bundle
from regraft.cli import cli
from regraft.errors import ModelError, VerificationError
from regraft.files.bundle import check_sums
from regraft.files.convert import clone
from regraft.pipelines.pass_base import Context
from regraft.runtime import Session
from regraft.shapes import declare_types
from regraft.splitting import to_host
from regraft.verification.inputs import make_inputs

FILE = "pytorch/bert-cls-sdpa-ts.onnx"


@pytest.fixture
def original(artifacts):
    return regraft.load(artifacts / FILE)


@pytest.fixture
def split(original):
    """The model with its word embeddings on the host."""
    model = clone(original)
    declare_types(model)
    words = next(n for n in model.graph.nodes if n.op == "Gather" and list(n.inputs[0].shape or ()) == [200, 64])
    to_host(model, {"words": words.outputs[0]}, Context())
    return model


@pytest.fixture
def bundle(split, original, tmp_path):
    write_bundle(split, tmp_path / "bundle", original=original)
    return tmp_path / "bundle"


def test_what_is_in_it(bundle):
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    golden = {f"golden/{name}.npz" for name in ("inputs", "device_inputs", "outputs")}
    assert files == {"device.onnx", "host.onnx", "host.onnx.data", "manifest.json"} | golden
    for name in ("device.onnx", "host.onnx"):
        onnx.checker.check_model(str(bundle / name), full_check=True)
    assert (bundle / "host.onnx.data").stat().st_size == 200 * 64 * 4
    said = json.loads((bundle / "manifest.json").read_text())
    feeds = {port["name"]: port["from"] for port in said["device"]["inputs"]}
    assert feeds["words"] == {"host": "words"}
    assert feeds["attention_mask"] == {"input": "attention_mask"}
    assert set(said["files"]) == files - {"manifest.json"}
    assert [port["name"] for port in said["inputs"]] == ["input_ids", "attention_mask", "token_type_ids"]
    assert said["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["batch", 2]}]


def test_it_takes_and_gives_what_the_original_does(bundle, original):
    inputs = make_inputs(original, seed=3)
    expected, found = Session(original).run(inputs), Session(bundle).run(inputs)
    np.testing.assert_array_equal(found["logits"], expected["logits"])
    assert regraft.compare(original, regraft.load(bundle)).drift.max_abs == 0


def test_the_device_alone_on_the_golden_vectors(bundle):
    with np.load(bundle / "golden/device_inputs.npz") as feeds, np.load(bundle / "golden/outputs.npz") as outputs:
        found = Session(bundle / "device.onnx").run(dict(feeds))
        np.testing.assert_array_equal(found["logits"], outputs["logits"])


def test_a_table_that_both_sides_need_is_written_once(tmp_path):
    model = _tied()
    before = clone(model)
    words = model.graph.nodes[0].outputs[0]
    to_host(model, {"words": words}, Context())
    write_bundle(model, tmp_path / "b", original=before)
    data = [path for path in (tmp_path / "b").iterdir() if path.name.endswith(".data")]
    assert [path.name for path in data] == ["host.onnx.data"]
    assert data[0].stat().st_size == 64 * 32 * 4
    onnx.checker.check_model(str(tmp_path / "b/device.onnx"), full_check=True)
    assert regraft.compare(before, tmp_path / "b").drift.max_abs == 0


def _tied():
    from regraft.files.convert import from_proto

    text = """<ir_version: 8, opset_import: ["" : 17]>
    tied (int64[B, S] ids) => (float[B, S, 64] scores) {
        words = Gather (table, ids)
        turned = Transpose <perm = [1, 0]> (table)
        scores = MatMul (words, turned)
    }"""
    proto = onnx.parser.parse_model(text)
    table = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(table, "table"))
    model = from_proto(proto)
    declare_types(model)
    return model


def test_a_bundle_is_replaced_also_while_it_is_read(bundle, original):
    again = regraft.load(bundle)
    write_bundle(again, bundle, original=original)
    assert regraft.compare(original, bundle).drift.max_abs == 0
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_model_without_a_host_is_a_bundle_too(original, tmp_path):
    write_bundle(clone(original), tmp_path / "b", original=original)
    assert not (tmp_path / "b/host.onnx").exists()
    assert regraft.load(tmp_path / "b").host is None


def test_a_result_that_is_wrong_is_not_written(split, original, tmp_path):
    bias = next(t for node in split.graph.nodes for t in node.inputs if t.name == "classifier.bias")
    bias.values = bias.values + 1
    with pytest.raises(VerificationError, match="breaks its contract"):
        write_bundle(split, tmp_path / "b", original=original)
    assert not list(tmp_path.iterdir())


def test_other_folders_and_files_stay(split, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, why in (("notes", "holds no bundle"), ("file", "it is no folder"), ("no/where", "there is no folder")):
        with pytest.raises(ModelError, match=why):
            write_bundle(split, tmp_path / name)
    assert (tmp_path / "notes/mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    with pytest.raises(ModelError, match="a bundle holds its weights"):
        write_bundle(split, tmp_path / "new", layout="reference")
    (tmp_path / "empty").mkdir()
    write_bundle(split, tmp_path / "empty")
    assert regraft.load(tmp_path / "empty").host is not None


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda b: (b / "host.onnx").unlink(), "host.onnx is missing"),
        (lambda b: (b / "device.onnx").write_bytes(b"short"), "362,824 were written"),
        (lambda b: (b / "manifest.json").write_text("{"), "cannot read"),
        (lambda b: (b / "manifest.json").write_text("[]"), "is no manifest"),
        (lambda b: _change(b, format=99), "format 99"),
        (lambda b: _change(b, device=None), "is no manifest"),
        (lambda b: _rename(b, '"model": "device.onnx"', '"model": "../elsewhere.onnx"'), "outside the bundle"),
        (lambda b: _rename(b, '"host": "words"', '"host": "worms"'), "no output of the host named 'worms'"),
        (lambda b: _rename(b, '"name": "words"', '"name": "worms"'), "no input of the device named 'worms'"),
        (lambda b: _rename(b, '"name": "logits"', '"name": "logs"'), "no output of the device named 'logs'"),
    ],
)
def test_a_damaged_bundle_is_one_line(bundle, damage, why):
    damage(bundle)
    result = CliRunner().invoke(cli, ["run", str(bundle)])
    assert result.exit_code == 2
    assert why in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_changed_bytes_are_seen(bundle):
    data = bundle / "host.onnx.data"
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(ModelError, match="was changed since"):
        check_sums(bundle)
    with pytest.raises(ModelError, match="was changed since"):
        Session(bundle)
    for command in (["run", bundle], ["verify", bundle, bundle], ["rewrite", bundle, "-o", bundle.parent / "new"]):
        result = CliRunner().invoke(cli, list(map(str, command)))
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "was changed since" in result.stderr


def _change(bundle, **fields):
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def _rename(bundle, old, new):
    path = bundle / "manifest.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_it_is_shown_with_its_host(bundle):
    result = CliRunner().invoke(cli, ["show", str(bundle)])
    assert result.exit_code == 0
    assert re.search(r"words +float32\[.*\] +from the host", result.stdout)
    assert re.search(r"takes +input_ids int64\[batch, seq\]", result.stdout)
    assert "12,800 parameters in 51.2 KB" in result.stdout
    said = json.loads(CliRunner().invoke(cli, ["show", str(bundle), "--json"]).stdout)
    assert said["host"]["operators"] == {"Gather": 1}
    assert said["feeds"] == ["words"]


def test_the_stages_of_a_split_model_are_in_it(original, tmp_path):
    model = clone(original)
    report = regraft.run(model, "externalize-embeddings,split-layers")
    write_bundle(model, tmp_path / "b", original=original, report=report)
    said = json.loads((tmp_path / "b/manifest.json").read_text())
    names = [stage["name"] for stage in said["stages"]["chain"]]
    assert names[-3:] == ["layer.0", "layer.1", "head"]
    for stage in said["stages"]["chain"]:
        assert stage["model"] in said["files"]
        with np.load(tmp_path / "b" / stage["golden"]["inputs"]) as given:
            made = Session(tmp_path / "b" / stage["model"]).run(dict(given))
        with np.load(tmp_path / "b" / stage["golden"]["outputs"]) as expected:
            assert {name: value.tolist() for name, value in made.items()} == {n: expected[n].tolist() for n in expected}


def test_the_host_computes_nothing_twice(original, tmp_path):
    model = clone(original)
    declare_types(model)
    tables = [n for n in model.graph.nodes if n.op == "Gather" and len(n.inputs[0].shape or ()) == 2]
    for node in tables[:3]:
        to_host(model, {node.name.split("/")[-2]: node.outputs[0]}, Context())
    write_bundle(model, tmp_path / "b", original=original)
    written = regraft.load(tmp_path / "b/host.onnx")
    assert sum(node.op == "Shape" for node in written.graph.nodes) <= 1
    assert [t.name for t in written.graph.outputs] == list(model.host.feeds.values())


def test_a_model_that_is_random_is_told_so(tmp_path):
    """Not that its contract is broken: with Dropout at work no two runs are the same."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [64]) for n in "xy")
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    dropout = helper.make_node("Dropout", ["x", "", "yes"], ["y"], "drop")
    graph = helper.make_graph([dropout], "g", [x], [y], [yes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    words = ["rewrite", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "b")]
    result = CliRunner().invoke(cli, [*words, "--pipeline", "eliminate-identity"])
    assert result.exit_code == 2
    assert "output 'y' of the original is random, as node 'drop' (Dropout) has it" in result.stderr
    assert "run strip-dropout before" in result.stderr
    regraft.run(model := regraft.load(tmp_path / "m.onnx"), "strip-dropout")
    write_bundle(model, tmp_path / "b", original=model)
