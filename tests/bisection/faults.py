"""Passes with a planted fault: of the many places that a pass rewrites, it gets one wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import numpy_helper

from regraft.ir.model import Model
from regraft.pipelines.foreign import graphsurgeon_pass, proto_pass
from regraft.pipelines.pass_base import Pass
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Given, op
from regraft.verification.contract import reassociation

HALF, SINGLE = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


class Fault(NamedTuple):
    """An operator, what stands for it rightly, and what does not."""

    operator: str
    right: Callable[..., Any]
    wrong: Callable[..., Any]


FAULTS = {
    "constant": Fault("Sigmoid", lambda x: 1 / (1 + op.Exp(-x)), lambda x: 1 / (1.25 + op.Exp(-x))),
    "operand": Fault("Sub", lambda a, b: a + op.Neg(b), lambda a, b: b + op.Neg(a)),
    "bias": Fault("Add", lambda a, b: a - op.Neg(b), lambda a, b: op.Identity(a)),
    "overflow": Fault(
        "Erf",
        lambda x: op.Neg(op.Erf(op.Neg(x))),
        lambda x: op.Erf(op.Cast(op.Cast(x * 1e6, to=HALF), to=SINGLE) * 1e-6),
    ),
    "epsilon": Fault("Sqrt", lambda x: op.Pow(x, 0.5), lambda x: op.Pow(x + 0.02, 0.5)),
    "axis": Fault("Softmax", lambda x: op.Softmax(x * 1.0, axis=-1), lambda x: op.Softmax(x * 1.0, axis=2)),
}
"""That of a mask is `bias` at the Add of an attention's scores."""


def rule_pass(fault: Fault, at: str) -> Pass:
    """A pass of two rules, of which the wrong one matches at node `at` alone."""
    names = list(inspect.signature(fault.right).parameters)
    attrs = {"axis": -1} if fault.operator == "Softmax" else {}
    pattern = {
        1: lambda x: getattr(op, fault.operator)(x, **attrs),
        2: lambda a, b: getattr(op, fault.operator)(a, b),
    }[len(names)]

    class Planted(RulePass):
        """Rewrites every operator of one kind."""

        name = "planted-rules"
        contract = reassociation

        def rules(self):
            return [
                Rule(pattern, fault.right, where=lambda out: out.inputs[0].name != at, name="right"),
                Rule(pattern, fault.wrong, where=lambda out: out.inputs[0].name == at, name="wrong"),
            ]

    return Planted()


def node_pass(fault: Fault, at: str) -> Pass:
    """A pass that rewrites single nodes, `at` wrongly."""

    class Planted(NodePass):
        """Rewrites every operator of one kind."""

        name = "planted-nodes"
        contract = reassociation
        operators = frozenset({fault.operator})

        def rewrite(self, node, opset, edit):
            return (fault.wrong if node.name == at else fault.right)(*map(Given, node.inputs))

    return Planted()


def surgeon_pass(at: str) -> Pass:
    """A pass of onnx-graphsurgeon that writes a - b as a + (-b), and at `at` as b + (-a)."""

    def rewrite(graph: gs.Graph) -> None:
        for node in [one for one in graph.nodes if one.op == "Sub"]:
            first, second = reversed(node.inputs) if node.name == at else node.inputs
            turned = gs.Variable(f"{node.name}_turned", np.float32)
            graph.nodes.append(gs.Node("Neg", f"{node.name}/Neg", inputs=[second], outputs=[turned]))
            node.op, node.inputs = "Add", [first, turned]
        graph.toposort()

    return graphsurgeon_pass("planted-surgeon", rewrite)()


def message_pass(at: str) -> Pass:
    """A pass on messages that writes a square root as a power of 0.5, and at `at` of 0.6."""

    def rewrite(proto: onnx.ModelProto) -> None:
        for number, node in enumerate(proto.graph.node):
            if node.op_type == "Sqrt":
                power = np.float32(0.6 if node.name == at else 0.5)
                proto.graph.initializer.append(numpy_helper.from_array(np.array(power), f"power_{number}"))
                node.op_type = "Pow"
                node.input.append(f"power_{number}")

    return proto_pass("planted-messages", rewrite)()


def places(model: Model, operator: str, part: str = "") -> list[str]:
    """The nodes of an operator that work on floats, in parts of a name, by name."""
    return [
        node.name
        for node in model.graph.nodes
        if node.op == operator
        and part in node.name
        and all(t.dtype is None or t.dtype == np.float32 for t in (*node.inputs, *node.outputs))
    ]
