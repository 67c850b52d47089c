"""One round of folding: find what is known, choose within a budget, compute, replace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx

from regraft.files.wire import LARGE
from regraft.folding.budget import Budget
from regraft.folding.evaluate import LAZY, Base, Evaluator
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor, subgraphs, walk
from regraft.ir.model import Model
from regraft.ir.weights import Array, Sparse, dtype_from_onnx
from regraft.ops.traits import MOVES, RANDOM
from regraft.pipelines.pass_base import Context
from regraft.shapes import Facts
from regraft.shapes.facts import WHOLE

KEPT = frozenset({"DequantizeLinear"})
"""Compilers read the quantization of a weight from it."""

_NEVER = RANDOM | KEPT

HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
COPIES = MOVES | {"Concat", "ConstantOfShape"}
"""Operators that round nothing. ONNX Runtime's CPU provider computes a chain of others in float32 where the model says
half precision, so a constant rounded in the midst of it would change the outputs."""


def _is_packed(held: Base) -> bool:
    """Whether it is a weight in fewer bits than floats have: quantized, or in half precision. Truths are masks."""
    kind = np.dtype(held.dtype)
    return math.prod(held.shape) > 1 and kind.itemsize <= 2 and kind != np.dtype(bool) and not kind.hasobject


class Fold:
    """One round over a model: what the facts of its start allow.

    Attributes:
        bases: values that are known without computing.
        nodes: those that can be folded, producers first.
        unpacked: packed weights, and what is made of them: a file never grows by these.
    """

    def __init__(self, model: Model, edit: Editor, facts: Facts, failed: dict[Node, str]):
        self.model, self.edit, self.facts, self.failed = model, edit, facts, failed
        self.bases: dict[Tensor, Base] = {}
        self.too_large: dict[Node, int] = {}
        self.nodes: dict[Node, int] = {}
        self.unpacked: set[Tensor] = set()

    def run(self, limit: int, grown: int, context: Context) -> tuple[int, bool]:
        """Fold; the growth of the file until now, and whether another round may find more."""
        while True:
            self._find()
            evaluator = Evaluator(self.bases, self.nodes, self.facts)
            budget = Budget(self.edit, evaluator.size, limit, grown)
            self._choose(budget)
            computed = evaluator.values([t for t in budget.results if t not in self.bases])
            if not evaluator.failed:
                break
            self.failed.update(evaluator.failed)
        for node in budget.removed:
            context.replaced([node], rule=self._rule(node))
        constants = {}
        for tensor in budget.results:
            value = self.bases[tensor] if tensor in self.bases else computed[tensor]
            constants[tensor] = self._put(tensor, value)
        for node in budget.removed:
            self.edit.remove(node)
        return budget.grown, any(self._tells(constants[t]) for t in computed)

    def _put(self, tensor: Tensor, value: Base) -> Constant:
        """Put `value` in the place of `tensor`."""
        node = tensor.inputs[0]
        if tensor not in self.edit.graph_outputs and len(node.outputs) == 1:
            return self.edit.know(node, value)
        name = self.edit.name(tensor.name) if tensor in self.edit.graph_outputs else tensor.name
        constant = Constant(name, value)
        self.edit.replace(tensor, constant)
        return constant

    def _tells(self, constant: Constant) -> bool:
        """Whether more may be known of what reads `constant` than before."""
        facts = [self.facts[t] for node in self.edit.users(constant) for t in node.outputs if t.name]
        return any(
            f.dims is None or not f.is_named or f.code in HALF or (f.code in WHOLE and f.value is None) for f in facts
        )

    def _rule(self, node: Node) -> str:
        if node not in self.nodes:
            return "unread"
        return "shape" if node.outputs[0] in self.bases else "compute"

    def _find(self) -> None:
        """Fill `nodes` and `bases`."""
        self.nodes.clear()
        self.bases.clear()
        self.unpacked.clear()
        for graph in self.model.graphs():
            versions = schema.versions(graph)
            for node in self.edit.live_nodes(graph):
                if node not in self.failed and self._is_known(node, versions):
                    self.nodes[node] = len(self.nodes)
                    if any(t in self.unpacked or (t in self.bases and _is_packed(self.bases[t])) for t in node.inputs):
                        self.unpacked.update(node.outputs)

    def _is_known(self, node: Node, versions: Mapping[str, int]) -> bool:
        if node.op == "Constant" and not node.domain:
            if (held := _held(node)) is not None:
                self.bases[node.outputs[0]] = held
            return False
        if node.op in _NEVER or (node.op == "Identity" and node.outputs[0] in self.edit.graph_outputs):
            return False
        if len(node.outputs) == 1 and (value := self._number(node.outputs[0])) is not None:
            if node.attrs and subgraphs(node):
                return False
            self.bases[node.outputs[0]] = value
            return True
        for tensor in node.inputs:
            if isinstance(tensor, Constant) or not tensor.name or tensor in self.bases:
                continue
            if not tensor.inputs or tensor.inputs[0] not in self.nodes:
                return False
        self.bases.update((tensor, tensor.lazy) for tensor in node.inputs if isinstance(tensor, Constant))
        if subgraphs(node) or any(isinstance(value, Node.AttributeRef) for value in node.attrs.values()):
            return False
        domain = node.domain or ""
        return (
            domain in schema.DOMAINS
            and schema.find(node.op, versions.get(domain, 1), node.domain) is not None
            and all(self._has_size(t) for t in node.outputs if t.name)
            and self._is_unrounded(node)
        )

    def _number(self, tensor: Tensor) -> Array | None:
        """The value of `tensor` if it is known by its facts."""
        fact = self.facts[tensor]
        numbers = None if fact.value is None else fact.numbers
        return None if numbers is None else numbers.astype(dtype_from_onnx(fact.code))

    def _is_unrounded(self, node: Node) -> bool:
        """Whether no result of half precision is rounded."""
        code = self.facts[node.outputs[0]].code
        if code not in HALF or node.op in COPIES:
            return True
        source = self.bases.get(node.inputs[0]) if node.op in ("Cast", "CastLike") else None
        if source is None or source.nbytes >= LAZY:
            return False
        values = source if isinstance(source, np.ndarray) else source.load()
        return np.array_equal(values.astype(dtype_from_onnx(code)).astype(values.dtype), values, equal_nan=True)

    def _has_size(self, tensor: Tensor) -> bool:
        fact = self.facts[tensor]
        return bool(fact.code) and fact.sizes is not None and fact.code != onnx.TensorProto.STRING

    def _choose(self, budget: Budget) -> None:
        """Decide, for values that share producers or weights together, else one by one from the consumers on."""
        self.too_large.clear()
        for group in self._groups():
            if budget.fold(group, self.may_grow(group)):
                for node in reversed(group):
                    if node not in budget.removed and (excess := budget.fold([node], self.may_grow([node]))):
                        self.too_large[node] = excess

    def may_grow(self, nodes: Iterable[Node]) -> bool:
        """Whether the file may grow by what these make: not by packed weights that are unpacked."""
        return not any(tensor in self.unpacked for node in nodes for tensor in node.outputs)

    def _groups(self) -> Iterator[list[Node]]:
        """The nodes, those together that share a producer or a large constant."""
        leader: dict[Node | Tensor, Node | Tensor] = {}

        def find(item: Node | Tensor) -> Node | Tensor:
            root = item
            while leader.setdefault(root, root) is not root:
                root = leader[root]
            while leader[item] is not root:
                leader[item], item = root, leader[item]
            return root

        for node in self.nodes:
            find(node)
            for tensor in node.inputs:
                producer = tensor.inputs[0] if tensor.inputs else None
                if producer in self.nodes:
                    leader[find(producer)] = find(node)
                elif isinstance(tensor, Constant) and tensor.nbytes >= LARGE:
                    leader[find(tensor)] = find(node)
        groups: dict[Node | Tensor, list[Node]] = {}
        for node in self.nodes:
            groups.setdefault(find(node), []).append(node)
        yield from groups.values()


def lift(model: Model, context: Context) -> None:
    """Make Constant nodes initializers, but for those in functions, which have none; read through their Identities."""
    with Editor(model) as edit:
        for graph in walk(model.graph):
            for node in graph.nodes:
                if node.domain or node.op not in ("Constant", "Identity") or node.outputs[0] in edit.graph_outputs:
                    continue
                if node.op == "Identity":
                    if not isinstance(node.inputs[0], Constant):
                        continue
                    context.replaced([node], rule="lift")
                    edit.replace(node.outputs[0], node.inputs[0])
                    edit.remove(node)
                elif (held := _held(node)) is not None:
                    context.replaced([node], rule="lift")
                    edit.know(node, held)


def _held(node: Node) -> Base | None:
    """What a Constant node holds; None where it is sparse, or an attribute of its function."""
    value = node.attrs.get("value")
    if isinstance(value, Constant):
        return None if isinstance(value.lazy, Sparse) else value.lazy
    found = schema.constant_node_value(node)
    return None if found is None else np.asarray(found)
