"""SavedModels of TensorFlow 1 and 2 and of Keras, imported and held against TensorFlow's own outputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.files.convert import clone
from regraft.ir.graph import Constant
from regraft.ir.weights import Stored
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.verification.runtime import Session

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed: pip install 'regraft[tensorflow]'")
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install 'regraft[tensorflow]'")

UNUSED = ["label_ids", "is_real_example"]
TRANSFORMS = {
    "fold-constants,expose-position-ids": "expose-position-ids",
    "externalize-embeddings": "externalize-embeddings",
    "externalize-mask": "externalize-mask",
    "fuse-gelu": "fuse-gelu",
    "fuse-layer-norm": "fuse-layer-norm",
    "fuse-attention": "fuse-attention",
    "convert-fp16": "convert-fp16",
    "fold-constants,expose-position-ids,externalize-embeddings,externalize-mask,fuse-layer-norm,fuse-attention,"
    "fuse-gelu,convert-fp16": "externalize-mask",
}


@pytest.fixture(scope="module")
def bert(artifacts) -> regraft.Model:
    """BERT's serving export, as TensorFlow 1.15 saved it."""
    return regraft.open_source(artifacts / "tensorflow" / "tiny_seq32", options=ImportOptions(drop_unused_inputs=True))


def reference(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path) as values:
        inputs = {name[3:]: values[name] for name in values if name.startswith("in_")}
        return inputs, {name[4:]: values[name] for name in values if name.startswith("out_")}


