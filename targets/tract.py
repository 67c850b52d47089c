"""tract, an engine in Rust, for the CPU."""

from __future__ import annotations

from regraft.ir.model import Model
from regraft.pipelines.pipeline import Pipeline
from regraft.targeting.compiler import Compiler


class Tract(Compiler):
    """tract, for the CPU; it runs on one thread.

    The result states no shapes of values inside: where they depend on open dimensions tract derives them its own way,
    and refuses those that are said another way.
    """

    name = "tract"
    package = "tract"
    versions = ">=0.23,<0.24"
    install = "pip install 'regraft[tract]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "lower-attention,lower-one-hot,simplify-gather,simplify-mask,narrow-integers,fold-constants,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code,strip-value-info"
    )

    def pipeline_for(self, model: Model) -> Pipeline:
        """The pipeline; integers become narrow only where they are summed up, as that is what needs it."""
        counts = any(node.op == "CumSum" for node in model.nodes())
        pipeline = Pipeline(self.pipeline)
        return pipeline if counts else pipeline.without("narrow-integers")
