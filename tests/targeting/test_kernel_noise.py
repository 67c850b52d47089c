"""A compiled quantized model may be as far off as ONNX Runtime's own kernels are, and no model of floats may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.errors import TargetError
from regraft.ir.model import Model
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.kernel_noise import kernel_noise
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from regraft.verification.contract import precision
from regraft.verification.runtime import Session
from tests.mixed_precision.conftest import build

RNG = np.random.default_rng(0)
INPUTS = {"x": RNG.random((4, 64)).astype(np.float32)}


def quantized() -> Model:
    """Large unsigned values by large signed weights: the sums of two products do not fit 16 bits."""
    return build(
        """g (float[4, 64] x, float a, float b, float s, uint8 z, int8 n, int8[64, 64] w) => (float[4, 64] y)
        { xq = QuantizeLinear (x, a, z)  xd = DequantizeLinear (xq, a, z)  wd = DequantizeLinear (w, s, n)
           p = MatMul (xd, wd)  r = Relu (p)  rq = QuantizeLinear (r, b, z)  y = DequantizeLinear (rq, b, z) }""",
        {
            "a": np.float32(1 / 255),
            "b": np.float32(0.02),
            "s": np.float32(0.01),
            "z": np.uint8(0),
            "n": np.int8(0),
            "w": np.where(RNG.random((64, 64)) < 0.6, 127, -127).astype(np.int8),
        },
    )


def compile(model: Model, bundle: Path, mood: str = "right", **more):
    target = read_target(f"moody{{mood={mood}}}")
    return build_bundle(model, target, bundle, given=regraft.verification.inputs.Given(INPUTS), **more)


def test_what_other_kernels_do_is_allowed(tmp_path):
    model = quantized()
    outputs = Session(model).run(INPUTS)
    noise = kernel_noise(model, INPUTS, outputs)["y"]
    off = np.abs(Session(model, optimize=True).run(INPUTS)["y"] - outputs["y"]).max()
    assert noise == pytest.approx(3 * off)
    done = compile(model, tmp_path / "bundle")
    assert done.manifest["compiled"]["drift"]["passed"]
    assert done.manifest["compiled"]["drift"]["outputs"][0]["max_abs"] == pytest.approx(off, rel=1e-5)


def test_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.targeting.kernel_noise._TIMES", 0.0)
    model = quantized()
    if np.array_equal(*(Session(model, optimize=o).run(INPUTS)["y"] for o in (False, True))):
        pytest.skip("this processor's kernels are those of floats")
    with pytest.raises(CompilerError, match="computes something else"):
        compile(model, tmp_path / "bundle")


def test_a_model_of_floats_has_no_such_noise(tmp_path):
    model = build(
        "g (float[4, 64] x, float[64, 64] w) => (float[4, 64] y) { y = MatMul (x, w) }",
        {"w": RNG.standard_normal((64, 64)).astype(np.float32)},
    )
    assert kernel_noise(model, INPUTS, Session(model).run(INPUTS)) == {}
    with pytest.raises(CompilerError, match="computes something else"):
        compile(model, tmp_path / "bundle", "wrong")
    assert compile(model, tmp_path / "bundle", "wrong", tolerance=precision(0.02, 0.0)).manifest["compiled"]


def test_tolerances_of_the_command_line(artifacts, tmp_path, moody):
    source, bundle = artifacts / "pytorch/bert-cls-explicit-dynamo.onnx", tmp_path / "bundle"
    words = ["compile", str(source), "--target", "moody{mood=wrong}", "-o", str(bundle)]
    assert CliRunner().invoke(cli, words).exit_code == 2
    assert CliRunner().invoke(cli, [*words, "--rtol", "0.001"]).exit_code == 2
    assert not bundle.exists()
    result = CliRunner().invoke(cli, [*words, "--rtol", "0.02", "--atol", "1e-3"])
    assert result.exit_code == 0, result.output
    assert bundle.exists()


def test_a_target_without_a_compiler_here_says_where_its_tolerances_are(artifacts, tmp_path):
    model = regraft.load(artifacts / "pytorch/bert-cls-explicit-dynamo.onnx")
    with pytest.raises(TargetError, match="--atol and --rtol are for what a compiler makes here"):
        build_bundle(model, read_target("tensorrt"), tmp_path / "bundle", tolerance=precision(0.1, 0.1))