def assert_equal(model: regraft.Model, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    found = Session(model).run({tensor.name: inputs[tensor.name] for tensor in model.inputs})
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------ TensorFlow 1


@pytest.mark.parametrize("length", [32, 128])
@pytest.mark.parametrize("drop", [False, True])
def test_bert_equals_its_reference(artifacts, tmp_path, length, drop):
    source = artifacts / "tensorflow" / f"tiny_seq{length}"
    model = regraft.open_source(source, options=ImportOptions(drop_unused_inputs=drop))
    assert [t.name for t in model.inputs] == ["input_ids", "input_mask", "segment_ids", *([] if drop else UNUSED)]
    assert [list(t.shape) for t in model.inputs[:3]] == [["batch", length]] * 3
    assert [list(t.shape) for t in model.outputs] == [["batch", 2]]
    assert model.opset == 18
    assert_equal(model, *reference(source.with_name(f"tiny_seq{length}_ref.npz")))
    regraft.save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    assert_equal(regraft.load(tmp_path / "model.onnx"), *reference(source.with_name(f"tiny_seq{length}_ref.npz")))


def test_weights_stay_in_the_checkpoint_and_names_are_tensorflows(bert):
    weights = {t.name: t for node in bert.graph.nodes for t in node.inputs if isinstance(t, Constant)}
    stored = {name for name, tensor in weights.items() if isinstance(tensor.lazy, Stored)}
    assert "bert/encoder/layer_0/attention/self/query/kernel" in stored
    assert sum(weights[name].nbytes for name in stored) > 0.99 * sum(tensor.nbytes for tensor in weights.values())
    nodes = {node.name: node for node in bert.graph.nodes}
    assert nodes["bert/embeddings/embedding_lookup"].metadata == {
        "tensorflow.op": "GatherV2",
        "tensorflow.node": "bert/embeddings/embedding_lookup",
    }
    assert all(node.metadata for node in bert.graph.nodes)
    assert bert.metadata["regraft.source"] == "TensorFlow 1.15.5, signature serving_default: tiny_seq32"


@pytest.mark.parametrize("pipeline", TRANSFORMS)
def test_transforms_apply_and_verify(bert, pipeline):
    report = regraft.run(clone(bert), pipeline, verify="each")
    assert {one.name: bool(one.changes) for one in report.passes}[TRANSFORMS[pipeline]]


def test_all_gelus_layer_norms_and_attentions_are_found(bert):
    model = clone(bert)
    report = regraft.run(model, "fuse-layer-norm,fuse-attention,fuse-gelu", verify="final")
    assert [one.matches for one in report.passes] == [5, 2, 2]


def test_shapes_that_are_given(artifacts):
    source = artifacts / "tensorflow" / "tiny_seq32"
    shapes = {"input_ids": (4, 32), "input_mask": ("rows", None)}
    model = regraft.open_source(source, options=ImportOptions(shapes=shapes, drop_unused_inputs=True))
    assert [list(t.shape) for t in model.inputs] == [[4, 32], ["rows", 32], ["batch", 32]]
    for name, shape, said in (
        ("input_ids", (4, 64), r"has shape \?x32 in the model, not 4x64"),
        ("segments", (4,), "segment_ids"),
    ):
        with pytest.raises(FrontendError, match=said):
            regraft.open_source(source, options=ImportOptions(shapes={name: shape}))


@pytest.fixture
def version1(tmp_path) -> Path:
    """A graph of TensorFlow 1 with a variable read in place, one read by its handle, and names that meet."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], "features")
        old = v1.get_variable("old", [3, 2], use_resource=False)
        new = v1.get_variable("new", [5, 2], use_resource=True)
        rate = v1.placeholder_with_default(2.0, [], "rate")
        ids = v1.placeholder(tf.int64, [None], "ids")
        y = tf.add(tf.matmul(x, old) * rate, tf.gather(new, ids), "sum")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(
            session, str(tmp_path / "v1"), {"old": x, "ids": ids}, {"y": y, "z": y, "same": x, "ids": ids}
        )
    return tmp_path / "v1"


def test_names_that_meet_and_defaults(version1):
    inputs = {"old": np.float32([[1, 2, 3], [4, 5, 6]]), "ids": np.int64([4, 0])}
    model = regraft.open_source(version1)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(version1))
        y = session.run("sum:0", {"features:0": inputs["old"], "ids:0": inputs["ids"]})
    assert_equal(model, inputs, {"y": y, "z": y, "same": inputs["old"], "ids_output": inputs["ids"]})


# ------------------------------------------------------------------------------------------------ TensorFlow 2


class Module(tf.Module):
    """A table, a product and Gelu, and signatures for the tests of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.Variable(tf.random.stateless_normal([50, 4], [1, 2]), name="weight")
        self.kernel = tf.Variable(tf.random.stateless_normal([4, 3], [3, 4]), name="weight")
        self.size = tf.Variable([-1, 6], name="size", dtype=tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32, name="ids")])
    def gelu(self, ids):
        rows = tf.nn.gelu(tf.gather(self.table, ids) @ self.kernel, approximate=False)
        return {"scores": tf.reshape(rows, self.size)}

    @tf.function
    def twice(self, x):
        return tf.linalg.matmul(x, self.kernel, name="product") @ tf.transpose(self.kernel)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def turns(self, x):
        x = self.twice(self.twice(x))
        for _ in tf.range(tf.shape(x)[0]):
            x = x * 0.5 + 1.0
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def strange(self, x):
        return {"y": tf.math.digamma(x) + tf.math.betainc(x, x, x)}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def loop(self, x):
        for _ in tf.range(tf.shape(x)[0]):
            x = x @ self.kernel @ tf.transpose(self.kernel)
        return {"y": x}


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    one = Module()
    signatures = {name: getattr(one, name) for name in ("gelu", "turns", "strange", "loop")}
    tf.saved_model.save(one, str(folder), signatures)
    return folder


def test_a_module_with_exact_gelu(module):
    model = regraft.open_source(module, options=ImportOptions(signature="gelu"))
    ids = np.int32([[1, 49], [0, 7], [3, 3]])
    expected = tf.saved_model.load(str(module)).signatures["gelu"](ids=ids)["scores"].numpy()
    assert_equal(model, {"ids": ids}, {"scores": expected})
    assert [one.matches for one in regraft.run(model, "fuse-gelu", verify="each").passes] == [1]


