from __future__ import annotations

import regraft
from regraft.pipelines import manager


def test_values_inside_lose_their_types_and_the_ends_keep_them(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-sdpa-dynamo.onnx")
    ends = [(t.name, t.dtype, t.shape) for t in (*model.graph.inputs, *model.graph.outputs)]
    inside = [t for node in model.nodes() for t in node.outputs if t not in model.graph.outputs]
    assert any(t.shape is not None for t in inside)
    manager.run(model, "strip-value-info", verify="each")
    assert all(t.dtype is None and t.shape is None for t in inside)
    assert [(t.name, t.dtype, t.shape) for t in (*model.graph.inputs, *model.graph.outputs)] == ends
