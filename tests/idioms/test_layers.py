"""The layers of a transformer, in graphs written as text: where each begins, what its middle is, where it ends."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.files.convert import clone, from_proto
from regraft.idioms.attention import find_attentions
from regraft.idioms.layers import find_layers
from regraft.ir.model import Model
from regraft.refusal import Refusal
from regraft.shapes import analyse, declare_types
from regraft.splitting.stages import run_chain, stages
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot


class Text:
    """A decoder or encoder, line by line; names tell what a value is."""

    def __init__(self, norm: str):
        self.norm, self.lines = norm, ["x0 = Relu (x)"]

    def attention(self, name: str, hidden: str, keys: str) -> str:
        """Attention to `keys`, its products scaled so that Softmax does not saturate."""
        self.lines += [
            f"{name}_q = MatMul ({hidden}, w)",
            f"{name}_k = MatMul ({keys}, w)",
            f"{name}_v = MatMul ({keys}, w)",
            f"{name}_t = Transpose <perm=[0,2,1]> ({name}_k)",
            f"{name}_s = MatMul ({name}_q, {name}_t)",
            f"{name}_m = Add ({name}_s, bias)" if keys == hidden else f"{name}_m = Identity ({name}_s)",
            f"{name}_p = Softmax <axis=-1> ({name}_m)",
            f"{name}_c = MatMul ({name}_p, {name}_v)",
            f"{name}_o = MatMul ({name}_c, w)",
        ]
        return f"{name}_o"

    def feed_forward(self, name: str, hidden: str) -> str:
        self.lines += [
            f"{name}_1 = MatMul ({hidden}, w)",
            f"{name}_2 = Relu ({name}_1)",
            f"{name}_o = MatMul ({name}_2, w)",
        ]
        return f"{name}_o"

    def normal(self, hidden: str) -> str:
        self.lines.append(f"{hidden}_n = LayerNormalization ({hidden}, g)")
        return f"{hidden}_n"

    def residual(self, name: str, hidden: str, block) -> str:
        made = block(self.normal(hidden) if self.norm == "before" else hidden)
        self.lines.append(f"{name} = Add ({hidden}, {made})")
        return self.normal(name) if self.norm == "after" else name

    def layer(self, n: int, hidden: str, cross: bool) -> str:
        hidden = self.residual(f"a{n}", hidden, lambda h: self.attention(f"self{n}", h, h))
        if cross:
            hidden = self.residual(f"c{n}", hidden, lambda h: self.attention(f"cross{n}", h, "memory"))
        return self.residual(f"f{n}", hidden, lambda h: self.feed_forward(f"ff{n}", h))


def build(norm: str, count: int, cross: bool = False, more: tuple[str, ...] = ()) -> Model:
    """`count` layers of width 8, and a head; `more` values are outputs too."""
    text = Text(norm)
    hidden = "x0"
    for n in range(count):
        hidden = text.layer(n, hidden, cross)
    if norm == "before":
        hidden = text.normal(hidden)
    text.lines += [f"logits = MatMul ({hidden}, w)", "y = Softmax (logits)"]
    outputs = ", ".join(f"float[] {name}" for name in ("y", *more))
    given = "float[B,S,8] x, float[S,S] bias" + (", float[B,T,8] memory" if cross else "")
    weights = np.random.default_rng(0).normal(0, 0.4, 64)
    numbers = ", ".join(f"{number:.4f}" for number in weights)
    model = from_proto(
        onnx.parser.parse_model(
            f"""<ir_version: 9, opset_import: ["" : 18]>
            g ({given}) => ({outputs}) <float[8,8] w = {{{numbers}}}, float[8] g = {{1,2,1,2,1,2,1,2}}>
            {{ {" ".join(text.lines)} }}"""
        )
    )
    declare_types(model)
    return model


def layers_of(model: Model) -> list[tuple[str, ...]]:
    found = find_layers(model.graph, find_attentions(model.graph, analyse(model)))
    assert isinstance(found, list), found
    return [tuple(t.name for t in (layer.start, layer.middle, layer.end) if t is not None) for layer in found]


def assert_chain_equals(model: Model, pipeline: str) -> list[str]:
    whole = clone(model)
    regraft.run(model, pipeline)
    inputs = make_inputs(whole)
    found = run_chain(stages(model), inputs)
    for name, value in snapshot(whole, inputs).items():
        np.testing.assert_array_equal(found[name], value)
    return [stage.name for stage in stages(model)]


ENDS = {  # normalization: the first layer's start, middle and end
    "none": ("x0", "a0", "f0"),
    "before": ("x0", "a0", "f0"),
    "after": ("x0", "a0_n", "f0_n"),
}


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("norm", ENDS)
def test_where_a_sum_is_normalized_decides_where_a_layer_ends(norm: str, count: int) -> None:
    found = layers_of(build(norm, count))
    _, middle, end = ENDS[norm]
    expected = [(middle.replace("0", str(n)), end.replace("0", str(n))) for n in range(count)]
    assert [layer[1:] for layer in found] == expected
    assert [layer[0] for layer in found] == ["x0", *(end for _, end in expected[:-1])]


@pytest.mark.parametrize("norm", ENDS)
def test_attention_to_an_encoder_is_of_the_same_layer(norm: str) -> None:
    model = build(norm, 2, cross=True)
    suffix = "_n" if norm == "after" else ""
    assert [layer[1:] for layer in layers_of(model)] == [(f"c{n}{suffix}", f"f{n}{suffix}") for n in (0, 1)]
    names = assert_chain_equals(model, "split-layers{per=block}")
    assert names == ["embeddings", *(f"layer.{n}.{p}" for n in (0, 1) for p in ("attention", "feed-forward")), "head"]


@pytest.mark.parametrize("norm", ENDS)
def test_values_that_are_outputs_too_change_nothing(norm: str) -> None:
    more = ("x0", "self0_p", "self1_k", "f0", "a1", "f1")
    model = build(norm, 2, more=more)
    assert layers_of(model) == layers_of(build(norm, 2))
    assert_chain_equals(model, "split-layers{per=block}")
    made = {stage.name: stage.results for stage in stages(model)}
    assert made["embeddings"] == ("x0",)
    assert {"self1_k", "a1"} <= set(made["layer.1.attention"])
    assert made["head"] == ("y",)


def test_an_encoder_and_a_decoder_in_one_graph_are_refused() -> None:
    model = build("none", 1, cross=True)
    encoder = build("none", 1)
    for node in encoder.graph.nodes:
        for tensor in node.outputs:
            tensor.name = f"encoder_{tensor.name}"
    memory = next(t for t in model.graph.inputs if t.name == "memory")
    last = encoder.graph.nodes[-3].outputs[0]
    for node in list(memory.outputs):
        node.inputs = [last if t is memory else t for t in node.inputs]
    model.graph.nodes[:0] = encoder.graph.nodes
    model.graph.inputs = [t for t in model.graph.inputs if t is not memory]
    found = find_layers(model.graph, find_attentions(model.graph, analyse(model)))
    assert isinstance(found, Refusal)
    assert "does not follow the first" in found.reason
