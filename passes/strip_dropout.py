"""Dropout, which does nothing when a model is used, goes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.files.convert import clone
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import Context, Pass
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.verification.contract import exact

Mode = Literal["inference", "training", "run time"]


class StripDropout(Pass):
    """Remove Dropout: at inference it forwards its input.

        Dropout(x, ratio, training_mode)  ->  x
        the mask of what it kept          ->  all true, in the shape of x

    The outputs are those of the same model in inference mode. A Dropout in training mode (`training_mode` true, or
    `is_test` unset before opset 7) draws at random, so the contract compares with that mode switched off. Where the
    caller says at run time whether the model trains, the choice is kept unless `run-time=strip` takes it away. Before
    opset 12 ONNX leaves the mask at inference open; it becomes what ONNX Runtime gives, all false.

    Only the operator of ONNX is meant. Those of ONNX Runtime's own training (BiasDropout, DropoutGrad) stay.
    """

    name = "strip-dropout"
    contract = exact
    removes = frozenset({"Dropout"})
    introduces = frozenset({"ConstantOfShape", "Shape"})
    run_time: Literal["keep", "strip"] = option("keep", "a Dropout whose mode the caller chooses at run time")

    def run(self, model: Model, context: Context) -> None:
        training = 0
        with Editor(model) as edit:
            for graph in model.graphs():
                for node in edit.live_nodes(graph):
                    if node.op != "Dropout" or node.domain:
                        continue
                    mode = _mode(node, graph.opset)
                    refusal = self._reason_to_keep(node, mode, graph.opset, edit)
                    if refusal is not None:
                        context.refuse(refusal, node)
                        continue
                    training += mode == "training"
                    made = _make_mask(node, graph.opset, edit) if _is_mask_read(node, edit) else []
                    edit.replace(node.outputs[0], node.inputs[0])
                    edit.remove(node)
                    context.replaced([node], made, rule=mode)
        if training:
            context.note(f"{training} Dropouts were in training mode; the outputs are now those of inference")

    def reference(self, model: Model) -> Model | None:
        """`model` with every Dropout that is to go in inference mode; None where they are."""
        drops = (n for g in model.graphs() for n in g.nodes if n.op == "Dropout" and not n.domain and len(n.inputs) > 2)
        if model.opset >= 7 and not any(drops):
            return None
        model = clone(model)
        for graph in model.graphs():
            for node in graph.nodes:
                if node.op == "Dropout" and not node.domain and _mode(node, graph.opset) in self._modes():
                    node.attrs |= {"is_test": 1} if graph.opset < 7 else {}
                    while len(node.inputs) > 2:
                        node.inputs.pop()
        return model

    def _modes(self) -> tuple[Mode, ...]:
        """The modes in which a Dropout goes."""
        return ("inference", "training", "run time") if self.run_time == "strip" else ("inference", "training")

    def _reason_to_keep(self, node: Node, mode: Mode, opset: int, edit: Editor) -> Refusal | None:
        if mode not in self._modes():
            return Refusal("the caller chooses its mode at run time; run-time=strip removes it")
        if opset < 9 and _is_mask_read(node, edit):
            return Refusal(f"its mask is read, and opset {opset} cannot make it otherwise; convert the opset first")
        if opset == 9 and node.inputs[0].dtype is None and _is_mask_read(node, edit):
            return run_before(INFER_SHAPES, "its mask is read, and has the dtype of the input, which is not known")
        return None


def _mode(node: Node, opset: int) -> Mode:
    """What decides whether `node` drops anything."""
    if opset < 7:
        test = node.attrs.get("is_test", 0)
        return "run time" if not isinstance(test, int) else "inference" if test else "training"
    if opset < 12 or len(node.inputs) < 3 or not node.inputs[2].name:
        return "inference"
    training = schema.constant_of(node.inputs[2])
    return "run time" if training is None else "training" if training.any() else "inference"


def _is_mask_read(node: Node, edit: Editor) -> bool:
    return len(node.outputs) > 1 and edit.is_read(node.outputs[1])


def _make_mask(node: Node, opset: int, edit: Editor) -> list[Node]:
    """Give the readers of the mask a constant: bool, and before opset 10 the dtype of the input."""
    dtype = node.inputs[0].dtype if opset < 10 else None
    fill = Constant("value", np.array([opset >= 12], bool if dtype is None else dtype))
    shape = edit.insert(node, "Shape", [node.inputs[0]])
    mask = edit.insert(node, "ConstantOfShape", shape.outputs, {"value": fill})
    edit.replace(node.outputs[1], mask.outputs[0])
    return [shape, mask]
