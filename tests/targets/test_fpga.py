from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.errors import TargetError
from regraft.inspection.census import operators
from regraft.splitting.stages import stages
from regraft.targeting.metrics import measure
from regraft.targeting.target import read_target
from tests.shares import diagonal
from tests.targets.scripts import FAKES, call, handed_over, sized

BERT = "pytorch/bert-cls-sdpa-ts.onnx"
STAGES = ["embeddings", *(f"layer.{n}.{part}" for n in (0, 1) for part in ("attention", "feed-forward")), "head"]
SIMULATOR = f"{sys.executable} {FAKES / 'hls/simulator.py'} {{model}} {{inputs}} {{outputs}}"


@pytest.fixture(scope="module")
def bert(artifacts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fpga") / "bundle"
    handed_over(artifacts / BERT, "fpga{batch=1,seq=16}", folder)
    return folder


def manifest(folder: Path):
    return json.loads((folder / "manifest.json").read_text())


def test_chain_has_a_kernel_for_each_operator(bert):
    chain = manifest(bert)["stages"]["chain"]
    assert [stage["name"] for stage in chain] == STAGES
    attention, feed_forward = chain[1]["operators"], chain[2]["operators"]
    assert attention["MatMul"] == 6
    assert attention["Softmax"] == attention["LayerNormalization"] == 1
    assert feed_forward["Gelu"] == 1
    assert chain[1]["macs"] > 0


def test_weights_lie_in_both_layouts(bert):
    stage = manifest(bert)["stages"]["chain"][2]
    matrices = [weight for weight in stage["weights"] if len(weight["shape"]) == 2]
    assert matrices
    for weight in matrices:
        assert np.array_equal(np.load(bert / weight["file"]).T, np.load(bert / weight["transposed"]))


def test_replay_runs_every_stage(bert):
    done = call(bert, "replay.py")
    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows[1 : 1 + len(STAGES)]] == STAGES
    assert "multiply-accumulates" in rows[1 + len(STAGES)]
    assert rows[-1].startswith("logits: max abs error")


@pytest.mark.parametrize("more", diagonal(2, [["--isolated"], []]))
def test_a_command_takes_the_place_of_stages(bert, more):
    done = call(bert, "replay.py", "--stage", f"layer.*={SIMULATOR}", *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.split()[1] for row in done.stdout.splitlines()[1:7]] == ["onnxruntime", *["command"] * 4, "onnxruntime"]


def test_a_stage_that_is_off_is_named(bert):
    done = call(bert, "replay.py", "--isolated", "--stage", f"layer.1.attention={SIMULATOR} 0.5")
    assert done.returncode == 1
    assert done.stderr.startswith("layer.1.attention: ")
    assert "0.5" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_may_be_off_can_be_said(bert):
    command = f"layer.1.attention={SIMULATOR} 0.001"
    assert call(bert, "replay.py", "--isolated", "--stage", command).returncode == 1
    done = call(bert, "replay.py", "--isolated", "--rtol", "0.05", "--stage", command)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("stage", "code", "message"),
    [
        ("layer.9=sim {inputs} {outputs}", 2, "there is no stage 'layer.9'; known: embeddings, layer.0.attention"),
        ("head=no-such-simulator {inputs} {outputs}", 2, "the command of 'head' is not there: no-such-simulator"),
        ("head=ls", 2, "the command of 'head' needs {inputs} and {outputs}"),
        ("head", 2, "--stage 'head' is not NAME=COMMAND"),
        (
            f"head={sys.executable} -c pass {{inputs}} {{outputs}}",
            1,
            "stage 'head': its command ended with 0, and wrote no",
        ),
    ],
)
def test_commands_that_do_not_fit_are_one_line(bert, stage, code, message):
    done = call(bert, "replay.py", "--stage", stage)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


