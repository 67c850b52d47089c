"""Makes the fixtures of `pytorch/` that have a reference of their own: `python -m tests.artifacts.make [NAME...]`.

Needs torch (made with 2.13) and transformers (5.23); no test needs them. All numbers are random, of a fixed seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers as hf

FOLDER = Path(__file__).parent / "pytorch"
HIDDEN, HEADS, LAYERS, VOCABULARY, POSITIONS, IMAGE = 32, 4, 2, 100, 64, 16
LENGTHS, SEQUENCE = (12, 7, 1), 12
"""Real lengths of the reference's rows."""
PADDING = 1
"""The id that fills a row; RoBERTa counts positions by it."""
TRACES = {f"pkg.torch.onnx.{key}" for key in ("stack_trace", "fx_node", "class_hierarchy")}

Feeds = dict[str, torch.Tensor]
BERT = {
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 64,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": POSITIONS,
}


@dataclass(frozen=True)
class Fixture:
    """A model and how it is exported.

    Attributes:
        model: makes it, for an attention implementation.
        feeds: the names of the model's inputs; all of `example` when empty.
        output: the name of its output.
        attention: "eager" or "sdpa".
        fold: let the exporter fold constants; it would write a transposed copy of a table that the decoder shares.
        explicit: the mask is given as a bias [batch, 1, 1, sequence], and the positions are given.
    """

    model: Callable[[str], torch.nn.Module]
    feeds: tuple[str, ...]
    output: str = "logits"
    attention: str = "sdpa"
    dynamo: bool = True
    opset: int = 20
    static: bool = False
    fold: bool = True
    explicit: bool = False


def bert(attention: str) -> torch.nn.Module:
    return hf.BertForSequenceClassification._from_config(hf.BertConfig(**BERT), attn_implementation=attention)


def bert_mlm(attention: str) -> torch.nn.Module:
    """Its decoder uses the word embeddings."""
    return hf.BertForMaskedLM._from_config(hf.BertConfig(**BERT), attn_implementation=attention)


def roberta(attention: str) -> torch.nn.Module:
    config = hf.RobertaConfig(**BERT | {"max_position_embeddings": POSITIONS + PADDING + 1}, pad_token_id=PADDING)
    return hf.RobertaForSequenceClassification._from_config(config, attn_implementation=attention)


def gpt2(attention: str) -> torch.nn.Module:
    config = hf.GPT2Config(
        n_embd=HIDDEN,
        n_head=HEADS,
        n_layer=LAYERS,
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        use_cache=False,
        eos_token_id=0,
        bos_token_id=0,
    )
    return hf.GPT2LMHeadModel._from_config(config, attn_implementation=attention)


def t5_encoder(attention: str) -> torch.nn.Module:
    config = hf.T5Config(
        d_model=HIDDEN, num_heads=HEADS, d_kv=HIDDEN // HEADS, d_ff=64, num_layers=LAYERS, vocab_size=VOCABULARY
    )
    return hf.T5EncoderModel._from_config(config, attn_implementation=attention)


def vit(attention: str) -> torch.nn.Module:
    sizes = {name: value for name, value in BERT.items() if not name.startswith(("vocab", "max"))}
    config = hf.ViTConfig(**sizes, image_size=IMAGE, patch_size=4)
    return hf.ViTForImageClassification._from_config(config, attn_implementation=attention)


