"""`infer-shapes`: the dtype and shape of every value."""

from __future__ import annotations

from regraft import shapes
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context, Pass
from regraft.verification.contract import exact
from regraft.wording import count


class InferShapes(Pass):
    """Find the dtype and shape of every value, in names of the inputs' dimensions.

    | node | shape before | after |
    |---|---|---|
    | Reshape to (Shape(x)[0], -1, 12, 64) | unknown | batch x seq x 12 x 64 |
    | Concat of past and new keys | unknown | batch x 12 x past + seq x 64 |
    | any, with a declaration that an edit made wrong | the wrong one | the right one, and a note |

    An output that is declared of another shape is mended too. One that is declared of another dtype, or a node whose
    inputs do not fit its operator, is an error.
    """

    name = "infer-shapes"
    contract = exact

    def run(self, model: Model, context: Context) -> None:
        before = _typed(model)
        for line in shapes.infer(model):
            context.note(line)
        if found := _typed(model) - before:
            context.changed(f"types of {count(found, 'value')}")


def _typed(model: Model) -> int:
    """How many values have a dtype and a shape."""
    values = (t for node in model.nodes() for t in node.outputs)
    return sum(1 for t in values if t.dtype is not None and t.shape is not None)
