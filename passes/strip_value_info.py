"""The stated types of values inside the graph, taken off."""

from __future__ import annotations

from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context, Pass
from regraft.verification.contract import exact
from regraft.wording import count


class StripValueInfo(Pass):
    """Remove the dtypes and shapes that the model states of values inside the graph.

    What reads the model infers them itself. Inputs and outputs keep theirs, and so do the bodies of If, Loop and Scan;
    values that are no tensors keep their types.
    """

    name = "strip-value-info"
    contract = exact

    def run(self, model: Model, context: Context) -> None:
        stripped = 0
        for graph in model.graphs():
            ends = {*graph.inputs, *graph.outputs}
            for node in graph.nodes:
                for value in node.outputs:
                    if isinstance(value, Variable) and value not in ends and value.info is None:
                        stripped += value.dtype is not None
                        value.dtype = value.shape = None
        if stripped:
            context.changed(f"types of {count(stripped, 'value')}")
