"""What the tests of passes share: graphs written as text, and passes applied to them under the eyes of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx.parser
import pytest

from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.ir.structure import check
from regraft.pipelines.pass_ import Change, Context, Pass
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot


class Applied(NamedTuple):
    """A model after a pass, and what the pass said."""

    model: Model
    changes: list[Change]
    notes: list[str]

    @property
    def ops(self) -> list[str]:
        return [node.op for node in self.model.graph.nodes]


def parse_graph(text: str, opset: int = 21) -> Model:
    domains = f'"" : {opset}, "local" : 1, "ai.onnx.preview.training" : 1'
    return from_proto(onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{domains}]>\n{text}"))


def apply_pass(model: Model, one: Pass, *, inputs: dict[str, Any] | None = None, like: Model | None = None) -> Applied:
    """Apply `one`; outputs keep every bit of those of `like`, by default `model`. A second run changes nothing more."""
    before, context = clone(like or model), Context(one.name)
    one.run(model, context)
    check(model)
    if model.host is not None:
        check(model.host.model)
    if inputs is None:
        inputs = make_inputs(before)
    old = snapshot(before, inputs)
    new = snapshot(model, {t.name: inputs[t.name] for t in model.inputs if t.name in inputs})
    assert list(new) == [name for name in old if name in new]
    for name, value in new.items():
        expected, found = np.asarray(old[name]), np.asarray(value)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        assert found.tobytes() == expected.tobytes(), name
    again = Context(one.name)
    one.run(clone(model), again)
    assert not again.changes
    return Applied(model, context.changes, context.notes)


def lower_by(model: Model, one: Pass, inputs: dict[str, Any] | None = None) -> Applied:
    """Apply `one`; outputs stay within its contract. A second run changes nothing more."""
    before, context = clone(model), Context(one.name)
    one.run(model, context)
    check(model)
    inputs = make_inputs(before) if inputs is None else inputs
    drift = one.contract.through(len(context.changes)).check(snapshot(before, inputs), snapshot(model, inputs))
    assert drift.passed, str(drift)
    again = Context(one.name)
    one.run(clone(model), again)
    assert not again.changes
    return Applied(model, context.changes, context.notes)


@pytest.fixture(scope="session")
def parse() -> Callable[..., Model]:
    return parse_graph


@pytest.fixture(scope="session")
def apply() -> Callable[..., Applied]:
    return apply_pass


@pytest.fixture(scope="session")
def lower() -> Callable[..., Applied]:
    return lower_by
