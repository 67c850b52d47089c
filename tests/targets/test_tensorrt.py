from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import regraft
from regraft.errors import TargetError
from regraft.targeting.target import read_target
from tests.shares import diagonal
from tests.targets.scripts import FAKES, call, handed_over, shapes

RANGES = "ranges={batch:1:2:8,seq:8:16:32}"
PROGRAMS = f"{FAKES}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def bert(artifacts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tensorrt") / "bundle"
    handed_over(artifacts / "pytorch/bert-cls-sdpa-ts.onnx", f"tensorrt{{{RANGES}}}", folder)
    return folder


def said(folder: Path):
    return json.loads((folder / "handoff.json").read_text())


def test_files_are_as_trtexec_reads_them(bert):
    inputs, outputs = np.load(bert / "golden/device_inputs.npz"), np.load(bert / "golden/outputs.npz")
    for one in said(bert)["inputs"]:
        raw = np.fromfile(bert / one["file"], one["dtype"])
        assert one["dtype"] == "int32"
        assert np.array_equal(raw.reshape(one["shape"]), inputs[one["name"]])
    (one,) = said(bert)["outputs"]
    assert np.array_equal(np.fromfile(bert / one["file"], "<f4").reshape(one["shape"]), outputs["logits"])


def test_line_has_the_profile_and_the_references(bert):
    arguments = said(bert)["arguments"]
    assert "--minShapes=input_ids:1x8,attention_mask:1x8,token_type_ids:1x8" in arguments
    assert "--optShapes=input_ids:2x16,attention_mask:2x16,token_type_ids:2x16" in arguments
    assert "--maxShapes=input_ids:8x32,attention_mask:8x32,token_type_ids:8x32" in arguments
    assert any(one.startswith("--loadInputs=input_ids:trtexec/") for one in arguments)
    references = said(bert)["reference_arguments"]
    assert references[0] == "--loadRefOutputs=logits:trtexec/output.logits.bin"
    assert float(references[2].partition("=")[2]) > 0


def test_manifest_says_what_was_not_checked(bert):
    handoff = json.loads((bert / "manifest.json").read_text())["handoff"]
    assert handoff["command"] == "python build.py"
    assert any("no GPU" in line for line in handoff["unchecked"])
    assert handoff["legality"]["share"] == 1
    assert handoff["legality"]["nodes"] == len(onnx.load(bert / "device.onnx").graph.node)
    assert "onnx-tensorrt" in handoff["legality"]["source"]
    assert {"build.py", "golden.py", "handoff.json"} <= set(handoff["files"])


def test_precision_stands_in_the_graph(bert):
    graph = onnx.load(bert / "device.onnx").graph
    dtypes = {one.data_type for one in graph.initializer}
    assert onnx.TensorProto.FLOAT16 in dtypes
    assert any(node.op_type == "Cast" for node in graph.node)


