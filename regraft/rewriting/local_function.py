"""A local function of a model, written as a term."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import helper

from regraft.ir.graph import Constant, Function, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Term

_IR_VERSION = 8  # the first with local functions


def add_function(
    model: Model,
    domain: str,
    name: str,
    inputs: list[Variable],
    meaning: Term,
    attrs: Iterable[str] = (),
    dtype: np.dtype[Any] | None = None,
) -> None:
    """Give `model` the function `domain::name`, where it has none of that name.

    Args:
        inputs: that `meaning`, what the function gives, is computed of.
        attrs: names of what a call says; the body is written for the values that it says.
        dtype: what numbers in `meaning` become; None where it has none.
    """
    if any(function.domain == domain and function.name == name for function in model.functions):
        return
    names = map("v{}".format, itertools.count())
    nodes: list[Node] = []

    def emit(op: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        output = Variable(next(names))
        nodes.append(Node(op, f"n{len(nodes)}", attrs, inputs, [output], domain))
        return output

    build = Builder(emit, lambda values, hint: Constant(next(names), values), model.opset, dtype)
    function = Function(name, domain, attrs=dict.fromkeys(attrs), opset=model.opset)
    function.inputs, function.outputs = inputs, [build(meaning)]
    function.nodes += nodes
    function.import_domains = [helper.make_opsetid("", model.opset)]
    model.functions.append(function)
    model.graph.ir_version = max(model.graph.ir_version or 0, _IR_VERSION)