def test_functions_that_are_called_twice_and_loops(module):
    model = regraft.open_source(module, options=ImportOptions(signature="turns"))
    x = np.float32(np.arange(12).reshape(3, 4)) / 10
    expected = tf.saved_model.load(str(module)).signatures["turns"](x=x)["y"].numpy()
    assert_equal(model, {"x": x}, {"y": expected})
    products = [node for node in model.graph.nodes if node.op == "MatMul"]
    assert len({node.name for node in products}) == 4
    assert [node.op for node in model.graph.nodes].count("Loop") == 1


def test_a_keras_model(tmp_path):
    keras = tf.keras
    keras.utils.set_random_seed(7)
    ids = keras.Input((8,), dtype="int32", name="ids")
    hidden = keras.layers.Embedding(50, 16)(ids)
    wide = keras.layers.Dense(32, activation=lambda x: tf.nn.gelu(x, approximate=False))(hidden)
    normed = keras.layers.LayerNormalization()(hidden + keras.layers.Dense(16)(wide))
    keras.Model(ids, keras.layers.Dense(3, name="scores")(normed)).export(str(tmp_path / "keras"), verbose=False)
    model = regraft.open_source(tmp_path / "keras")
    given = np.arange(24, dtype=np.int32).reshape(3, 8) * 2
    expected = tf.saved_model.load(str(tmp_path / "keras")).signatures["serving_default"](ids=given)
    assert_equal(model, {"ids": given}, {name: value.numpy() for name, value in expected.items()})
    stored = [t for node in model.graph.nodes for t in node.inputs if isinstance(getattr(t, "lazy", None), Stored)]
    assert {"embedding/embeddings_1", "dense/kernel_1", "layer_normalization/gamma_1"} <= {t.name for t in stored}
    report = regraft.run(model, "fold-constants,fuse-gelu,fuse-layer-norm", verify="each")
    assert [one.matches for one in report.passes[1:]] == [1, 1]


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ImportOptions(),
            "has no signature 'serving_default'; name one by --signature; it has: gelu, loop, strange, turns",
        ),
        (ImportOptions(signature="gel"), "no signature named 'gel'; did you mean 'gelu'?"),
        (ImportOptions(signature="gelu", tag="train"), "has no graph tagged 'train'; name one by --tag; it has: serve"),
        (ImportOptions(signature="strange"), "has no ONNX form for Betainc (node 'Betainc'), Digamma (node 'Digamma')"),
        (ImportOptions(signature="loop"), "uses a variable in a way that is not mapped"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(module, options, said, capfd):
    with pytest.raises(FrontendError) as caught:
        regraft.open_source(module, options=options)
    assert said in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_graph(artifacts, tmp_path):
    saved = Path(shutil.copytree(artifacts / "tensorflow" / "tiny_seq32", tmp_path / "saved")) / "saved_model.pb"
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(FrontendError, match="is truncated or no SavedModel"):
        regraft.open_source(tmp_path / "saved")


def test_variables_that_the_checkpoint_lacks(module, artifacts, tmp_path):
    saved = Path(shutil.copytree(module, tmp_path / "saved"))
    shutil.rmtree(saved / "variables")
    shutil.copytree(artifacts / "tensorflow" / "tiny_seq32" / "variables", saved / "variables")
    with pytest.raises(FrontendError, match="signature 'gelu': the checkpoint has no value for 'size', 'weight'"):
        regraft.open_source(saved, options=ImportOptions(signature="gelu"))


def test_the_command(artifacts, tmp_path):
    target = tmp_path / "model.onnx"
    arguments = ["import", str(artifacts / "tensorflow" / "tiny_seq32"), "-o", str(target), "--drop-unused-inputs"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert [t.name for t in regraft.load(target).inputs] == ["input_ids", "input_mask", "segment_ids"]
    assert "from TensorFlow 1.15.5" in result.output