def test_fixed_sizes_need_no_profile(artifacts, tmp_path):
    handed_over(artifacts / "pytorch/bert-cls-sdpa-ts.onnx", "tensorrt{batch=2,seq=16,precision=fp32}", tmp_path / "b")
    assert not any("Shapes" in one for one in said(tmp_path / "b")["arguments"])
    done = call(tmp_path / "b", "build.py", PATH=PROGRAMS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", ["10", "11"])
def test_script_builds_runs_and_compares(bert, version):
    done = call(bert, "build.py", PATH=PROGRAMS, FAKE_TRTEXEC_VERSION=version)
    assert (done.returncode, done.stderr) == (0, "")
    assert "logits: max abs error" in done.stdout
    assert "Throughput: 1000 qps" in done.stdout
    assert ("--stronglyTyped" in done.stdout) == (version == "10")
    assert ("--loadRefOutputs" in done.stdout) == (version == "11")


@pytest.mark.parametrize(("error", "version"), diagonal(2, ["0.01", "nan", "-inf"], ["10", "11"]))
def test_script_finds_a_wrong_answer(bert, version, error):
    done = call(bert, "build.py", PATH=PROGRAMS, FAKE_TRTEXEC_VERSION=version, FAKE_TRTEXEC_ERROR=error)
    assert done.returncode == 1
    assert "TensorRT computes something else" in done.stderr
    assert "WRONG" in done.stdout


def test_script_says_that_trtexec_is_missing_or_too_old(bert):
    missing = call(bert, "build.py", "--trtexec", "no-such-program")
    assert missing.returncode == 2
    assert missing.stderr.startswith("no-such-program is not there")
    old = call(bert, "build.py", PATH=PROGRAMS, FAKE_TRTEXEC_VERSION="8")
    assert old.returncode == 2
    assert old.stderr == "this trtexec knows no --stronglyTyped: TensorRT 10 or later is needed\n"


def test_check_runs_without_tensorrt(bert):
    done = call(bert, "build.py", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("trtexec --onnx=device.onnx")
    assert "not run: trtexec" in done.stdout


def test_check_finds_a_file_that_is_not_what_was_written(artifacts, tmp_path):
    handed_over(artifacts / "pytorch/vit-ts.onnx", "tensorrt{batch=2}", tmp_path / "b")
    raw = said(tmp_path / "b")["inputs"][0]["file"]
    for name in (raw, "device.onnx", "golden/outputs.npz", "handoff.json", "manifest.json"):
        file = tmp_path / "b" / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        cut = call(tmp_path / "b", "build.py", "--check")
        file.unlink()
        gone = call(tmp_path / "b", "build.py", "--check")
        file.write_bytes(whole)
        for done in (cut, gone):
            assert done.returncode == 2
            assert done.stderr.startswith(str(file))
            assert done.stderr.endswith("; copy the bundle again, or write it again\n")
            assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "dimension 'batch' of input 'input_ids' is open; fix it, tensorrt{batch=2}, or give its range"),
        ("{ranges={batch:1:8,seq:8:16:32}}", "range 'batch:1:8' is not NAME:LEAST:BEST:MOST"),
        ("{ranges={batch:4:2:8,seq:8:16:32}}", "range 'batch:4:2:8' is not NAME:LEAST:BEST:MOST"),
        ("{ranges={batch:4:4:8,seq:8:16:32}}", "2 along 'batch' in the golden vectors, outside of its range 4 to 8"),
        ("{ranges={batch:1:2:8,seq:8:16:32,heads:1:1:1}}", "ranges name 'heads', which is no open dimension"),
    ],
)
def test_ranges_that_do_not_fit_are_one_line(artifacts, tmp_path, options, message):
    with pytest.raises(TargetError) as caught:
        handed_over(artifacts / "pytorch/bert-cls-sdpa-ts.onnx", f"tensorrt{options}", tmp_path / "b")
    assert message in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_given_shapes_bring_the_vectors_into_the_range(artifacts, tmp_path):
    given = shapes(input_ids=(4, 8), attention_mask=(4, 8), token_type_ids=(4, 8))
    target = "tensorrt{ranges={batch:4:4:8,seq:8:16:32}}"
    handed_over(artifacts / "pytorch/bert-cls-sdpa-ts.onnx", target, tmp_path / "b", given=given)
    assert call(tmp_path / "b", "build.py", PATH=PROGRAMS).returncode == 0


@pytest.mark.parametrize("name", ["bert-mlm-tied-ts", "gpt2-sdpa-dynamo", "roberta-eager-ts", "vit-ts"])
def test_every_node_is_in_the_published_list(artifacts, name):
    model, target = regraft.load(artifacts / f"pytorch/{name}.onnx"), read_target("tensorrt")
    target.prepare(model)
    assert target.check(model) == []


def test_an_operator_that_is_not_listed_is_a_violation(artifacts):
    model, target = regraft.load(artifacts / "pytorch/roberta-eager-ts.onnx"), read_target("tensorrt")
    assert [one.operator for one in target.check(model)] == ["CumSum"]
