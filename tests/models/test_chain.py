from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from regraft import save
from regraft.models import chain


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 23])
def test_a_chain_is_valid_and_runs(tmp_path, opset):
    path = save(chain.build(120, opset), tmp_path / "chain.onnx")
    onnx.checker.check_model(path, full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 3, chain.WIDTH), np.float32)
    (y,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(["y"], {"x": x})
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    assert 0.1 < y.std() < 10


@pytest.mark.parametrize("nodes", [1, 100, 1000])
def test_a_chain_has_the_nodes_that_were_asked_for_and_at_most_a_motif_more(nodes):
    assert nodes <= len(chain.build(nodes).graph.nodes) < nodes + 25


def test_a_chain_holds_what_passes_look_for():
    model = chain.build(1000)
    ops = Counter(node.op for node in model.nodes())
    assert min(ops[op] for op in ("Erf", "ReduceMean", "Identity", "Dropout", "Shape", "Constant", "Cast")) >= 10
    assert sum(not any(t.outputs for t in node.outputs) for node in model.nodes()) > 10, "dead nodes"


def test_names_are_unique():
    model = chain.build(1000)
    for names in ([n.name for n in model.nodes()], [t.name for n in model.nodes() for t in n.outputs]):
        assert len(set(names)) == len(names)
