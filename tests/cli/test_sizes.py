"""Sizes by the names that everybody knows, and errors that say which words to add."""

from __future__ import annotations

import json
import re
import shlex

import pytest

import regraft

SIZES = ["--shape", "batch=2", "--shape", "sequence=8"]


@pytest.fixture
def other(model, tmp_path):
    """The model with other names for its dimensions."""
    path = tmp_path / "other.onnx"
    regraft.save(regraft.load(model), path)
    one = regraft.load(path)
    regraft.run(one, "set-shapes{batch=n,sequence=s1}")
    regraft.save(one, path)
    return path


def test_show_and_run_take_sizes(run, other):
    inputs = json.loads(run("show", other, *SIZES, "--json").stdout)["inputs"]
    assert [one["shape"] for one in inputs] == [[2, 8]] * 3
    outputs = json.loads(run("run", other, *SIZES, "--json").stdout)
    assert [(len(rows), len(rows[0])) for rows in outputs.values()] == [(2, 8)] * 2


@pytest.mark.parametrize("command", ["rewrite", "import"])
def test_what_is_written_has_them(run, other, tmp_path, command):
    out = tmp_path / "out.onnx"
    more = ["--pipeline", "fuse-gelu"] if command == "rewrite" else []
    assert run(command, other, "-o", out, *SIZES, *more).exit_code == 0
    assert {tuple(tensor.shape) for tensor in regraft.load(out).inputs} == {(2, 8)}
    assert "set-shapes{batch=2,sequence=8}" in regraft.load(out).metadata["regraft.pipeline"]
    assert run("verify", other, out).exit_code == 0


@pytest.mark.parametrize("words", [["show"], ["rewrite", "-o", "out.onnx"], ["check", "--target", "tvm"]])
def test_an_unknown_name_lists_those_there_are(run, other, words):
    result = run(words[0], other, *words[1:], "--shape", "bach=2")
    assert result.exit_code == 2
    assert "no input or dimension named 'bach'; did you mean 'batch'?" in result.stderr
    assert "known: attention_mask, batch, input_ids, n, s1, sequence, token_type_ids" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["compile", "--target", "neuron-inf1", "-o", "OUT"],
        ["rewrite", "--target", "rknn", "-o", "OUT.onnx"],
        ["check", "--target", "fpga{per=layer}"],
        ["legalize", "--target", "poprt"],
    ],
    ids=lambda words: words[0],
)
def test_where_sizes_are_needed_the_words_are_said_and_help(run, other, tmp_path, words):
    words = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    asked = run(words[0], other, *words[1:])
    assert asked.exit_code in (1, 2)
    (said,) = re.findall(r"--target '\S+\{\S*n=1,s1=64\}'", asked.stdout + asked.stderr)
    words[words.index("--target") : words.index("--target") + 2] = shlex.split(said)
    better = run(words[0], other, *words[1:])
    assert "static" not in better.stdout + better.stderr


def test_a_target_says_that_an_option_is_misspelt_and_no_size(run, other):
    result = run("check", other, "--target", "neuron-inf2{cst=bf16}")
    assert result.exit_code == 2
    assert "neuron-inf2: no option named 'cst'; did you mean 'cast'? known: buckets, cast, optlevel" in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rewrite", "-o", "x.onnx", "--pipeline", "lower-gelu{from=tanh}"], "lower-gelu: no option named 'from'; did"),
        (["check", "--target", "iree{batch=2,cpus=x}"], "iree: no option named 'cpus'; did you mean 'cpu'?"),
        (["show", "--task", "masked-lm"], "frontend 'onnx': no option named 'task'; known: opset, shapes, trust"),
        (
            ["rewrite", "-o", "x.onnx", "--pipeline", "repeat{round=2}(fuse-gelu)"],
            "repeat: no option named 'round'",
        ),
    ],
)
def test_options_of_passes_targets_and_frontends_are_checked_alike(run, model, words, says):
    result = run(words[0], model, *words[1:])
    assert result.exit_code == 2
    assert says in result.stderr
