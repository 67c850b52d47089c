"""Where results go: a folder is never named like a file, and what is there is not lost unasked."""

from __future__ import annotations

import json

import pytest

import regraft
from regraft.errors import ModelError
from regraft.files.bundle import target_of
from regraft.files.destination import check_file_name, check_folder_name, goes_to_folder

SIZED = "{batch=1,sequence=8}"


@pytest.mark.parametrize(
    ("name", "folder"), [("bundle", True), ("better.onnx", False), ("better.pb", False), ("v1", True)]
)
def test_a_name_says_what_it_is_of(tmp_path, name, folder):
    assert goes_to_folder(tmp_path / name) is folder


def test_a_file_that_is_there_is_a_file_whatever_its_name(tmp_path):
    (tmp_path / "model.bin").touch()
    assert goes_to_folder(tmp_path / "model.bin") is False


@pytest.mark.parametrize(
    ("check", "name", "says"),
    [
        (goes_to_folder, "bundle-1.2", "neither that of a model file nor of a folder; name it .*bundle-1.2.onnx, or"),
        (goes_to_folder, "report.json", "neither"),
        (check_folder_name, "bundle.onnx", "a folder goes there, and it is named like a file; name it .*/bundle$"),
        (check_file_name, "bert", "a file goes there, and it is named like a folder; name it .*/bert.onnx$"),
    ],
)
def test_a_name_that_misleads(tmp_path, check, name, says):
    with pytest.raises(ModelError, match=says):
        check(tmp_path / name)


def test_a_folder_with_a_dot_is_no_file(tmp_path):
    check_folder_name(tmp_path / "bundle-1.2")
    check_file_name(tmp_path / "model.v2")


@pytest.mark.parametrize(
    "words",
    [
        ["compile", "MODEL", "--target", "neuron-inf1" + SIZED],
        ["export-triton", "MODEL"],
        ["reduce", "MODEL", "--check", "false"],
        ["rewrite", "MODEL"],
        ["legalize", "MODEL", "--target", "tvm"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_named_like_a_file_is_refused(run, model, tmp_path, words):
    out = tmp_path / "out.onnx"
    if words[0] in ("rewrite", "legalize"):  # whose results may be files
        out.mkdir()
    result = run(*(model if word == "MODEL" else word for word in words), "-o", out)
    assert result.exit_code == 2
    why = "a folder goes there, and it is named like a file"
    assert result.stderr == f"regraft: error: cannot write {out}: {why}; name it {tmp_path}/out\n"
    assert not out.exists() or not any(out.iterdir())


def test_a_file_named_like_a_folder_is_refused(run, model, tmp_path):
    result = run("import", model, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert f"name it {tmp_path}/out.onnx" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_split_model_needs_a_folder(run, model, tmp_path):
    result = run("rewrite", model, "-o", tmp_path / "out.onnx", "--pipeline", "externalize-mask", "--verify", "none")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"name a folder, for a bundle: {tmp_path}/out\n")


@pytest.fixture
def inf1(run, model, tmp_path):
    """A bundle for neuron-inf1."""
    out = tmp_path / "bundle"
    result = run("compile", model, "--target", "neuron-inf1" + SIZED, "-o", out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.mark.parametrize(
    "words",
    [
        ["compile", "--target", "neuron-inf2" + SIZED],
        ["rewrite", "--pipeline", "fuse-gelu"],
        ["legalize", "--target", "tvm"],
    ],
    ids=lambda words: words[0],
)
def test_the_bundle_of_another_target_is_replaced_when_asked_only(run, model, inf1, words):
    name, *rest = words
    before = (inf1 / "manifest.json").read_bytes()
    result = run(name, model, "-o", inf1, *rest)
    assert result.exit_code == 2
    assert (
        "the bundle of target 'neuron-inf1' is there; name another folder, or replace it with --force" in result.stderr
    )
    assert (inf1 / "manifest.json").read_bytes() == before
    assert run(name, model, "-o", inf1, *rest, "--force").exit_code == 0
    assert target_of(inf1) == {"compile": "neuron-inf2", "rewrite": "", "legalize": "tvm"}[name]


def test_a_bundle_of_the_same_target_is_replaced(run, model, inf1):
    assert target_of(inf1) == "neuron-inf1"
    assert run("compile", model, "--target", "neuron-inf1{batch=2,sequence=8}", "-o", inf1).exit_code == 0
    assert regraft.load(inf1).inputs[0].shape == [2, 8]


def test_the_manifest_of_something_else_is_not_lost(run, model, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "manifest.json").write_text(json.dumps({"name": "a web page"}))
    for more in ([], ["--force"]):
        result = run("rewrite", model, "-o", site, *more)
        assert result.exit_code == 2
        assert "it may be no bundle" in result.stderr
    assert [path.name for path in site.iterdir()] == ["manifest.json"]


def test_reduce_does_not_take_the_place_of_its_model(run, model, tmp_path):
    copy = tmp_path / "model.onnx"
    copy.write_bytes(model.read_bytes())
    result = run("reduce", copy, "--check", "false", "-o", tmp_path)
    assert result.exit_code == 2
    assert "would take the place of" in result.stderr
    assert copy.read_bytes() == model.read_bytes()
