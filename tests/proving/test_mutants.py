"""No model with a fault in it is proved to be as before: what ONNX Runtime can tell apart, a proof must not join."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import regraft
from regraft.errors import RegraftError
from regraft.files.convert import clone, export, from_proto
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines import manager
from regraft.proving.places import prove_models
from regraft.testing import parse
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.benchmarks.certify import ARTIFACTS
from tests.proving.mutations import faults

SMALL = bert.Size(1, 16, 2, 16, 32, 8)
FAST, SLOW = 40, 220
_BEYOND = 20.0
"""A fault moves an output this many times further than the rewrite did by rounding."""
_FLOOR = 1e-6

Arrays = dict[str, Any]


def _bert(**style: Any) -> Callable[[], Model]:
    return lambda: bert.build(SMALL, bert.Style(**style))


MODELS: dict[str, Callable[[], Model]] = {
    "chain": lambda: chain.build(25),
    "bert": _bert(),
    "bert, additive": _bert(opset=13, mask="additive", shapes="static"),
    "bert of operators": _bert(opset=20, gelu="op", layer_norm="op", constants="initializers"),
}
LARGER = {
    "vit": lambda: regraft.load(ARTIFACTS / "pytorch/vit-ts.onnx"),
    "t5": lambda: regraft.load(ARTIFACTS / "pytorch/t5-encoder-dynamo.onnx"),
    "distilbert": lambda: regraft.load(ARTIFACTS / "pytorch/distilbert-sdpa-ts.onnx"),
}
PIPELINES = {
    "nothing": "infer-shapes",
    "fusions": "fuse-gelu,fuse-layer-norm",
    "lowering": "lower-softmax,lower-div,lower-pow,lower-reduce-mean",
    "of operators": "lower-gelu,lower-layer-norm,lower-softmax",
    "cleaning": "fold-constants,eliminate-common-subexpressions,eliminate-identity,eliminate-dead-code,fuse-gemm",
}


class Pair(NamedTuple):
    """A model and what a pipeline makes of it, with their outputs on two sets of inputs."""

    before: Model
    after: Model
    inputs: list[Arrays]
    old: list[Arrays]
    new: list[Arrays]


@cache
def pair(model: str, pipeline: str) -> Pair | None:
    """None where not all of what the pipeline does is proved: of such a pair a fault says nothing."""
    before = (MODELS | LARGER)[model]()
    manager.run(before, "infer-shapes")
    after = clone(before)
    manager.run(after, f"{PIPELINES[pipeline]},infer-shapes")
    if any(place.outcome != "proved" for place in prove_models(before, after)):
        return None
    inputs = [make_inputs(before, seed=seed) for seed in range(2)]
    return Pair(before, after, inputs, _outputs(before, inputs), _outputs(after, inputs))


def _outputs(model: Model, inputs: list[Arrays]) -> list[Arrays]:
    session = Session(model, threads=1)
    return [session.run(one) for one in inputs]


def mutants(seed: int, models: list[str]) -> Iterator[tuple[str, Pair, Model]]:
    """Models with one fault each that shows in the outputs."""
    chance = random.Random(seed)
    for _ in range(60):
        names = chance.choice(models), chance.choice([*PIPELINES])
        known = pair(*names)
        if known is None:
            continue
        changed = clone(known.after)
        kinds = faults(changed)
        kind = chance.choice(sorted(kinds))
        place = chance.randrange(len(kinds[kind]))
        kinds[kind][place]()
        try:
            mutant = _undeclared(changed)
            shows = _shows(known, _outputs(mutant, known.inputs))
        except RegraftError:
            continue  # ONNX Runtime takes no such model
        if shows:
            yield f"{', '.join(names)}: {kind}, number {place}", known, mutant


def _undeclared(model: Model) -> Model:
    """A copy that says nothing of the types and shapes inside, which may be others now."""
    proto, values = export(model)
    del proto.graph.value_info[:]
    return from_proto(proto, None, values)


def _shows(known: Pair, found: list[Arrays]) -> bool:
    """Whether a fault moves an output by more than rounding does."""
    for old, new, now in zip(known.old, known.new, found, strict=True):
        for name, value in old.items():
            if value.shape != now[name].shape or np.isnan(value).any() != np.isnan(now[name]).any():
                return True
            noise = np.abs(new[name] - value).max() + _FLOOR * np.abs(value).max()
            if np.abs(now[name] - value).max() > _BEYOND * noise:
                return True
    return False


def refused(seed: int, models: list[str]) -> str:
    """What the first mutant of a seed is, after it was seen that it is not proved."""
    what, known, mutant = next(mutants(seed, models))
    places = prove_models(known.before, mutant)
    assert any(place.outcome != "proved" for place in places), f"proved, and wrong: {what}"
    return what


@pytest.mark.parametrize("seed", range(FAST))
def test_a_fault_is_not_proved(seed: int) -> None:
    assert refused(seed, [*MODELS])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FAST, FAST + SLOW))
def test_a_fault_in_larger_models_is_not_proved(seed: int) -> None:
    assert refused(seed, [*MODELS, *LARGER])


def test_a_node_without_inputs_is_no_stumbling_block() -> None:
    text = (
        "g (float[n, 4] x) => (float[n, 4] y) {{ {} s = SequenceInsert(e, x) y = ConcatFromSequence <axis = 0> (s) }}"
    )
    before, after = (parse(text.format(f"e = {op} ()")) for op in ("SequenceEmpty", "SequenceEmpty <dtype = 1>"))
    after.graph.nodes[1].inputs[1] = after.graph.layer([after.inputs[0]], ["z"], op="Neg")[0]
    after.graph.toposort()
    assert any(place.outcome != "proved" for place in prove_models(before, after))


@pytest.mark.parametrize("model", MODELS)
def test_pairs_without_a_fault_are_proved(model: str) -> None:
    assert sum(pair(model, pipeline) is not None for pipeline in PIPELINES) >= 4
