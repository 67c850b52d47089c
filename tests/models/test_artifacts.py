"""The fixtures are what their README says: they run, give what their source framework gave, and can be rewritten."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import regraft
from regraft.pipelines.registry import targets
from regraft.verification.verify import snapshot
from tests.shares import diagonal

FOLDER = Path(__file__).parents[1] / "artifacts"
MADE = sorted(path.with_suffix("") for path in FOLDER.glob("pytorch/*.npz"))
REFERENCES = {path.with_suffix(".onnx"): path.with_suffix(".npz") for path in MADE} | {
    FOLDER / "pytorch/transformers-4.25.1-bert-qa/model.onnx": FOLDER / "pytorch/transformers-4.25.1-bert-qa/ref.npz",
    FOLDER / "tensorflow/tiny_seq32_op18.onnx": FOLDER / "tensorflow/tiny_seq32_ref.npz",
}


def named(path: Path) -> str:
    return str(path.relative_to(FOLDER))


@pytest.mark.parametrize("path", REFERENCES, ids=named)
def test_onnx_runtime_gives_what_the_source_framework_gave(path):
    with np.load(REFERENCES[path]) as reference:
        values = dict(reference)
    inputs = {name[3:]: value for name, value in values.items() if name.startswith("in_")}
    results = snapshot(path, inputs)
    expected = {name[4:]: value for name, value in values.items() if name.startswith("out_")}
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(results[name], value, rtol=1e-5, atol=1e-5)
        assert np.abs(np.diff(value, axis=0)).max() > 1e-3, "every row gives the same"


@pytest.mark.parametrize("path", diagonal(3, [path.with_suffix(".onnx") for path in MADE]), ids=named)
def test_the_default_pipeline_takes_it(path):
    report = targets.load("onnxruntime")().prepare(regraft.load(path), verify="each")
    assert report.changed


@pytest.mark.parametrize("exporter", ["ts", "dynamo"])
def test_the_tied_decoder_shares_the_word_embeddings(exporter):
    graph = onnx.load(FOLDER / f"pytorch/bert-mlm-tied-{exporter}.onnx").graph
    tables = [tensor.name for tensor in graph.initializer if tensor.dims == [100, 32]]
    assert [sorted(node.op_type for node in graph.node if name in node.input) for name in tables] == [
        ["Gather", "Transpose"]
    ]


def test_the_readme_lists_every_file():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = {one for name in re.findall(r"`([\w./{},-]+\.onnx)`", text) for one in expand(name)}
    assert listed == {named(path) for path in FOLDER.rglob("*.onnx")}


def expand(name: str) -> list[str]:
    """The names that braces stand for, as a shell has them."""
    found = re.search(r"\{([^{}]*)\}", name)
    if found is None:
        return [name]
    return [
        one for choice in found[1].split(",") for one in expand(name[: found.start()] + choice + name[found.end() :])
    ]
