"""`select-outputs`: the outputs that a caller wants."""

from __future__ import annotations

from regraft.errors import UnknownNameError
from regraft.ir.editor import Editor
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.verification.contract import interface


class SelectOutputs(Pass):
    """Give some of the outputs only, and compute nothing for the others.

        outputs y, hidden, mask  ->  y    outputs=y

    Exporters give what nobody asks for: the inputs again, every hidden state, the attention weights. Each output of a
    device is a transfer, and keeps alive what computes it. The inputs stay.
    """

    name = "select-outputs"
    contract = interface
    removes = EVERY
    outputs: tuple[str, ...] = option(..., "those that stay")

    def run(self, model: Model, context: Context) -> None:
        known = {tensor.name: tensor for tensor in model.graph.outputs}
        for name in self.outputs:
            if name not in known:
                raise UnknownNameError("output", name, known)
        gone = [name for name in known if name not in self.outputs]
        if not gone:
            return
        model.graph.outputs = [known[name] for name in known if name in self.outputs]
        if model.host is not None:
            model.host.outputs = [tensor for tensor in model.host.outputs if tensor.name in self.outputs]
        with Editor(model) as edit:
            context.replaced(edit.remove_unread(model.graph.nodes), rule="only for other outputs")
        context.changed(f"no output {', '.join(gone)}")
