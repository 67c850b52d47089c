"""The ranges of values on real inputs, measured by ONNX Runtime without ever holding the values.

Each value is reduced where it is made to five numbers, which are the outputs of a copy of the model. The copy observes
some values at a time, so that memory does not follow their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.mixed_precision.precision_groups import SINGLE
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Given, Term, op
from regraft.verification.runtime import Session

_AT_A_TIME = 128
_LARGEST = float(np.finfo(SINGLE).max)


@dataclass(frozen=True)
class Range:
    """What was seen of a value.

    Attributes:
        low, high: the smallest and the largest finite element; infinite, and the wrong way round, where there is none.
        least: the smallest magnitude but zero; infinite where all were zero.
        nan, inf: whether there was one.
    """

    low: float
    high: float
    least: float
    nan: bool
    inf: bool

    @property
    def size(self) -> float:
        """The largest finite magnitude; 0 where there was no element."""
        return max(abs(self.low), abs(self.high)) if self.low <= self.high else 0.0

    def __or__(self, other: Range) -> Range:
        """What was seen in both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Range(low, high, min(self.least, other.least), self.nan or other.nan, self.inf or other.inf)


def observe(
    model: Model,
    names: Sequence[str],
    samples: Sequence[Mapping[str, Any]],
    track: Callable[[Iterable[Any], int | None], Iterable[Any]] = lambda items, total: items,
) -> dict[str, Range]:
    """The ranges of values of the main graph, 32-bit floats, by name.

    Args:
        samples: inputs of the model; it is run on each.
        track: shows progress.

    Raises:
        PassError: the opset is too old to tell what is not a number.
        RuntimeFailure: the model does not run on a sample.
    """
    if model.opset < 9:
        needed = PassRef("convert-opset{version=9}")
        lacks = f"opset {model.opset} has no IsNaN and no Where; run {needed} or newer before"
        raise PassError(Refusal(lacks, needs=(needed,)))
    fed = Session(model) if model.host is not None else None
    feeds = [sample if fed is None else fed.device_inputs(sample) for sample in samples]
    found: dict[str, Range] = {}
    batches = [names[start : start + _AT_A_TIME] for start in range(0, len(names), _AT_A_TIME)]
    for batch in track(batches, len(batches)):
        session = Session(_observing(model.device, batch))
        for feed in feeds:
            for name, numbers in zip(batch, session.run(feed).values(), strict=True):
                seen = _range(numbers)
                found[name] = found[name] | seen if name in found else seen
    return found


def _range(numbers: Array) -> Range:
    low, high, least, nan, inf = numbers.tolist()
    return Range(low, high, least, nan > 0, inf > 0)


def _observing(model: Model, names: Sequence[str]) -> Model:
    """A copy that gives the five numbers of each value instead of its own outputs."""
    copy = clone(model)
    graph = copy.graph
    values: dict[str, Tensor] = {t.name: t for node in graph.nodes for t in node.outputs}
    values |= {t.name: t for t in graph.inputs}
    outputs: list[Tensor] = []
    with Editor(copy) as edit:
        for name in names:
            value = values[name]
            build = _builder(edit, value.inputs[0] if value.inputs else graph.nodes[0], graph.opset)
            output = build(_numbers(Given(value)))
            output.dtype, output.shape = SINGLE, [5]
            outputs.append(output)
    graph.outputs = outputs
    # ONNX Runtime works from the last node that nobody reads to the first: so each value is reduced when it is made
    last = dict.fromkeys(output.inputs[0] for output in reversed(outputs))
    graph.nodes[:] = [*(node for node in graph.nodes if node not in last), *last]
    return copy


def _builder(edit: Editor, anchor: Node, opset: int) -> Builder:
    def emit(name: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        return edit.insert(anchor, name, inputs, attrs, domain=domain, hint="observed").outputs[0]

    return Builder(emit, edit.constant, opset, SINGLE)


def _numbers(value: Term) -> Term:
    """Low, high, least, whether one is not a number, and whether one is infinite."""
    flat = op.Reshape(value, Given(np.array([-1], np.int64)))
    nan, inf = op.IsNaN(flat), op.Greater(op.Abs(flat), _LARGEST)
    finite = op.Where(op.Or(nan, inf), 0.0, flat)
    size = op.Abs(finite)
    least = op.Where(op.Cast(size, to=TensorProto.BOOL), size, float("inf"))
    flags = [op.Cast(flag, to=TensorProto.FLOAT) for flag in (nan, inf)]
    parts = [_reduced("ReduceMin", finite), _reduced("ReduceMax", finite), _reduced("ReduceMin", least)]
    return op.Concat(*parts, *(_reduced("ReduceMax", flag) for flag in flags), axis=0)


def _reduced(name: str, value: Term) -> Term:
    return getattr(op, name)(value, axes=[0], keepdims=1)
