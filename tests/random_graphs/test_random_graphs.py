"""Random models through the default pipeline and random ones: none wrong, none invalid, no exception but ours.

A failure names the number of its model and the pipeline; `python -m tests.random_graphs NUMBER PIPELINE` prints the
smallest that still fails.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import regraft
from tests.random_graphs.generate import generate, only
from tests.random_graphs.judge import Raw, problem, valid
from tests.random_graphs.pipelines import DEFAULT, pipeline
from tests.shares import diagonal

QUICK, ALL, GROUP = 100, 3_000, 25
OPERATORS = 60
CONTROLS, SEEN = 100, 0.8


def problems(seeds: range, folder: Path) -> list[str]:
    """What is wrong with the models of these numbers, a line each."""
    lines = []
    for seed in seeds:
        proto = generate(seed)
        raw = Raw(proto, seed)
        for text in (DEFAULT, *(pipeline(10 * seed + k, proto.graph.output[0].name) for k in range(2))):
            if reason := problem(raw, text, folder):
                lines.append(f"{seed} {'default' if text == DEFAULT else text}: {reason}")
    return lines


def groups(start: int, stop: int) -> list[range]:
    return [range(first, min(first + GROUP, stop)) for first in range(start, stop, GROUP)]


@pytest.mark.parametrize("seeds", diagonal(4, groups(0, QUICK)), ids=str)
def test_no_pipeline_makes_a_random_model_wrong(seeds: range, tmp_path: Path) -> None:
    assert not problems(seeds, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", groups(QUICK, ALL), ids=str)
def test_many_more(seeds: range, tmp_path: Path) -> None:
    assert not problems(seeds, tmp_path)


def test_models_are_many_sided_and_the_same_again() -> None:
    models = [generate(seed) for seed in range(QUICK)]
    kinds = {node.op_type for model in models for node in model.graph.node}
    assert len(kinds) >= OPERATORS
    assert {"If", "Loop", "Scan", "SequenceConstruct"} <= kinds
    assert sum(len(model.graph.output) > 1 for model in models) > QUICK / 2
    assert {opset.version for model in models for opset in model.opset_import if not opset.domain} >= {11, 13, 17, 21}
    assert all(valid(model) for model in models)
    assert models[7].SerializeToString(deterministic=True) == generate(7).SerializeToString(deterministic=True)


def test_a_wrong_rewrite_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def negate(model: regraft.Model, passes: object) -> None:
        for node in model.graph.nodes:
            node.op = "Neg" if node.op in ("Tanh", "Relu", "Abs") else node.op

    monkeypatch.setattr(regraft, "run", negate)
    found = [problem(Raw(generate(seed), seed), DEFAULT, tmp_path) for seed in range(30)]
    assert sum(one.startswith("wrong") for one in found) > 5


@pytest.mark.slow
def test_a_planted_weight_is_seen() -> None:
    judged, missed = 0, []
    for seed in range(CONTROLS):
        changed = planted(generate(seed), seed)
        if changed is not None:
            judged += 1
            missed += [seed] if regraft.compare(*changed).passed else []
    assert judged > CONTROLS / 2
    assert len(missed) <= (1 - SEEN) * judged, f"of {judged} missed: {missed}"


def planted(model: onnx.ModelProto, seed: int) -> tuple[onnx.ModelProto, onnx.ModelProto] | None:
    """The model, and a copy in which one float weight is another; None where it has none."""
    random = np.random.default_rng(seed)
    inputs = {i.name for i in model.graph.input}
    read = {w.name for o in model.graph.output for w in only(model, o.name).graph.initializer} - inputs
    weights = [w for w in model.graph.initializer if w.name in read and w.data_type == 1 and w.dims]
    if not weights:
        return None
    chosen = weights[int(random.integers(len(weights)))]
    values = numpy_helper.to_array(chosen).copy()
    place = tuple(int(random.integers(d)) for d in values.shape)
    values[place] += 0.5
    after = onnx.ModelProto()
    after.CopyFrom(model)
    next(w for w in after.graph.initializer if w.name == chosen.name).CopyFrom(
        numpy_helper.from_array(values, chosen.name)
    )
    return model, after
