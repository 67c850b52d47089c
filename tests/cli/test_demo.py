from __future__ import annotations

import json
import re

import pytest

import regraft
from regraft.errors import ModelError
from regraft.ir.schema import kind
from regraft.models import minilm


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    try:
        minilm.model_path()
        minilm.tokenizer()
    except ModelError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("regraft.cli.demo.RUNS", 1)
    monkeypatch.setattr("regraft.cli.demo.ROUNDS", 1)


def test_the_demo_rewrites_verifies_and_compares(run, tmp_path):
    out = tmp_path / "folder" / "encoder"
    result = run("demo", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert re.findall(r"^\d\.(?= )", result.stdout, re.M) == [f"{number}." for number in range(1, 8)]
    assert "7 × LayerNormalization -> " in result.stdout
    assert sum(result.stdout.count(words) for words in ("times as fast", "no difference shown")) == 2
    assert float(re.search(r"largest difference of all 16 pairs: (\S+)", result.stdout)[1]) < 1e-3
    assert "7. What pays: 217 questions of 7 to 101 tokens" in result.stdout
    ways = re.findall(
        r"^(padded|one by one|packed).*?([\d,]+) +(\d+) +([\d.]+) +(\d\.\de[+-]\d+)$", result.stdout, re.M
    )
    assert [(name, int(calls)) for name, calls, *_ in ways] == [("padded", 14), ("one by one", 217), ("packed", 15)]
    assert all(float(difference) < 1e-5 for *_, difference in ways)
    assert max(len(line) for line in result.stdout.splitlines() if str(tmp_path) not in line) <= 150
    assert "original → device" in out.with_suffix(".html").read_text()
    model = regraft.load(out)
    assert [t.name for t in model.graph.inputs] == ["attention_mask", "hidden_states", "attention_bias"]
    kinds = {kind(node) for node in model.nodes()}
    assert not kinds & {"Gelu", "Erf", "LayerNormalization", "Where", "Dropout", "IsNaN"}
    assert sum(node.op == "Gelu" for node in regraft.load(out.with_suffix(".onnx")).nodes()) == 3


@pytest.mark.slow
def test_the_demo_gives_its_figures_as_json(run, tmp_path):
    result = run("demo", "-o", tmp_path / "encoder", "--json")
    figures = json.loads(result.stdout)
    assert figures["largest_difference_of_similarities"] < 1e-3
    assert len(figures["onnxruntime"]) == 2
    assert [way["calls"] for way in figures["packing"]] == [14, 217, 15]
    assert "7. What pays" in result.stderr


def test_the_demo_says_what_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(minilm, "MODEL_PACKAGE", "no-such-package-of-models")
    result = run("demo", "-o", tmp_path / "encoder.onnx")
    assert result.exit_code == 2
    assert "pip install 'regraft[demo]'" in result.stderr
    assert list(tmp_path.iterdir()) == []
