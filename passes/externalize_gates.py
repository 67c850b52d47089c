"""Which places of a sequence count is computed on the host; the device multiplies by it."""

from __future__ import annotations

from collections.abc import Iterator

from regraft import shapes
from regraft.analysis.value_ranges import HostedRanges, ValueRanges
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.weights import code_of, is_float
from regraft.ops.traits import ARITHMETIC, COMPARISONS, GATHERS, LAYOUT, LOGIC, SHAPE_ONLY
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass, label
from regraft.refusal import Refusal
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given, op
from regraft.splitting import cone, drop_inputs, to_host
from regraft.verification.contract import interface

CONDITIONS = (
    (LAYOUT | GATHERS | LOGIC | COMPARISONS | ARITHMETIC)
    | {"Cast", "Concat", "Constant", "ConstantOfShape", "CumSum", "Max", "Min", "Neg", "Range", "ReduceMax"}
    | {"ReduceMin", "ReduceSum", "Shape", "Slice", "Tile", "Where"}
)
"""What conditions on places are computed by."""


class ExternalizeGates(Pass):
    """Let the host compute which places of a sequence count, and the device multiply by that.

    Where(c, x, 0)  →  x · sequence_gate    c follows from inputs, by logic and whole numbers
    Where(c, 0, x)  →  the same, with ¬c
    x · g, x / g    →  x · sequence_gate, x / sequence_gate    so does g, of at least two axes

    MXNet's SequenceMask is the first, c being place < length; the mean over words, by a mask and by their number, is
    the last. The gate is 1 where x stays and 0 elsewhere; all that are of one condition share an input. x is what
    layers compute, and finite as long as the caller gives finite numbers: an infinity times 0 is no number.
    """

    name = "externalize-gates"
    contract = interface
    removes = EVERY
    introduces = frozenset({"Mul"})
    input: str = option("sequence_gate", "name of the input that the device takes")

    def run(self, model: Model, context: Context) -> None:
        shapes.infer(model)
        ranges, layers = model.facts(HostedRanges), _of_layers(model)
        made: dict[tuple[Tensor, bool, str], Tensor] = {}
        with Editor(model) as edit:
            for gate in _factors(model, layers):
                made[gate, True, str(gate.dtype)] = gate
            for node in list(model.graph.nodes):
                place = _kept(node, ranges)
                if place is None or node.inputs[0] in layers or node.inputs[place] not in layers:
                    continue
                kept, added = node.inputs[place], list[Node]()
                key = (node.inputs[0], place == 1, str(kept.dtype))
                build = builder(node, model.graph, edit, added)
                if key not in made:
                    condition = Given(node.inputs[0])
                    made[key] = build(op.Cast(condition if place == 1 else op.Not(condition), to=code_of(kept.dtype)))
                edit.replace(node.outputs[0], build(Given(kept) * Given(made[key])))
                edit.remove(node)
                context.replaced([node], added, rule="gate")
        if not made:
            nothing = "nothing is masked or scaled by what follows from inputs alone"
            context.refuse(Refusal(nothing, heading="no gate to move"))
            return
        names = (self.input if number == 1 else f"{self.input}_{number}" for number in range(1, len(made) + 1))
        gates = dict(zip(names, made.values(), strict=True))
        facts = shapes.analyse(model)
        for gate in gates.values():
            gate.shape = [shapes.dims.show(dim) for dim in facts[gate].dims or ()]
        _, starts = cone(gates.values())
        inputs = [tensor for tensor in model.graph.inputs if tensor in starts]
        to_host(model, gates, context, rule="gate")
        drop_inputs(model, inputs)
        for tensor in inputs:
            if tensor in model.graph.inputs and tensor.outputs:
                stays = f"input '{tensor.name}' stays on the device"
                context.refuse(Refusal(f"{label(tensor.outputs[0])} reads it", heading=stays))


def _kept(node: Node, ranges: ValueRanges) -> int | None:
    """The place of what a Where keeps, if it makes zeros elsewhere and has the shape of what is kept."""
    out = node.outputs[0]
    if node.op != "Where" or node.domain or out.dtype is None or not is_float(out.dtype):
        return None
    for place in (1, 2):
        other, kept = node.inputs[3 - place], node.inputs[place]
        is_shaped = kept.shape is not None and kept.shape == out.shape
        if is_shaped and ranges[other].is_zero and (ranges[kept].finite or ranges[kept].given):
            return place
    return None


def _factors(model: Model, layers: set[Tensor]) -> Iterator[Tensor]:
    """What is multiplied with what layers compute, or divides it, and follows from whole numbers that are given."""
    counts = _counts(model)
    for node in model.graph.nodes:
        if node.op in ("Mul", "Div") and not node.domain:
            for layer, gate in (node.inputs, node.inputs[::-1])[: 2 if node.op == "Mul" else 1]:
                if layer in layers and gate in counts and gate not in layers:
                    yield gate


def _counts(model: Model) -> set[Tensor]:
    """Floats with axes that are computed from whole numbers among the inputs, not from their shapes alone.

    Words that are looked up are none.
    """
    found: set[Tensor] = {tensor for tensor in model.graph.inputs if not is_float(tensor.dtype)}
    for node in model.graph.nodes:
        is_lookup = node.op == "Gather" and is_float(node.outputs[0].dtype)
        if not is_lookup and node.op not in SHAPE_ONLY and any(tensor in found for tensor in reads(node)):
            found.update(node.outputs)
    return {one for one in found if one.dtype is not None and is_float(one.dtype) and len(one.shape or ()) > 1}


def _of_layers(model: Model) -> set[Tensor]:
    """What does not follow from inputs by logic alone."""
    found = set[Tensor]()
    for node in model.graph.nodes:
        if node.domain or node.op not in CONDITIONS or any(tensor in found for tensor in reads(node)):
            found.update(node.outputs)
    return found
