"""The figures of bundles: compiled, handed off, and plain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import regraft
from regraft.cli import cli
from regraft.errors import ModelError
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.metrics import Latency, Metrics, measure
from regraft.targeting.target import read_target


@pytest.fixture
def source(artifacts) -> Path:
    return artifacts / "pytorch/bert-cls-explicit-dynamo.onnx"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def compiled(source, tmp_path) -> Path:
    build_bundle(regraft.load(source), read_target("moody"), tmp_path / "bundle", pipeline="externalize-embeddings")
    return tmp_path / "bundle"


def test_a_compiled_bundle(source, compiled):
    found = measure(compiled, runs=4)
    assert (found.source, found.target, found.compiler) == (str(source), "moody", "numpy 2.5")
    assert found.source_ops == len(list(regraft.load(source).nodes()))
    assert found.ops + found.host_ops >= found.source_ops
    assert found.compiled_ops == 7
    assert found.worst["logits"] < 1e-5
    assert found.latency is not None
    assert len(found.latency.seconds) == 4
    assert found.latency.rows == 2
    assert json.loads(json.dumps(found.to_dict()))["latency"]["throughput"] > 0


def test_a_plain_bundle_runs_in_onnxruntime(source, tmp_path):
    model = regraft.load(source)
    regraft.write_bundle(model, tmp_path / "bundle")
    found = measure(tmp_path / "bundle", runs=2)
    assert found.compiler == ""
    assert found.latency is not None
    assert measure(tmp_path / "bundle", runs=0).latency is None
    with pytest.raises(ModelError, match="is no bundle"):
        measure(source)


def test_latency_and_share():
    latency = Latency(1.0, (0.1, 0.2, 0.3), rows=4)
    assert latency.average == pytest.approx(0.2)
    assert latency.throughput == pytest.approx(20)
    assert latency.percentile(0.5) == pytest.approx(0.2)
    figures = Metrics("m.onnx", "rknn", "rknn-toolkit2 2.5", "", 60, 50, 0, placed={"NPU": 38, "CPU": 2})
    assert figures.share == pytest.approx(0.95)
    assert Metrics("m.onnx", "", "", "", 60, 50, 0).share is None


def test_report_and_bench_print_them(source, compiled):
    said = run("report", compiled, "--runs", 3, "--trust")
    assert said.exit_code == 0
    for word in (
        "the first run in numpy 2.5",
        "after compiling",
        "warm-up",
        "average of 3 runs",
        "rows/s",
        "worst error of logits",
    ):
        assert word in said.stdout
    assert json.loads(run("report", compiled, "--runs", 0, "--json").stdout)["compiled_ops"] == 7
    assert "the first run in ONNX Runtime" in run("report", compiled, "--runs", 3).stdout
    compared = run("bench", source, compiled, "--runs", 3, "--trust")
    assert "95 % interval of the median" in compared.stdout
    assert run("report", source).exit_code != 0


def test_a_compiled_bundle_runs_by_the_command_line(source, compiled, tmp_path):
    assert run("run", compiled, "--trust", "-o", tmp_path / "a.npz").exit_code == 0
    assert run("run", source, "-o", tmp_path / "b.npz").exit_code == 0


def test_compile_by_the_command_line(source, tmp_path, moody):
    out = tmp_path / "out"
    done = run("compile", source, "--target", "moody{batch=2,sequence=8}", "-o", out)
    assert done.exit_code == 0, done.output
    assert "compiled by numpy 2.5" in done.stdout
    refused = run("compile", source, "--target", "moody{mood=refuses}", "-o", tmp_path / "other")
    assert refused.exit_code != 0
    assert not (tmp_path / "other").exists()
    assert run("compile", source, "--target", "moody", "-o", out, "--memory-limit", "much").exit_code == 2
