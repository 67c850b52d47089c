"""`regraft run` and `regraft rewrite -o FOLDER`."""

from __future__ import annotations

import json

import numpy as np
import onnx.parser
import pytest

PIPELINE = "fold-constants,eliminate-identity,fuse-gelu"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sleeps", "it", "rains", "."]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return path


@pytest.fixture
def bundle(run, model, tmp_path):
    result = run("rewrite", model, "-o", tmp_path / "bundle", "--pipeline", PIPELINE)
    assert result.exit_code == 0, result.stderr
    assert "verified" in result.stdout
    return tmp_path / "bundle"


def test_a_bundle_and_its_golden_vectors(run, bundle, tmp_path):
    out = tmp_path / "out.npz"
    assert run("run", bundle, "--inputs", bundle / "golden/inputs.npz", "-o", out).exit_code == 0
    with np.load(out) as found, np.load(bundle / "golden/outputs.npz") as expected:
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_text_becomes_what_the_inputs_mean(run, bundle, model, vocabulary, tmp_path):
    texts = ("--text", "The cat sleeps.", "--text", "It rains.", "--tokenizer", vocabulary)
    results = []
    for number, path in enumerate((bundle, model)):
        out = tmp_path / f"{number}.npz"
        result = run("run", path, *texts, "-o", out)
        assert result.exit_code == 0, result.stderr
        with np.load(out) as arrays:
            results.append(dict(arrays))
    for name, value in results[1].items():
        assert value.shape == (2, 6)  # [CLS] the cat sleeps . [SEP]
        np.testing.assert_allclose(results[0][name], value, atol=1e-5)


def test_numbers_as_json(run, model):
    result = run("run", model, "--inputs", "input_ids=1x4", "--json")
    assert [len(row) for row in json.loads(result.stdout)["start_logits"]] == [4]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--text", "The cat"), "--text and --tokenizer belong together"),
        (("--text", "The cat", "--tokenizer", "nowhere"), "no tokenizer at nowhere"),
        (("-o", "out.txt"), "go to a .npz file"),
        (("--inputs", "ids=2x2"), "ids"),
    ],
)
def test_bad_input_is_one_line(run, model, arguments, why):
    result = run("run", model, *arguments)
    assert result.exit_code == 2
    assert why in result.stderr


def test_a_tokenizer_that_is_none(run, model, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    result = run("run", model, "--text", "x", "--tokenizer", tmp_path / "tokenizer.json")
    assert result.exit_code == 2
    assert "cannot read the tokenizer" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_is_no_bundle_stays(run, model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    result = run("rewrite", model, "-o", tmp_path / "mine")
    assert result.exit_code == 2
    assert "holds no bundle" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_without_golden_vectors_nothing_is_run(run, model, tmp_path):
    assert run("rewrite", model, "-o", tmp_path / "b", "--pipeline", PIPELINE, "--no-golden").exit_code == 0
    assert not (tmp_path / "b/golden").exists()


def test_outputs_of_any_name_and_dtype_are_written(run, tmp_path):
    graph = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 20]> g (float[2] x) => (bfloat16[2] file) { file = Cast <to=16> (x) }"""
    )
    onnx.save(graph, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.array([1, 2.5], np.float32))
    result = run("run", tmp_path / "m.onnx", "--inputs", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "y.npz")
    assert result.exit_code == 0, result.stderr
    with np.load(tmp_path / "y.npz") as written:
        assert (written["file"].dtype, written["file"].tolist()) == (np.float32, [1, 2.5])


def test_what_does_not_run_is_written_without_golden_vectors(run, model, tmp_path):
    arguments = ("rewrite", model, "-o", tmp_path / "half", "--pipeline", "convert-opset{version=17},convert-bf16")
    result = run(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--no-golden leaves golden vectors out" in result.stderr
    assert not (tmp_path / "half").exists()
    assert run(*arguments, "--no-golden").exit_code == 0
    assert (tmp_path / "half/device.onnx").is_file()
