"""BERT-base and BERT-large in memory, made ready for targets whose operators are published; no weight is written."""

from __future__ import annotations

import pytest

from regraft.legality.share import share
from regraft.models import bert
from regraft.targeting.target import read_target
from tests.shares import diagonal

SIZES = [pytest.param(bert.BASE, id="base"), pytest.param(bert.LARGE, id="large", marks=pytest.mark.slow)]
STATIC = "batch=1,sequence=128"
TAKEN = [
    "bladedisc",
    f"neuron-inf1{{{STATIC}}}",
    "neuron-inf2",
    f"poprt{{{STATIC}}}",
    "tensorrt",
    "tensorrt{precision=fp32}",
    f"fpga{{{STATIC}}}",
    f"fpga{{{STATIC},per=layer}}",
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", diagonal(2, TAKEN))
def test_every_node_is_taken(target, size):
    model, chosen = bert.build(size), read_target(target)
    chosen.prepare(model)
    assert chosen.check(model) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("flow", "left"), [("hls4ml", {"Sqrt": "LayerNorm", "Gather": "pooler"}), ("finn", {"Tanh": "pooler"})]
)
def test_a_flow_says_at_which_nodes_it_stops(flow, left, size):
    model, chosen = bert.build(size), read_target(f"fpga{{{STATIC},flow={flow}}}")
    chosen.prepare(model)
    verdict = chosen.judge(model)
    refused = {one.operator: one.nodes for one in verdict.violations if one.operator}
    assert refused.keys() == left.keys()
    assert all(left[operator] in node for operator, nodes in refused.items() for node in nodes)
    assert share(verdict).of_nodes > 0.95
