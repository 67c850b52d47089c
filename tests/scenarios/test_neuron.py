"""From another framework's files to a bundle for Inferentia 1, by one command.

The figures are those that Neuron's own examples assert: more than 99 % of the operators on the device, the
same decisions as the original, and values within 1e-2 of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.pipelines.frontend import ImportOptions
from regraft.pipelines.source import open_source
from regraft.runtime import Session
from regraft.verification.inputs import Given, make_inputs
from tests.shares import diagonal

BATCH = 8
ENOUGH = 0.99


def compiled(*arguments: str) -> None:
    done = CliRunner().invoke(cli, ["compile", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def hold(bundle: Path, original, inputs: dict) -> None:
    """See that `bundle` is what an Inferentia takes, and decides as the original does."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    legality = manifest["handoff"]["legality"]
    assert legality["share"] == 1.0 > ENOUGH
    assert "neuron-cc-ops-onnx" in legality["source"]
    device = regraft.load(bundle).graph
    assert {"hidden_states", "attention_bias"} <= {tensor.name for tensor in device.inputs}
    assert all(isinstance(dim, int) for tensor in (*device.inputs, *device.outputs) for dim in tensor.shape)
    (name,) = (output.name for output in Session(original).outputs)
    session = Session(bundle)
    known = {port.name: inputs[port.name] for port in session.inputs}  # labels that nothing reads are gone
    expected, found = Session(original).run(inputs)[name], session.run(known)[name]
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))
    np.testing.assert_allclose(found, expected, atol=1e-2, rtol=1e-2)
    np.testing.assert_allclose(found, expected, atol=5e-4, rtol=1e-3)  # before the compiler's own 16 bits


@pytest.mark.parametrize("name", ["gn0.8.3-classifier", "gn0.10.0-classifier"])
def test_from_mxnet(name, artifacts, tmp_path):
    """gluonnlp's BERT classifier: its embeddings, attention mask and SequenceMask move to the host."""
    shapes = {"data0": (BATCH, 16), "data1": (BATCH, 16), "data2": (BATCH,)}
    source, bundle = artifacts / "mxnet" / name, tmp_path / "bundle"
    given = [f"--shape={key}={'x'.join(map(str, dims))}" for key, dims in shapes.items()]
    compiled(str(source), *given, "--target", "neuron-inf1", "-o", str(bundle))
    original = open_source(source, options=ImportOptions(shapes=shapes))
    with np.load(source / "ref.npz") as reference:
        lengths = np.tile(reference["in_data2"], BATCH // 2)
        inputs = {key: np.tile(reference[f"in_{key}"], (BATCH // 2, 1)) for key in ("data0", "data1")}
    assert (lengths < 16).any()
    hold(bundle, original, {**inputs, "data2": lengths})


def test_from_an_exported_tensorflow_model(artifacts, tmp_path):
    source, bundle = artifacts / "tensorflow/tiny_seq32_op18.onnx", tmp_path / "bundle"
    original = regraft.load(source)
    dims = {dim: BATCH for tensor in original.inputs for dim in tensor.shape if isinstance(dim, str)}
    sizes = ",".join(f"{dim}={size}" for dim, size in dims.items())
    compiled(str(source), "--target", f"neuron-inf1{{{sizes}}}", "-o", str(bundle))
    hold(bundle, original, make_inputs(original, seed=3, given=Given(dims=dims)))


@pytest.mark.parametrize("length", diagonal(2, [32, 128]))
def test_from_a_saved_model(length, artifacts, tmp_path):
    """BERT's serving export: Gelu by Tanh, a mask of ones times the caller's, inputs that nothing reads."""
    pytest.importorskip("tensorflow")
    source, bundle = artifacts / f"tensorflow/tiny_seq{length}", tmp_path / "bundle"
    compiled(str(source), "--drop-unused-inputs", "--target", f"neuron-inf1{{batch={BATCH}}}", "-o", str(bundle))
    original = open_source(source, options=ImportOptions(drop_unused_inputs=True))
    hold(bundle, original, make_inputs(original, seed=3, given=Given(dims={"batch": BATCH})))
