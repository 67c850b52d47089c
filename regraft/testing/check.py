"""A pass held against its contract on one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx.parser

from regraft.files.convert import clone, from_proto
from regraft.ir.model import Model
from regraft.ir.verifier import check
from regraft.pipelines.pass_base import Change, Context, Pass
from regraft.refusal import Refusal
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from regraft.wording import count


class Applied(NamedTuple):
    """A model after a pass, with the changes and the notes of the pass."""

    model: Model
    changes: list[Change]
    notes: list[str]
    refusals: list[Refusal]

    @property
    def ops(self) -> list[str]:
        """The operators of the main graph, in order."""
        return [node.op for node in self.model.graph.nodes]


def parse(text: str, opset: int = 21) -> Model:
    """The model of a graph in ONNX's text, as `onnx.parser` reads it, without the head of the model.

    Operators of the domain `local` may be functions of the model.
    """
    domains = f'"" : {opset}, "local" : 1, "ai.onnx.preview.training" : 1'
    return from_proto(onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{domains}]>\n{text}"))


def apply(
    model: Model,
    one: Pass,
    *,
    inputs: Mapping[str, Any] | None = None,
    like: Model | None = None,
    bits: bool = False,
) -> Applied:
    """Run a pass on `model`, and check what every pass must keep: the graph stays valid, each output stays within the
    pass's contract on `inputs`, and a second run changes nothing.

    Args:
        inputs: by name; by default generated, by the meaning of each input.
        like: the model to compare the outputs with; by default `model` before the pass.
        bits: require equal bits, dtypes and shapes of the outputs, whatever the contract allows.

    Raises:
        AssertionError: an output, or the second run, differs.
        GraphError: it leaves a graph that breaks ONNX's rules.
    """
    before, context = clone(like or model), Context(one.name)
    one.run(model, context)
    for side in model.sides:
        check(side)
    given = dict(make_inputs(before) if inputs is None else inputs)
    old = snapshot(before, given)
    new = snapshot(model, {tensor.name: given[tensor.name] for tensor in model.inputs if tensor.name in given})
    assert list(new) == [name for name in old if name in new], f"outputs {list(old)} became {list(new)}"
    if bits:
        _same_bits(old, new)
    else:
        drift = one.contract.through(len(context.changes)).check(old, new)
        assert drift.passed, str(drift)
    again = Context(one.name)
    one.run(clone(model), again)
    assert not again.changes, f"a second run changes {count(len(again.changes), 'more place')}"
    return Applied(model, context.changes, context.notes, context.refusals)


def _same_bits(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name, value in new.items():
        expected, found = np.asarray(old[name]), np.asarray(value)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{name}: {found.dtype}{found.shape}"
        assert found.tobytes() == expected.tobytes(), f"{name}: its values differ"
