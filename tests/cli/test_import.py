"""`regraft import`, and sources of other frameworks where an ONNX file is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import regraft

SHAPES = ["--shape", "data0=batchx16", "--shape", "data1=batchx16", "--shape", "data2=batch"]


@pytest.fixture
def source(artifacts) -> Path:
    return artifacts / "mxnet" / "gn0.10.0-classifier"


def test_a_model_of_mxnet(run, source, tmp_path):
    out = tmp_path / "bert.onnx"
    result = run("import", source, "-o", out, *SHAPES, "--opset", 20)
    assert result.exit_code == 0, result.stderr
    *ports, _, written, origin = result.stdout.splitlines()
    assert [line.split(maxsplit=2) for line in ports] == [
        ["input", "data0", "float32[batch, 16]"],
        ["input", "data1", "float32[batch, 16]"],
        ["input", "data2", "float32[batch]"],
        ["output", "bertclassifier0_dense0_fwd_output", "float32[batch, 2]"],
    ]
    assert written.startswith(f"{out}: ")
    assert written.endswith(f"{len(regraft.load(out).graph.nodes)} nodes, opset 20")
    assert origin == "from MXNet 1.9.1: model-symbol.json, model-0000.params"
    assert regraft.load(out).metadata["regraft.source"] == origin.removeprefix("from ")


def test_an_onnx_file(run, model, tmp_path):
    out = tmp_path / "copy.onnx"
    assert run("import", model, "-o", out, "--opset", 17).exit_code == 0
    assert regraft.load(out).opset == 17


def test_the_list(run):
    result = run("import", "--list")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert {"mxnet", "onnx"} <= set(names)


def test_rewrite_show_and_run_take_the_source(run, source, tmp_path):
    out, feeds, results = tmp_path / "out.onnx", tmp_path / "feeds.npz", tmp_path / "results.npz"
    passes = "strip-dropout,fold-constants,fuse-gelu,fuse-attention"
    result = run("rewrite", source, "-o", out, "--pipeline", passes, "--verify", "each", *SHAPES)
    assert result.exit_code == 0, result.stderr
    assert "float32[batch, 16]" in run("show", source, *SHAPES).stdout
    with np.load(source / "ref.npz") as arrays:
        np.savez(feeds, **{name: arrays[f"in_{name}"] for name in ("data0", "data1", "data2")})
        expected = arrays["out0"]
    assert run("run", source, "--inputs", feeds, "-o", results, *SHAPES).exit_code == 0
    with np.load(results) as arrays:
        np.testing.assert_allclose(arrays["bertclassifier0_dense0_fwd_output"], expected, rtol=0, atol=1e-5)


def test_a_bundle_of_it(run, source, tmp_path):
    passes = "fold-constants,strip-dropout,externalize-embeddings,externalize-mask,convert-fp16"
    assert run("rewrite", source, "-o", tmp_path / "bundle", "--pipeline", passes, *SHAPES).exit_code == 0
    assert run("verify", tmp_path / "bundle", tmp_path / "bundle").exit_code == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ([], "--shape data0=8x64 --shape data1=8x64 --shape data2=8x64"),
        (["--shape", "data0"], "'data0' is not NAME=SHAPE"),
        (["--shape", "data0=8x-1"], "is not a dimension"),
        ([*SHAPES, "--shape", "data9=8"], "no input named 'data9'"),
        ([*SHAPES, "--frontend", "mxnett"], "did you mean 'mxnet'"),
        (["--frontend", "onnx"], "no .onnx file"),
        (["--shape", "data0=2x16", "--shape", "data1=2x9", "--shape", "data2=2"], "do the shapes of the inputs fit?"),
    ],
)
def test_what_is_wrong_is_one_line(run, source, tmp_path, options, what):
    result = run("import", source, "-o", tmp_path / "out.onnx", *options)
    assert result.exit_code == 2
    assert what in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
