"""Whole models that gluonnlp exported: imported they give what MXNet gave, and the passes work on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import regraft
from regraft.frontends.mxnet.symbol import VARIABLE, read_symbol
from regraft.ir.schema import kind
from regraft.pipelines.frontend import ImportOptions
from regraft.verification.runtime import Session
from tests.shares import diagonal, every

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "mxnet"
NOTEBOOK = Path(__file__).parents[3] / "shared" / "artifacts" / "mxnet" / "seed000-modified"
"""A graph from somebody else's repository, which cannot lie in this one."""

IDS = {"data0": ("batch", 16), "data1": ("batch", 16), "data2": ("batch",)}
SHAPES = {
    "gn0.8.3-classifier": IDS,
    "gn0.10.0-classifier": IDS,
    "gn0.10.0-mlm-nsp": {**IDS, "data3": ("batch", 3)},
    "notebook": {"data0": ("batch", 16, 64), "data1": ("batch",), "data2": ("batch", 16, 16)},
}
FORMS = {"batch": {}, "fixed": {"batch": 2}, "sequence": {16: "sequence"}}
EMBEDDED = [name for name in SHAPES if name != "notebook"]


def folder(name: str) -> Path:
    if name != "notebook":
        return ARTIFACTS / name
    if not NOTEBOOK.is_dir():
        pytest.skip(f"no model at {NOTEBOOK}: it comes from a repository that this one may not copy")
    return NOTEBOOK


def imported(name: str, form: str = "batch", opset: int | None = None) -> regraft.Model:
    names = FORMS[form]
    shapes = {key: tuple(names.get(dim, dim) for dim in shape) for key, shape in SHAPES[name].items()}
    return regraft.open_source(folder(name), options=ImportOptions(shapes, opset))


def reference(name: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """What MXNet was given and gave."""
    with np.load(folder(name) / "ref.npz") as arrays:
        inputs = {key.removeprefix("in_"): arrays[key] for key in arrays if key.startswith("in_")}
        return inputs, [arrays[key] for key in sorted(arrays) if key.startswith("out")]


CASES = [(name, form) for name in SHAPES for form in FORMS if (name, form) != ("notebook", "sequence")]


@pytest.mark.parametrize("opset", [None, 13, 17, 20, 21])
@pytest.mark.parametrize(("name", "form"), every(2, CASES))
def test_the_outputs_are_those_of_mxnet(name, form, opset, tmp_path):
    model = imported(name, form, opset)
    path = regraft.save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(path, full_check=True)
    assert regraft.load(path).opset == (opset or 17)
    inputs, expected = reference(name)
    found = Session(path).run(inputs)
    assert len(found) == len(expected)
    for value, right in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_any_batch(name):
    inputs, expected = reference(name)
    three = {key: np.concatenate([x, x[:1]]) for key, x in inputs.items()}
    for value, right in zip(Session(imported(name)).run(three).values(), expected, strict=True):
        np.testing.assert_allclose(value, np.concatenate([right, right[:1]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", EMBEDDED)
def test_any_length(name):
    """Padding changes nothing: what is masked is not seen."""
    inputs, expected = reference(name)
    longer = {key: np.pad(x, [(0, 0), (0, 5)]) if x.shape[1:] == (16,) else x for key, x in inputs.items()}
    found = list(Session(imported(name, "sequence")).run(longer).values())
    for value, right in zip(found, expected, strict=True):
        if right.ndim == 2:
            np.testing.assert_allclose(value, right, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_names_are_those_of_mxnet(name):
    symbol = read_symbol(folder(name) / "model-symbol.json")
    model = imported(name)
    assert [t.name for t in model.outputs] == [f"{symbol.nodes[index].name}_output" for index, _ in symbol.heads]
    inputs = reference(name)[0]
    assert {t.name for t in model.inputs} == set(inputs)
    named = {node.name for node in model.graph.nodes}
    operations = [node for node in symbol.nodes if node.op not in (VARIABLE, "_copy", "_ones", "_arange")]
    kept = [node for node in operations if node.name in named]
    assert len(kept) >= len(operations) - 3  # shapes that are known are no nodes
    assert all(node.metadata["mxnet.node"] in {n.name for n in symbol.nodes} for node in model.graph.nodes)


@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_is_clean(name):
    model = imported(name)
    for node in model.graph.nodes:
        before = node.inputs[0].inputs[0] if node.inputs and node.inputs[0].inputs else None
        assert node.op != "Identity"
        assert not (node.op == "Cast" and before is not None and before.op == "Cast"), node.name
        assert not (node.op == "Cast" and node.inputs[0].dtype == node.outputs[0].dtype), node.name
    assert len({node.name for node in model.graph.nodes}) == len(model.graph.nodes)


# ------------------------------------------------------------------------------------------------------- passes

CHANGES = {  # pass: changes on the models with embeddings, and on the notebook's; None: at least one
    "strip-dropout": (None, 0),
    "fuse-gelu": (None, 2),
    "fuse-layer-norm": (0, 0),
    "fuse-attention": (2, 0),
    "externalize-embeddings": (None, 0),
    "externalize-mask": (None, None),
    "convert-fp16": (None, None),
}


@pytest.mark.parametrize(("name", "one", "form"), diagonal(3, SHAPES, CHANGES, ["batch", "fixed"]))
def test_passes_apply_and_verify(name, one, form):
    report = regraft.run(imported(name, form), one, verify="each", inputs=reference(name)[0])
    expected = CHANGES[one][name == "notebook"]
    changes = report.passes[0].matches
    assert changes > 0 if expected is None else changes == expected, report.passes[0].notes


def test_positions_are_exposed():
    model = imported("gn0.8.3-classifier")
    regraft.run(model, "expose-position-ids", verify="each")
    assert "position_ids" in [t.name for t in model.graph.inputs]


def test_gelu_is_one_operator_where_the_opset_has_it():
    assert [kind(n) for n in imported("gn0.10.0-classifier", opset=20).graph.nodes].count("Gelu") == 2
    assert [kind(n) for n in imported("gn0.10.0-classifier", opset=17).graph.nodes].count("Gelu") == 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_row_of_no_tokens_is_finite(name):
    inputs = reference(name)[0]
    inputs["data2"] = np.float32([16, 0])
    for value in Session(imported(name)).run(inputs).values():
        assert np.isfinite(value).all()