def test_check_runs_no_command(bert, tmp_path):
    trace = tmp_path / "trace"
    done = call(bert, "replay.py", "--check", "--stage", f"head=touch {trace} {{inputs}} {{outputs}}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("not run: head by touch")
    assert not trace.exists()


def test_onnxruntime_is_asked_for_where_it_is_needed(bert, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('hidden')\n")
    done = call(bert, "replay.py", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("onnxruntime is not installed, and stage 'embeddings' has no command")


@pytest.mark.parametrize("file", ["model.onnx", "inputs.npz", "outputs.npz"])
@pytest.mark.parametrize("left", [None, 100])
def test_a_stage_that_was_copied_in_part_is_one_line(bert, tmp_path, file, left):
    folder = shutil.copytree(bert, tmp_path / "bundle")
    path = folder / "stages/01-layer.0.attention" / file
    whole = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(whole[:left])
    done = call(folder, "replay.py")
    assert done.returncode == 2
    assert done.stderr.startswith(str(path))
    assert len(done.stderr.splitlines()) == 1


def test_open_shapes_are_refused(artifacts, tmp_path):
    with pytest.raises(TargetError, match="a kernel is made for one size"):
        handed_over(artifacts / BERT, "fpga", tmp_path / "b")


def test_a_pipeline_without_stages_is_refused(artifacts, tmp_path):
    with pytest.raises(TargetError, match="put split-layers into the pipeline"):
        handed_over(artifacts / BERT, "fpga{batch=1,seq=16}", tmp_path / "b", pipeline="fold-constants", check=False)


@pytest.mark.parametrize("name", ["bert-cls-sdpa-dynamo-op23", "gpt2-sdpa-ts", "t5-encoder-dynamo", "vit-dynamo"])
def test_stages_are_of_known_sizes(artifacts, name):
    path = artifacts / f"pytorch/{name}.onnx"
    model, target = regraft.load(path), read_target(f"fpga{sized(path)}")
    target.prepare(model)
    assert target.check(model) == []


@pytest.mark.parametrize("flow", ["hls", "hls4ml", "finn"])
def test_layers_are_told_apart_in_the_same_way_whatever_the_flow_makes_of_them(artifacts, flow):
    path = artifacts / BERT
    model, target = regraft.load(path), read_target(f"fpga{sized(path, flow=flow)}")
    target.prepare(model)
    found = {stage.name: stage.model for stage in stages(model)}
    assert list(found) == STAGES
    for part in ("attention", "feed-forward"):
        first, last = (operators(found[f"layer.{n}.{part}"]) for n in (0, 1))
        assert first == last
        assert first["Softmax"] == (part == "attention")
    norms = {"hls": "LayerNormalization", "hls4ml": "Sqrt", "finn": "LayerNormalization"}
    counts = [operators(part)[norms[flow]] for part in found.values()]
    assert counts == [1, 1, 1, 1, 1, 0]


def test_hls4ml_takes_all_but_the_roots_and_the_first_token(artifacts):
    path = artifacts / BERT
    model, target = regraft.load(path), read_target(f"fpga{sized(path, flow='hls4ml')}")
    target.prepare(model)
    assert {one.operator for one in target.check(model)} == {"Sqrt", "Gather"}


def test_a_bundle_says_at_which_node_of_a_stage_the_flow_stops(artifacts, tmp_path):
    handed_over(artifacts / BERT, "fpga{batch=1,seq=16,flow=hls4ml}", tmp_path / "b", check=False)
    stages = json.loads((tmp_path / "b/handoff.json").read_text())["stages"]
    (line,) = stages["layer.0.feed-forward"]["violations"]
    assert line.startswith("Sqrt: ")
    assert 0.9 < stages["layer.0.feed-forward"]["taken"] < 1
    done = call(tmp_path / "b", "replay.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"hls4ml does not take layer.0.feed-forward: {line}" in done.stdout


def test_report_says_how_much_the_flow_lists_and_what_not(artifacts, tmp_path):
    handed_over(artifacts / BERT, "fpga{batch=1,seq=16,flow=hls4ml}", tmp_path / "b", check=False)
    found = measure(tmp_path / "b", runs=0)
    assert found.command == "python replay.py"
    assert 0 < found.ops - found.listed < 10
    assert {line.partition(":")[0] for line in found.refused} == {"Sqrt", "Gather"}
    said = CliRunner().invoke(cli, ["report", str(tmp_path / "b"), "--runs", "0"]).stdout
    assert f"{found.listed} of them" in said
    assert f"- {found.refused[0]}" in said
