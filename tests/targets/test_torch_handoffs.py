"""Bundles for compilers that take torch modules: their scripts, up to the SDK and past it, with stand-ins for it.

The scripts run in an environment that has onnx2torch: `make compiler-onnx2torch`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import regraft
from regraft.errors import TargetError
from regraft.runtime import Session
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.environment import find_python
from regraft.targeting.target import read_target
from regraft.verification.inputs import Given, make_inputs
from tests.shares import diagonal, every

FAKES = Path(__file__).parent / "fakes"
SDK = {"neuron-inf1": FAKES / "neuron", "neuron-inf2": FAKES / "neuron", "bladedisc": FAKES / "blade"}
BERT, QA = "pytorch/bert-cls-sdpa-ts.onnx", "pytorch/bert-qa-eager-dynamo.onnx"
TARGETS = {
    "neuron-inf1": "neuron-inf1{batch=2,seq=12}",
    "neuron-inf2": "neuron-inf2{buckets={batch:2:seq:8,batch:2:seq:16}}",
    "bladedisc": "bladedisc",
}
ENCODERS = [
    "pytorch/bert-cls-eager-ts-train.onnx",
    "pytorch/bert-cls-sdpa-dynamo-op23.onnx",
    "pytorch/distilbert-sdpa-dynamo.onnx",
    "pytorch/einsum-decoder-ts.onnx",
    "pytorch/gpt2-sdpa-ts.onnx",
    "pytorch/roberta-sdpa-dynamo.onnx",
    "pytorch/t5-encoder-ts.onnx",
    "pytorch/vit-dynamo.onnx",
]


def bundle(model: Path, target: str, folder: Path, given: Given | None = None) -> Path:
    build_bundle(regraft.load(model), read_target(target), folder, given=given)
    return folder


def handoff(folder: Path) -> dict:
    return json.loads((folder / "handoff.json").read_text())


@pytest.fixture(scope="module")
def bundles(artifacts, tmp_path_factory):
    """A bundle of the classifier for each target; read only."""
    folder = tmp_path_factory.mktemp("bundles")
    return {name: bundle(artifacts / BERT, text, folder / name) for name, text in TARGETS.items()}


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return find_python("onnx2torch", "onnx2torch", "make compiler-onnx2torch")
    except TargetError as error:
        pytest.skip(str(error))


@pytest.fixture
def script(python):
    """Runs a script of a bundle, with a stand-in for the SDK or without."""

    def run(folder: Path, *command: str, sdk: Path | None = None, **environment: str):
        known = {**os.environ, "PYTHONPATH": str(sdk or ""), **environment}
        return subprocess.run([python, *command], cwd=folder, env=known, capture_output=True, text=True, check=False)

    return run


# --------------------------------------------------------------------------------------------------- the bundle


def sized(model, name: str) -> str:
    sizes = [f"{dim}={2 if dim == 'batch' else 12}" for dim in named_dims(model)]
    return f"{name}{{{','.join(sizes)}}}" if sizes and name != "bladedisc" else name


def named_dims(model) -> list[str]:
    return sorted({dim for tensor in model.inputs for dim in tensor.shape or () if isinstance(dim, str)})


@pytest.mark.parametrize(("file", "name"), diagonal(2, ENCODERS, TARGETS))
def test_every_operator_is_listed(name, file, artifacts):
    model = regraft.load(artifacts / file)
    target = read_target(sized(model, name))
    target.prepare(model)
    assert target.check(model) == []


def test_the_bundle_says_what_was_not_checked(bundles):
    for folder in bundles.values():
        said = json.loads((folder / "manifest.json").read_text())["handoff"]
        assert said["command"] == "python compile.py"
        assert any("not installed here" in line for line in said["unchecked"])
        assert {"compile.py", "run.py", "golden.py", "torch_module.py", "handoff.json"} <= set(said["files"])


def test_neuron_inf1_is_told_inputs_and_the_precision_of_products(bundles):
    folder = bundles["neuron-inf1"]
    said = json.loads((folder / "io-config.json").read_text())
    assert said == {
        "inputs": {"hidden_states:0": [[2, 12, 64], "float32"], "attention_bias:0": [[2, 1, 1, 12], "float32"]},
        "outputs": ["logits:0"],
    }
    assert handoff(folder)["compiler_args"] == ["--fp32-cast", "matmult-fp16"]


def test_options_become_arguments(artifacts, tmp_path):
    text = "neuron-inf1{batch=1,seq=8,fp32-cast=all,neuroncore-pipeline-cores=4}"
    said = handoff(bundle(artifacts / BERT, text, tmp_path / "inf1"))
    assert said["compiler_args"] == ["--fp32-cast", "all", "--neuroncore-pipeline-cores", "4"]
    text = "neuron-inf2{batch=1,seq=8,cast=bf16,optlevel=3}"
    said = handoff(bundle(artifacts / BERT, text, tmp_path / "inf2"))
    assert said["compiler_args"][2:] == ["--optlevel", "3", "--auto-cast", "matmult", "--auto-cast-type", "bf16"]
    assert said["files"][0]["sizes"] == {}


def test_a_bucket_has_vectors_of_its_size(bundles):
    files = handoff(bundles["neuron-inf2"])["files"]
    assert [file["sizes"] for file in files] == [{"batch": 2, "seq": 8}, {"batch": 2, "seq": 16}]
    for file in files:
        with np.load(bundles["neuron-inf2"] / "golden" / f"{file['golden']}device_inputs.npz") as vectors:
            assert vectors["hidden_states"].shape == (2, file["sizes"]["seq"], 64)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("neuron-inf2{batch=1}", "dimension 'seq' is open; fix it, neuron-inf2{seq=1}, or give it buckets"),
        ("neuron-inf2{batch=1,seq=8,buckets=seq:8}", "names 'seq', which is no open dimension"),
        ("neuron-inf2{batch=1,buckets=seq:long}", "bucket 'seq:long' is not NAME:SIZE"),
        ("neuron-inf2{batch=1,buckets=seq:8:9}", "bucket 'seq:8:9' is not NAME:SIZE"),
        ("neuron-inf1", "does not take the result: .*dynamic shapes"),
    ],
)
def test_open_dimensions_need_sizes(target, message, artifacts, tmp_path):
    with pytest.raises(TargetError, match=message):
        bundle(artifacts / BERT, target, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


# --------------------------------------------------------------------------------------------------- the scripts


@pytest.mark.parametrize("name", TARGETS)
def test_all_but_the_sdk_is_run(name, bundles, script):
    done = script(bundles[name], "compile.py", "--check")
    assert done.returncode == 0, done.stderr
    assert "not run: torch_" in done.stdout
    assert done.stdout.count(": ok\n") == {"neuron-inf1": 1, "neuron-inf2": 2, "bladedisc": 3}[name]
    assert name == "neuron-inf2" or "100.00 %" in done.stdout


@pytest.mark.parametrize("name", diagonal(3, TARGETS))
def test_without_the_sdk_nothing_is_begun(name, bundles, script, tmp_path):
    missing = script(bundles[name], "compile.py")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    assert "is not there" in missing.stderr
    assert missing.stderr.endswith("compile.py --check does all that needs no SDK\n")
    assert "the torch module" not in missing.stdout
    command = ["run.py", "--inputs", "golden/inputs.npz", "--outputs", str(tmp_path / "outputs.npz")]
    for sdk, message in ((None, "is not there (No module"), (SDK[name], "is not there: run compile.py first")):
        done = script(bundles[name], *command, sdk=sdk)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert message in done.stderr


@pytest.mark.parametrize("file", diagonal(3, ["device.onnx", "io-config.json", "manifest.json", "operators.json"]))
def test_a_bundle_that_was_copied_in_part_is_one_line(file, bundles, script, tmp_path):
    folder = shutil.copytree(bundles["neuron-inf1"], tmp_path / "bundle")
    path = folder / file
    path.write_bytes(path.read_bytes()[:100])
    cut = script(folder, "compile.py", "--check")
    path.unlink()
    gone = script(folder, "compile.py", "--check")
    for done in (cut, gone):
        assert done.returncode == 2
        assert done.stderr.startswith(str(path))
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "file"),
    every(
        2,
        [
            ("neuron-inf1", QA),
            ("neuron-inf1", "pytorch/vit-ts.onnx"),
            ("neuron-inf2", "pytorch/gpt2-sdpa-dynamo.onnx"),
            ("bladedisc", "pytorch/t5-encoder-dynamo.onnx"),
        ],
    ),
)
def test_other_models_become_torch_modules(name, file, artifacts, tmp_path, script):
    model = artifacts / file
    folder = bundle(model, sized(regraft.load(model), name), tmp_path / "bundle")
    done = script(folder, "compile.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


FORMS = """
<ir_version: 8, opset_import: ["" : 17]>
main (float[B, 4, 6] x, int64[B] at)
=> (float a, float b, float c, float d, float e, float f, float g, float h, float i)
<int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] minus = {-1}, int64[1] first = {-9},
 int64 s = {1}, int64[2] places = {-1, 0}, int64[3] shape = {0, -1, 3},
 float low = {-0.5}, float high = {0.5}, int64 none = {0}> {
    a = Slice (x, minus, first, two, minus)
    b0 = Slice (x, zero, one, one)
    b = Squeeze (b0, one)
    c = Gather <axis = 1> (x, s)
    d = Gather <axis = 2> (x, places)
    e = Reshape (x, shape)
    f = Clip (x, low, )
    g = Clip (x, , high)
    sizes = Shape (x)
    n = Gather (sizes, none)
    numbers = Range (none, n, s)
    together = Add (numbers, at)
    h = Cast <to = 1> (together)
    positive = Abs (x)
    more = Add (positive, high)
    i = Reciprocal (more)
}
"""
TRACED = """
import sys, numpy as np, onnx, torch, torch_module
model, folder = sys.argv[1:]
with np.load(folder + "/small.npz") as file:
    example = [torch.from_numpy(file[name]) for name in ("x", "at")]
