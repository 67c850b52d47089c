from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

import regraft
from regraft.errors import TargetError
from regraft.targeting.target import read_target
from tests.targets.scripts import FAKES, call, handed_over, sized

BERT = "pytorch/bert-cls-sdpa-ts.onnx"


@pytest.fixture(scope="module")
def bert(artifacts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("poprt") / "bundle"
    handed_over(artifacts / BERT, "poprt{batch=2,seq=16}", folder)
    return folder


def test_model_is_as_popart_wants_it(bert):
    model = onnx.load(bert / "device.onnx")
    assert [one.version for one in model.opset_import if not one.domain] == [11]
    assert all(dim.dim_value for value in model.graph.input for dim in value.type.tensor_type.shape.dim)
    assert {value.type.tensor_type.elem_type for value in model.graph.input} == {onnx.TensorProto.INT32}
    names = [node.name for node in model.graph.node]
    assert "" not in names
    assert len(set(names)) == len(names)


def test_command_line_names_every_option_in_full(bert):
    line = json.loads((bert / "handoff.json").read_text())["command_line"]
    assert line[:7] == ["python", "-m", "poprt.cli", "--input_model", "device.onnx", "--output_model", "converted.onnx"]
    assert line[line.index("--input_shape") + 1 :][:3] == [
        "input_ids=2,16",
        "attention_mask=2,16",
        "token_type_ids=2,16",
    ]
    assert line[line.index("--precision") + 1] == "fp16"
    assert "--pack_args" not in line


def test_packing_and_passes_are_forwarded(artifacts, tmp_path):
    options = "batch=2,seq=16,use=fused_attention,pack-args={max_valid_num:50,segment_max_size:13+51},ipu-version=ipu21"
    done = handed_over(artifacts / BERT, f"poprt{{{options}}}", tmp_path / "b")
    said = json.loads((tmp_path / "b/handoff.json").read_text())
    line = said["command_line"]
    assert line[line.index("--pack_args") + 1 :][:2] == ["max_valid_num=50", "segment_max_size=13+51"]
    assert line[line.index("--passes") + 1] == "fused_attention"
    assert line[line.index("--ipu_version") + 1] == "ipu21"
    assert any("packing" in text for text in done.manifest["handoff"]["unchecked"])
    ran = call(tmp_path / "b", "convert.py", PYTHONPATH=str(FAKES))
    assert (ran.returncode, ran.stderr) == (0, "converted.onnx is written; with pack_args it is not run\n")


def test_script_converts_runs_and_compares(bert):
    done = call(bert, "convert.py", PYTHONPATH=str(FAKES))
    assert (done.returncode, done.stderr) == (0, "")
    assert "logits: max abs error" in done.stdout
    assert "converted.onnx is right" in done.stdout
    assert onnx.load(bert / "converted.onnx").ir_version == 6


def test_script_finds_a_wrong_answer(bert):
    done = call(bert, "convert.py", PYTHONPATH=str(FAKES), FAKE_POPRT_ERROR="0.01")
    assert done.returncode == 1
    assert done.stderr == "the IPU computes something else\n"


def test_a_packed_model_is_not_packed_again(artifacts, tmp_path):
    packing = "pack-sequences{rows=2,tokens=16}"
    with pytest.raises(TargetError, match="pack-args are for PopRT's own packing, and this model is packed"):
        handed_over(artifacts / BERT, "poprt{pack-args=max_valid_num:4}", tmp_path / "b", first=packing)
    assert not (tmp_path / "b").exists()


def test_online_is_for_a_packed_model(bert):
    done = call(bert, "convert.py", "--online", PYTHONPATH=str(FAKES))
    assert done.returncode == 2
    assert done.stderr == "--online is for a model that unpack-attention{form=static,dialect=poprt} has packed\n"


def test_online_compares_what_the_pack_runner_gives(artifacts, tmp_path):
    """A runner that mixes up two sequences gives what is wrong, though the model is right."""
    packing = "unpack-attention{form=static,rows=2,tokens=16,max-valid-num=4,segment-max-size=16,dialect=poprt}"
    handed_over(artifacts / BERT, "poprt", tmp_path / "b", first=packing)
    assert call(tmp_path / "b", "convert.py", "--online", PYTHONPATH=str(FAKES)).returncode == 0
    done = call(tmp_path / "b", "convert.py", "--online", PYTHONPATH=str(FAKES), FAKE_POPRT_SWAP="1")
    assert done.returncode == 1
    assert done.stderr == "the PackRunner gives something else\n"


@pytest.mark.parametrize("package", ["numpy", "onnx"])
def test_script_says_what_else_is_missing(bert, tmp_path, package):
    (tmp_path / f"{package}.py").write_text("raise ImportError('hidden\\nand more')\n")
    done = call(bert, "convert.py", "--check", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{package} is not there (hidden): pip install {package}")
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_was_copied_in_part_is_one_line(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "bundle")
    whole = (folder / "device.onnx").read_bytes()
    (folder / "device.onnx").write_bytes(whole[:1000])
    done = call(folder, "convert.py", "--check")
    assert done.returncode == 2
    assert f"device.onnx has 1000 bytes, not {len(whole)}; copy the bundle again" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_script_says_that_poprt_is_missing(bert):
    done = call(bert, "convert.py")
    assert done.returncode == 2
    assert done.stderr.startswith("PopRT cannot be imported (No module named 'poprt')")


def test_check_runs_without_poprt(bert):
    done = call(bert, "convert.py", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("python -m poprt.cli --input_model device.onnx")
    assert "not run: PopRT" in done.stdout


def test_check_finds_vectors_that_do_not_fit(artifacts, tmp_path):
    handed_over(artifacts / "pytorch/vit-ts.onnx", "poprt{batch=2}", tmp_path / "b")
    said = json.loads((tmp_path / "b/handoff.json").read_text())
    said["input_shape"] = {"pixel_values": [1, 3, 32, 32]}
    (tmp_path / "b/handoff.json").write_text(json.dumps(said))
    done = call(tmp_path / "b", "convert.py", "--check")
    assert done.returncode == 2
    assert "another shape" in done.stderr


def test_open_shapes_are_refused(artifacts, tmp_path):
    with pytest.raises(TargetError, match="the IPU only supports static graphs"):
        handed_over(artifacts / BERT, "poprt", tmp_path / "b")


@pytest.mark.parametrize(
    "name", ["bert-mlm-tied-ts", "bert-cls-sdpa-dynamo-op23", "gpt2-sdpa-dynamo", "t5-encoder-dynamo", "vit-dynamo"]
)
def test_every_node_is_in_the_published_list(artifacts, name):
    path = artifacts / f"pytorch/{name}.onnx"
    model, target = regraft.load(path), read_target(f"poprt{sized(path)}")
    target.prepare(model)
    assert target.check(model) == []
