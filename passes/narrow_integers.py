"""64-bit integers made 32-bit ones, for targets without int64."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from regraft.folding.identities import maker
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.lowering.integer_narrowing import Assumed, Group, Narrowing, narrow_constant
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import Refusal
from regraft.rewriting.matcher import is_constant
from regraft.splitting import to_host
from regraft.verification.contract import SHORT, Contract, exact, interface


class NarrowIntegers(Pass):
    """Make 64-bit integers 32-bit ones where their values fit.

    ids: int64 → Unsqueeze → Gather(table, ·)   →  ids → Cast to int32 → Unsqueeze → Gather(table, ·)
    Gather(x, 3: int64), Slice(x, 0, 2⁶³-1)     →  Gather(x, 3: int32), Slice(x, 0, 2³¹-1)
    Cast(x) to int64                            →  Cast(x) to int32, or nothing where x has that type

    A value fits if its range says so: a constant, what is an index into a table of N rows, what is computed from such.
    No dimension is taken to have 2³¹ elements. `assume=inputs` asserts it of the model's inputs (masks, lengths),
    `assume=all` of everything. What ONNX wants in 64 bits stays (the shape of a Reshape, what Shape and ArgMax give),
    and so does what computes it, the graph's outputs, and local functions.

    With `inputs=true` the device takes its inputs as int32, and the host converts them. IPUs have no int64 (PopRT has
    the same pass), and LiteRT lacks it in single operators.
    """

    name = "narrow-integers"
    removes = frozenset({"Cast"})
    introduces = frozenset({"Cast"})
    needs = (TYPES,)
    inputs: bool = option(False, "whether inputs become int32 too; the host converts")
    assume: Assumed = option("nothing", "what is taken to fit 32 bits, beside what provably does")

    @property
    def contract(self) -> Contract:
        contract = (interface if self.inputs else exact).assuming(SHORT)
        return contract if self.assume == "nothing" else contract.assuming("integers fit 32 bits")

    def run(self, model: Model, context: Context) -> None:
        with Editor(model) as edit:
            plan = Narrowing(model, edit, self.assume, self.inputs)
            if self.inputs:
                for tensor in plan.unbounded:
                    unbounded = Refusal("nothing bounds it; assume=inputs does")
                    context.refuse(unbounded, heading=f"input '{tensor.name}' stays int64")
            work = _Work(plan, edit, context)
            converted = work.inputs(model)
            for graph in walk(model.graph):
                for node in list(edit.live_nodes(graph)):
                    work.visit(node, graph)
            work.end()
        if converted:
            to_host(model, converted, context, "inputs")


class _Work:
    """The edits; `casts` and `constants` are the narrow forms of values that stay wide."""

    def __init__(self, plan: Narrowing, edit: Editor, context: Context):
        self.plan, self.edit, self.context = plan, edit, context
        self.casts: dict[tuple[AnyGraph, Tensor], Tensor] = {}
        self.constants: dict[Tensor, Constant] = {}

    def inputs(self, model: Model) -> dict[str, Tensor]:
        """Let what reads a narrow input read a Cast of it; the Casts, by the names of the inputs."""
        casts: dict[str, Tensor] = {}
        for tensor in model.graph.inputs:
            first = next(self.edit.users(tensor), None) if tensor in self.plan.values else None
            if first is not None:
                made = Variable(self.edit.name(f"{tensor.name}/int32"), np.dtype(np.int32), tensor.shape)
                self.edit.replace(tensor, made)
                self.edit.insert(model.graph.nodes[0], "Cast", [tensor], {"to": TensorProto.INT32}, [made])
                casts[tensor.name] = made
        self.plan.values.difference_update(model.graph.inputs)
        return casts

    def visit(self, node: Node, graph: AnyGraph) -> None:
        """Give `node` narrow inputs where it is narrow, and attributes that say so."""
        added: list[Node] = []
        inputs, attrs = list(node.inputs), dict(node.attrs)
        for group in self.plan.groups[node]:
            if group.outputs or self._is_fed_narrow(node, group):
                for index in group.inputs:
                    inputs[index] = self._narrow(node.inputs[index], node, graph, added)
            if group.outputs and node.op == "Cast":
                attrs["to"] = TensorProto.INT32
            if group.outputs and node.op == "ConstantOfShape":
                attrs["value"] = Constant("value", attrs["value"].values.astype(np.int32))
        if node.op == "Cast" and attrs["to"] == TensorProto.INT32 and self._is_redundant(inputs[0], node.outputs[0]):
            self.edit.replace(node.outputs[0], inputs[0])
            self.edit.remove(node)
            self.context.replaced([node], rule="Cast")
        elif attrs != node.attrs or any(a is not b for a, b in zip(inputs, node.inputs, strict=True)):
            made = self.edit.insert(node, node.op, inputs, attrs, list(node.outputs), hint=node.name)
            self.edit.remove(node)
            self.context.replaced([node], [*added, made], rule=node.op)

    def end(self) -> None:
        for tensor in self.plan.values:
            tensor.dtype = np.dtype(np.int32)

    def _is_redundant(self, source: Tensor, out: Tensor) -> bool:
        """Whether a Cast of `source` to int32 forwards it."""
        return self._is_narrow(source) and out not in self.edit.graph_outputs

    def _is_fed_narrow(self, node: Node, group: Group) -> bool:
        """Whether a value that `group` reads is narrow, or all are constants."""
        values = [t for t in (node.inputs[index] for index in group.inputs) if not is_constant(t)]
        return not values or any(map(self._is_narrow, values))

    def _is_narrow(self, tensor: Tensor) -> bool:
        return tensor in self.plan.values or tensor.dtype == np.int32

    def _narrow(self, tensor: Tensor, node: Node, graph: AnyGraph, added: list[Node]) -> Tensor:
        """`tensor` in 32 bits, for `node`."""
        if is_constant(tensor):
            if tensor not in self.constants:
                self.constants[tensor] = self.edit.constant(narrow_constant(tensor), f"{tensor.name}/int32")
            return self.constants[tensor]
        before = maker(tensor, "Cast")
        for known in (tensor, *(before.inputs if before is not None else ())):
            if self._is_narrow(known):
                return known
        key = (graph, tensor)
        if key not in self.casts:
            cast = self.edit.insert(node, "Cast", [tensor], {"to": TensorProto.INT32})
            cast.outputs[0].dtype, cast.outputs[0].shape = np.dtype(np.int32), tensor.shape
            added.append(cast)
            self.casts[key] = cast.outputs[0]
        return self.casts[key]
