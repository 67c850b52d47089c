"""A transformer in stages, one for each layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from regraft.errors import PassError
from regraft.idioms.attention import find_attentions
from regraft.idioms.layers import Layer, find_layers
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import Refusal
from regraft.shapes import analyse
from regraft.splitting.stage_labels import assign, mark
from regraft.verification.contract import exact
from regraft.wording import count


class SplitLayers(Pass):
    """Mark which layer each node is of, so that the model is saved as a chain of stages.

    | stage | from | to |
    |---|---|---|
    | `embeddings` | the inputs | the hidden state of the first layer; masks and what else several layers share |
    | `layer.N` | a hidden state | the next, after the normalization of a layer that normalizes its sum |
    | `layer.N.attention`, `layer.N.feed-forward` | with `per=block` | a layer in two |
    | `head` | the last hidden state | the outputs |

    The graph stays as it is: the marks are metadata of its nodes, and passes that run later keep them. Where an input
    is the first hidden state, what several layers share is in a stage `shared`, if there is any. Sizes that layers
    reshape to are forwarded like masks; after fold-constants few are left, after set-shapes none.

    A model where no value holds all that goes from one layer to the next is refused.
    """

    name = "split-layers"
    contract = exact
    needs = (TYPES,)
    per: Literal["layer", "block"] = option("layer", "stages for whole layers, or for attention and feed-forward apart")

    def run(self, model: Model, context: Context) -> None:
        layers = find_layers(model.graph, find_attentions(model.graph, analyse(model)))
        if isinstance(layers, Refusal):
            raise PassError(replace(layers, heading="the model has no layers to split"))
        names, boundaries = ["embeddings" if layers[0].start.inputs else "shared"], [layers[0].start]
        for number, layer in enumerate(layers):
            for name, end in self._parts(f"layer.{number}", layer, context):
                names.append(name)
                boundaries.append(end)
        if mark(model, assign(model.graph, boundaries), [*names, "head"]):
            context.changed(f"{count(len(layers), 'layer')} in stages")

    def _parts(self, name: str, layer: Layer, context: Context) -> list[tuple[str, Tensor]]:
        """The stages of a layer, and what each ends with."""
        if self.per == "layer":
            return [(name, layer.end)]
        if layer.middle is None:
            apart = "attention and feed-forward are not one after the other"
            context.refuse(Refusal(apart, heading=f"{name} stays whole"))
            return [(name, layer.end)]
        return [(f"{name}.attention", layer.middle), (f"{name}.feed-forward", layer.end)]