class Block(torch.nn.Module):
    """A layer of a decoder with merged projections, Einsum and a triangular mask, as many write it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = torch.nn.LayerNorm(HIDDEN), torch.nn.LayerNorm(HIDDEN)
        self.qkv, self.out = torch.nn.Linear(HIDDEN, 3 * HIDDEN), torch.nn.Linear(HIDDEN, HIDDEN)
        self.wide, self.narrow = torch.nn.Linear(HIDDEN, 64), torch.nn.Linear(64, HIDDEN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, sequence, _ = x.shape
        merged = self.qkv(self.before_attention(x)).view(batch, sequence, 3, HEADS, HIDDEN // HEADS)
        q, k, v = merged.unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / (HIDDEN // HEADS) ** 0.5
        visible = torch.tril(torch.ones(sequence, sequence)) > 0
        weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
        x = x + self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))
        return x + self.narrow(torch.nn.functional.gelu(self.wide(self.before_mlp(x)), approximate="tanh"))


class Decoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = torch.nn.Embedding(VOCABULARY, HIDDEN), torch.nn.Embedding(POSITIONS, HIDDEN)
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = torch.nn.LayerNorm(HIDDEN)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        return (self.norm(self.blocks(x)) @ self.words.weight.T,)


def decoder(_: str) -> torch.nn.Module:
    return Decoder()


TEXT = ("input_ids", "attention_mask")
TYPED = (*TEXT, "token_type_ids")
EXPORTERS = {"ts": False, "dynamo": True}
FIXTURES = {
    **{
        f"{model.__name__}-{attention}-{exporter}": Fixture(model, TEXT, attention=attention, dynamo=dynamo)
        for model in (roberta, gpt2)
        for attention in ("eager", "sdpa")
        for exporter, dynamo in EXPORTERS.items()
    },
    **{
        f"{name}-{exporter}": Fixture(*recipe, dynamo=dynamo)
        for name, recipe in {
            "t5-encoder": (t5_encoder, TEXT, "last_hidden_state", "eager"),
            "vit": (vit, ("pixel_values",)),
            "einsum-decoder": (decoder, ("input_ids",)),
        }.items()
        for exporter, dynamo in EXPORTERS.items()
    },
    **{
        f"bert-mlm-tied-{exporter}": Fixture(bert_mlm, TYPED, dynamo=dynamo, fold=False)
        for exporter, dynamo in EXPORTERS.items()
    },
    "bert-cls-sdpa-dynamo-op23": Fixture(bert, TYPED, opset=23),
    "bert-static-dynamo": Fixture(bert, TYPED, static=True, attention="eager"),
    "bert-cls-explicit-dynamo": Fixture(bert, (*TYPED, "position_ids"), attention="eager", explicit=True),
}


class OneOutput(torch.nn.Module):
    """A model that takes the inputs of a fixture by position, and gives its first output."""

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, values, strict=True)))[0]


def example(fixture: Fixture) -> Feeds:
    """The inputs that the reference is for: rows of the real lengths, filled up."""
    random = torch.Generator().manual_seed(1)
    shape = len(LENGTHS), SEQUENCE
    mask = (torch.arange(SEQUENCE)[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(PADDING + 1, VOCABULARY, shape, generator=random)
    feeds = {
        "input_ids": torch.where(mask.bool(), ids, PADDING),
        "attention_mask": (1.0 - mask[:, None, None, :].float()) * -10_000.0 if fixture.explicit else mask,
        "token_type_ids": torch.randint(0, 2, shape, generator=random),
        "position_ids": torch.arange(SEQUENCE)[None].repeat(len(LENGTHS), 1),
        "pixel_values": torch.randn(len(LENGTHS), 3, IMAGE, IMAGE, generator=random),
    }
    return {name: feeds[name] for name in fixture.feeds}


def axes(fixture: Fixture) -> dict[str, dict[int, str]]:
    """The dynamic axes of the inputs, by name."""
    if fixture.static:
        return {name: {} for name in fixture.feeds}
    special = {"pixel_values": {0: "batch"}}
    if fixture.explicit:
        special["attention_mask"] = {0: "batch", 3: "sequence"}
    return {name: special.get(name, {0: "batch", 1: "sequence"}) for name in fixture.feeds}


def make(name: str, fixture: Fixture) -> None:
    """Write the fixture `name`, and its reference beside it."""
    torch.manual_seed(0)
    model = OneOutput(fixture.model(fixture.attention), fixture.feeds).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and scales that distinguish the channels
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        feeds = example(fixture)
        result = model(*feeds.values())
    path = FOLDER / f"{name}.onnx"
    dynamic = axes(fixture)
    shapes: dict[str, Any] = (
        {"dynamic_shapes": {"values": tuple(dynamic.values())}, "external_data": False, "optimize": fixture.fold}
        if fixture.dynamo
        else {"dynamic_axes": dynamic, "do_constant_folding": fixture.fold}
    )
    torch.onnx.export(
        model,
        tuple(feeds.values()),
        path,
        dynamo=fixture.dynamo,
        opset_version=fixture.opset,
        input_names=list(feeds),
        output_names=[fixture.output],
        **shapes,
    )
    strip_traces(path)
    arrays = {f"in_{key}": value.numpy() for key, value in feeds.items()} | {f"out_{fixture.output}": result.numpy()}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)


def strip_traces(path: Path) -> None:
    """Take the traces of the Python source, most of a small file, out of the metadata."""
    model = onnx.load(path)
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        for entry in [entry for entry in node.metadata_props if entry.key in TRACES]:
            node.metadata_props.remove(entry)
    onnx.save(model, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or FIXTURES:
        make(name, FIXTURES[name])