with np.load(folder + "/large.npz") as file:
    larger = [torch.from_numpy(file[name]) for name in ("x", "at")]
traced = torch_module.trace(torch_module.load(model), example)
fixed = torch_module.load(model, larger)
np.savez(folder + "/traced.npz", *[value.numpy() for value in traced(*larger)])
np.savez(folder + "/fixed.npz", *[value.numpy() for value in fixed(*larger)])
"""


def test_a_trace_keeps_open_dimensions_open(bundles, script, tmp_path):
    """Every form that is written anew for the trace, traced at one size and run at another."""
    onnx.save(parse_model(FORMS), tmp_path / "model.onnx")
    random = np.random.default_rng(0)
    for name, batch in (("small", 2), ("large", 5)):
        x, at = random.standard_normal((batch, 4, 6), np.float32), np.arange(batch)
        np.savez(tmp_path / f"{name}.npz", x=x, at=at)
    expected = Session(tmp_path / "model.onnx").run({"x": x, "at": at})
    done = script(bundles["bladedisc"], "-c", TRACED, str(tmp_path / "model.onnx"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    for file in ("traced.npz", "fixed.npz"):
        with np.load(tmp_path / file) as found:
            for value, right in zip(found.values(), expected.values(), strict=True):
                np.testing.assert_allclose(value, right, rtol=1e-6)


def test_a_wrong_module_is_an_error(bundles, script, tmp_path):
    folder = shutil.copytree(bundles["neuron-inf1"], tmp_path / "bundle")
    with np.load(folder / "golden/outputs.npz") as file:
        outputs = {name: value + 1e-3 for name, value in file.items()}
    np.savez(folder / "golden/outputs.npz", **outputs)
    done = script(folder, "compile.py", "--check")
    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert "the torch module computes something else" in done.stderr


@pytest.mark.parametrize("name", diagonal(2, TARGETS))
def test_compiled_and_run_where_the_sdk_is(name, bundles, artifacts, script, tmp_path):
    folder = shutil.copytree(bundles[name], tmp_path / "bundle")
    done = script(folder, "compile.py", "--runs", "2", sdk=SDK[name])
    assert done.returncode == 0, done.stdout + done.stderr
    for figure in ("Warmup time", "Avg inference time", "Throughput"):
        assert figure in done.stdout
    original = Session(artifacts / BERT)
    length = 12 if name == "neuron-inf1" else 5
    inputs = make_inputs(regraft.load(artifacts / BERT), seed=7, given=Given(dims={"batch": 2, "seq": length}))
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = ["run.py", "--inputs", str(tmp_path / "inputs.npz"), "--outputs", str(tmp_path / "outputs.npz")]
    done = script(folder, *command, sdk=SDK[name])
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "outputs.npz") as file:
        expected, found = original.run(inputs)["logits"], file["logits"]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-4)
    if name == "bladedisc":
        assert {path.name for path in (folder / "dump_dir").iterdir()} == {"graph.full.txt", "graph.half.txt"}
    if name == "neuron-inf2":
        np.savez(tmp_path / "inputs.npz", **{name: np.tile(value, (1, 4)) for name, value in inputs.items()})
        done = script(folder, *command, sdk=SDK[name])
        assert done.returncode == 2
        assert "nothing was compiled for {'batch': 2, 'seq': 20}" in done.stderr


def test_too_little_on_the_device_is_an_error(bundles, script, tmp_path):
    folder = shutil.copytree(bundles["neuron-inf1"], tmp_path / "inf1")
    done = script(folder, "compile.py", sdk=SDK["neuron-inf1"], FAKE_LEFT="2")
    assert done.returncode == 1
    assert "left on the host: aten::add x2" in done.stdout
    assert "more than 99.0 % is wanted on the device" in done.stderr


@pytest.mark.slow
def test_an_operator_that_the_compiler_lacks_is_an_error(bundles, script, tmp_path):
    folder = shutil.copytree(bundles["neuron-inf2"], tmp_path / "inf2")
    done = script(folder, "compile.py", sdk=SDK["neuron-inf2"], FAKE_UNSUPPORTED="aten::erf")
    assert done.returncode == 1
    assert "neuronx-cc does not take aten::erf (neuronx-cc)" in done.stderr
