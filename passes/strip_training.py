"""What a model needs to train, and no one needs to use it, goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from regraft.errors import PassError, UnknownNameError
from regraft.files.convert import clone
from regraft.folding.identities import maker
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import Context, Pass, label
from regraft.refusal import Refusal
from regraft.splitting import drop_inputs
from regraft.verification.contract import interface

_LOSSES = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
_TRAINING = "ai.onnx.preview.training"  # Adam, Adagrad, Momentum, Gradient
_SOURCES = frozenset({*_LOSSES, "BatchNormalization"})


class StripTraining(Pass):
    """Remove labels, losses, optimizers and batch statistics.

    | what | becomes |
    |---|---|
    | an output that depends on a loss, an optimizer, a gradient or new running statistics | dropped, with its nodes |
    | the log-probabilities of a loss | LogSoftmax |
    | an input that nothing reads (any more), such as labels | dropped |
    | BatchNormalization in training mode | inference, by its constant running statistics |
    | `training_info` of the model | dropped |

    A model whose every output comes from a loss or an optimizer is one on purpose and stays. A BatchNormalization whose
    statistics are not constants stays, with a note. Metrics computed from labels without a loss operator are not
    recognised: name them in `drop-outputs`. Losses inside local functions stay. Dropout is for `strip-dropout`.
    """

    name = "strip-training"
    contract = interface
    removes = frozenset(_LOSSES)
    introduces = frozenset({"LogSoftmax"})
    unread_inputs: Literal["drop", "keep"] = option("drop", "what becomes of inputs that nothing read before either")
    keep_inputs: tuple[str, ...] = option((), "inputs to keep though nothing reads them")
    keep_outputs: tuple[str, ...] = option((), "outputs to keep though they are of use in training only")
    drop_outputs: tuple[str, ...] = option((), "more outputs to drop")

    def run(self, model: Model, context: Context) -> None:
        graph = model.graph
        self._check_names(model)
        unread = {t for t in graph.inputs if not t.outputs} if self.unread_inputs == "keep" else set()
        if model.header.training_info:
            model.header.ClearField("training_info")
            context.replaced((), rule="training_info")
            context.note("dropped the model's training_info")
        tainted = _tainted(graph)
        dropped = self._dropped(graph, tainted, context)
        graph.outputs = [tensor for tensor in graph.outputs if tensor not in dropped]
        if model.host is not None:
            names = {tensor.name for tensor in dropped}
            model.host.outputs = [tensor for tensor in model.host.outputs if tensor.name not in names]
        gone = _only_for(dropped, tainted, graph)
        with Editor(model) as edit:
            for node in gone:
                edit.remove(node)
            if gone:
                context.replaced(gone, rule="training")
            for inner in model.graphs():
                for node in edit.live_nodes(inner):
                    if _is_training(node, inner.opset):
                        _normalize_by_constants(node, inner.opset, edit, context)
                    elif node.op == _LOSSES[0] and not node.domain:
                        _keep_log_probabilities(node, inner.opset, edit, context)
        for tensor in dropped:
            context.replaced((), rule="output")
            context.note(f"dropped output {tensor.name}")
        self._drop_inputs(model, unread, context)

    def reference(self, model: Model) -> Model | None:
        """`model` with every BatchNormalization that is to change twice: as it is, and at inference; None without."""
        if not any(_is_training(node, graph.opset) for graph in model.graphs() for node in graph.nodes):
            return None
        model = clone(model)
        with Editor(model) as edit:
            for graph in model.graphs():
                for node in edit.live_nodes(graph):
                    if _is_training(node, graph.opset) and _has_constant_statistics(node):
                        attrs = {"epsilon": node.attrs.get("epsilon", 1e-5)} | (
                            {"is_test": 1} if graph.opset < 7 else {}
                        )
                        infers = edit.insert(node, node.op, node.inputs, attrs)
                        edit.replace(node.outputs[0], infers.outputs[0])
        return model

    def _check_names(self, model: Model) -> None:
        inputs, outputs = ([t.name for t in tensors] for tensors in (model.graph.inputs, model.graph.outputs))
        for kind, given, known in (
            ("input", self.keep_inputs, inputs),
            ("output", (*self.keep_outputs, *self.drop_outputs), outputs),
        ):
            for name in given:
                if name not in known:
                    raise UnknownNameError(kind, name, known)

    def _dropped(self, graph: Graph, tainted: set[Tensor], context: Context) -> list[Tensor]:
        named = [t for t in graph.outputs if t.name in self.drop_outputs]
        found = [t for t in graph.outputs if t in tainted and t.name not in (*self.keep_outputs, *self.drop_outputs)]
        kept = [t for t in graph.outputs if t not in {*named, *found}]
        if found and not any(maker(t, *_LOSSES) is None for t in kept):
            context.refuse(Refusal("all of them come from a loss or an optimizer", heading="kept the outputs"))
            found = []
        if len(named) == len(graph.outputs):
            raise PassError("drop-outputs names every output of the model; leave one")
        return named + found

    def _drop_inputs(self, model: Model, kept: set[Tensor], context: Context) -> None:
        graph = model.graph
        kept = kept.union(graph.outputs, (t for t in graph.inputs if t.name in self.keep_inputs))
        unread = [t for t in graph.inputs if not t.outputs and t not in kept]
        for tensor in unread:
            context.replaced((), rule="unread input")
            context.note(f"dropped input {tensor.name}, which nothing reads")
        drop_inputs(model, unread)


def _tainted(graph: Graph) -> set[Tensor]:
    """What depends on a loss, an optimizer, a gradient or new statistics."""
    if not any(node.domain == _TRAINING or node.op in _SOURCES for node in graph.nodes):
        return set()
    tainted: set[Tensor] = set()
    for node in graph.nodes:
        if node.domain == _TRAINING or any(tensor in tainted for tensor in reads(node)):
            tainted.update(node.outputs)
        elif node.op in _LOSSES and not node.domain:
            tainted.add(node.outputs[0])
        elif _is_training(node, graph.opset) and _has_constant_statistics(node):
            tainted.update(node.outputs[1:])
    return tainted


def _only_for(dropped: list[Tensor], tainted: set[Tensor], graph: Graph) -> list[Node]:
    """The nodes that nothing but what is dropped, or tainted, needs."""
    if not dropped and not tainted:
        return []
    needed, unneeded = _makers(graph.outputs), _makers(dropped)
    return [n for n in graph.nodes if n not in needed and (n in unneeded or not tainted.isdisjoint(n.outputs))]


def _makers(tensors: Iterable[Tensor]) -> set[Node]:
    """The nodes that `tensors` depend on."""
    nodes: set[Node] = set()
    pending = list(tensors)
    while pending:
        for node in pending.pop().inputs:
            if node not in nodes:
                nodes.add(node)
                pending.extend(reads(node))
    return nodes


def _is_training(node: Node, opset: int) -> bool:
    """Whether `node` is a BatchNormalization that normalizes by the statistics of the batch."""
    if node.op != "BatchNormalization" or node.domain:
        return False
    if opset < 7:
        return node.attrs.get("is_test", 0) == 0
    return len(node.outputs) > 1 if opset < 14 else node.attrs.get("training_mode", 0) == 1


def _has_constant_statistics(node: Node) -> bool:
    return all(isinstance(t, Constant) or maker(t, "Constant") is not None for t in node.inputs[3:5])


def _normalize_by_constants(node: Node, opset: int, edit: Editor, context: Context) -> None:
    kept = f"kept {label(node)} in training mode"
    if not _has_constant_statistics(node):
        context.refuse(Refusal("its running statistics are not constants"), node, kept)
    elif any(edit.is_read(tensor) for tensor in node.outputs[1:]):
        context.refuse(Refusal("its new statistics are read"), node, kept)
    else:
        while len(node.outputs) > 1:
            node.outputs.pop()
        node.attrs.pop("training_mode", None)
        if opset < 7:
            node.attrs["is_test"] = 1
        context.replaced([node], [node], rule="running statistics")


def _keep_log_probabilities(node: Node, opset: int, edit: Editor, context: Context) -> None:
    """Where a loss is read for its log-probabilities only, compute just those."""
    if len(node.outputs) < 2 or edit.is_read(node.outputs[0]) or opset < 13:  # LogSoftmax flattened its input before
        return
    made = edit.insert(node, "LogSoftmax", node.inputs[:1], {"axis": 1})
    edit.replace(node.outputs[1], made.outputs[0])
    edit.remove(node)
    context.replaced([node], [made], rule="log-probabilities")
