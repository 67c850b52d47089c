"""Which groups must be lowered, and which must be kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from regraft.errors import PassError, UnknownNameError
from regraft.idioms.attention import find_attentions
from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.mixed_precision.layers import connected_layers
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.ops import traits
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.shapes import analyse

Mode = Literal["full", "matmul", "attention"]

PRODUCTS = traits.PRODUCTS | {"Attention", "com.microsoft::MatMulNBits"}

KEPT = (
    (traits.REDUCTIONS - traits.EXTREMES)
    | traits.NORMALIZATIONS
    | traits.SOFTMAXES
    | {"BitCast", "Cos", "CumProd", "CumSum", "DFT", "DynamicQuantizeLinear", "Exp", "GlobalAveragePool"}
    | {"GlobalLpPool", "GridSample", "LRN", "LinearAttention", "Log", "LpPool", "NegativeLogLikelihoodLoss", "Pow"}
    | {"QuantizeLinear", "Range", "Resize", "STFT", "Sin", "SoftmaxCrossEntropyLoss", "Tan", "Upsample"}
)
"""Operators that lose too much in half precision: sums of many terms, powers, normalizations, coordinates."""

MOVING = traits.MOVES | traits.MERGES | traits.EXTREMES | {"Dropout"}
"""Operators that hand values on as they are: they take the precision of what is around them."""


@dataclass(frozen=True)
class Policy:
    """What the user asks for.

    Attributes:
        mode: "full" lowers all that can be; "matmul" products only; "attention" attention and fully connected layers.
        keep_ops, keep_nodes: operators, and nodes by names or patterns such as `/encoder/*`, that stay as they are.
        attention: the nodes of attention.
    """

    mode: Mode = "full"
    keep_ops: Collection[str] = ()
    keep_nodes: Collection[str] = ()
    attention: Collection[Node] = field(default=())

    def settle(
        self,
        groups: Sequence[PrecisionGroup],
        exact: Mapping[PrecisionGroup, str],
        unfit: Mapping[Tensor, str],
        beyond: Mapping[Tensor, str],
    ) -> None:
        """Decide the groups that are no matter of cost.

        Args:
            exact: groups that would lose too much, with the reason.
            unfit: values that half precision may not hold; attention takes them clipped, for they are masks.
            beyond: values that were seen to be too large, and are no masks.
        """
        layers = connected_layers(groups) if self.mode == "attention" else frozenset()
        all_unfit = {**unfit, **beyond}
        for group in groups:
            if group.lowered is None and group.node is not None:
                self._settle(group, group.node, layers)
            if group in exact:
                if group.tie == "input" and group.lowered:  # what was asked for would lose the input itself
                    group.lowered, group.why = False, exact[group]
                group.settle(False, exact[group])
            if group.clips and group.lowered is None:
                _keep_beyond(group, beyond)
                group.settle(True, "attention" if group.node not in layers else "a fully connected layer")
            else:
                _keep_beyond(group, all_unfit)
        for group in groups:
            if group.lowered is None and group.node is not None:
                self._prefer(group, group.node, layers)

    def _settle(self, group: PrecisionGroup, node: Node, layers: Collection[Node]) -> None:
        """What stays whatever it reads; and what masks, and infinities for tanh, do no harm."""
        kind = schema.kind(node)
        if kind in self.keep_ops or node.op in self.keep_ops:
            group.settle(False, f"keep-ops: {kind}")
        elif any(node.name == text or fnmatchcase(node.name, text) for text in self.keep_nodes):
            group.settle(False, "keep-nodes")
        elif node in self.attention or kind == "Attention" or (node in layers and kind not in PRODUCTS):
            group.clips = True
        elif kind in KEPT or node.attrs.get("reduction", "none") not in ("none", b"none"):
            group.settle(False, f"{kind} needs the range or the digits")

    def _prefer(self, group: PrecisionGroup, node: Node, layers: Collection[Node]) -> None:
        kind = schema.kind(node)
        if node in layers:
            group.settle(True, "a fully connected layer")
        elif kind in PRODUCTS or (kind in traits.RECURRENT and self.mode == "full"):
            group.settle(True, "a product")
        elif kind == "Cast" and not group.reads and not _is_byte(node.inputs[0]):
            group.settle(False, "made of numbers of another type")
        elif self.mode != "full" and kind not in MOVING:
            group.settle(False, f"mode={self.mode}")
        elif self.mode == "full" and any(_is_matrix(slot.tensor) for slot in group.reads):
            group.settle(True, "reads a matrix of weights")

    def check(self, model: Model) -> None:
        """Raises PassError for names that the model does not have."""
        nodes = list(model.nodes())
        ops = {schema.kind(node) for node in nodes} | {node.op for node in nodes}
        for op in self.keep_ops:
            if op not in ops:
                raise PassError(f"keep-ops: {UnknownNameError('operator in the model', op, ops)}")
        names = {node.name for node in nodes}
        for text in self.keep_nodes:
            if text not in names and not any(fnmatchcase(name, text) for name in names):
                raise PassError(f"keep-nodes: no node of the model is called '{text}'")


def is_product(group: PrecisionGroup) -> bool:
    """Whether it is one of the nodes that half precision is there for."""
    return group.node is not None and schema.kind(group.node) in PRODUCTS | traits.RECURRENT


def _keep_beyond(group: PrecisionGroup, values: Mapping[Tensor, str]) -> None:
    if group.lowered is not None:
        return
    for tensor in (*(slot.tensor for slot in group.reads), *group.writes):
        if tensor in values:
            why = values[tensor]
            group.settle(False, why if why.startswith("may") else f"'{tensor.name}' {why}")
            return


def _is_byte(tensor: Tensor) -> bool:
    """Whether its elements are truths or whole numbers of at most 8 bits, which half precision holds exactly."""
    return tensor.dtype is not None and np.dtype(tensor.dtype).kind in "biuV" and np.dtype(tensor.dtype).itemsize == 1


def _is_matrix(tensor: Tensor) -> bool:
    """Whether it is a weight that two or more dimensions span."""
    return is_constant(tensor) and sum(isinstance(dim, int) and dim > 1 for dim in tensor.shape or ()) > 1


def make_policy(model: Model, mode: Mode, keep_ops: Collection[str], keep_nodes: Collection[str]) -> Policy:
    """The policy with the attention of `model` in it, where the mode asks for that."""
    attention: set[Node] = set()
    if mode == "attention":
        facts = analyse(model)
        for graph in rewritable_graphs(model):
            attention.update(node for found in find_attentions(graph, facts) for node in found.nodes)
    return Policy(mode, frozenset(keep_ops), tuple(keep_nodes), frozenset(attention))
