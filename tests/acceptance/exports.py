"""Makes the files of the matrix with PyTorch: no hub is asked, and all numbers come from a seed, but MiniLM's.

Every parameter is random, and scaled so that activations keep about unit variance: attention tells tokens apart, a
mask that is ignored moves the outputs, and so does an approximation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
import transformers as hf
from onnx import numpy_helper

from regraft.models import minilm
from tests.acceptance.models import BATCH, SEQUENCE, Subject

HIDDEN, HEADS, LAYERS, INNER, VOCABULARY, POSITIONS = 128, 4, 2, 512, 1024, 128
IMAGE, PATCH = 32, 4
LENGTHS = (16, 9)
"""Real tokens of the rows."""
PADDING = 1
"""The id that fills a row; RoBERTa counts positions by it."""
OPSETS = {"ts": 17, "dyn": 18}
TEXTS = ("A man is playing a large flute on the stage.", "The weather is lovely.")

Arrays = dict[str, Any]
BERT = {
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "intermediate_size": INNER,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": POSITIONS,
}


class Recipe(NamedTuple):
    """How a model is made, and the names of its inputs and outputs."""

    model: Callable[[], torch.nn.Module]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("logits",)


class Ported(torch.nn.Module):
    """A model that takes its inputs by position and gives its outputs as a tuple."""

    def __init__(self, model: torch.nn.Module, recipe: Recipe):
        super().__init__()
        self.model, self.inputs, self.outputs = model, recipe.inputs, recipe.outputs

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(found[name] for name in self.outputs)


class SentenceEncoder(torch.nn.Module):
    """MiniLM: a BERT, and the mean of its real tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = hf.BertModel._from_config(
            hf.BertConfig(hidden_size=384, num_hidden_layers=3, intermediate_size=1536),
            attn_implementation="sdpa",
            add_pooling_layer=False,
        )

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).float()
        mean = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return {"last_hidden_state": tokens, "sentence_embedding": mean}


def sdpa(kind: Any, config: Any) -> torch.nn.Module:
    return kind._from_config(config, attn_implementation="sdpa")


def bert_cls() -> torch.nn.Module:
    return sdpa(hf.BertForSequenceClassification, hf.BertConfig(**BERT, num_labels=3))


def bert_qa() -> torch.nn.Module:
    return sdpa(hf.BertForQuestionAnswering, hf.BertConfig(**BERT))


def distilbert() -> torch.nn.Module:
    config = hf.DistilBertConfig(
        dim=HIDDEN,
        n_heads=HEADS,
        n_layers=LAYERS,
        hidden_dim=INNER,
        vocab_size=VOCABULARY,
        max_position_embeddings=POSITIONS,
        num_labels=3,
    )
    return sdpa(hf.DistilBertForSequenceClassification, config)


def roberta() -> torch.nn.Module:
    places = {"max_position_embeddings": POSITIONS + PADDING + 1}
    config = hf.RobertaConfig(**BERT | places, pad_token_id=PADDING, num_labels=3)
    return sdpa(hf.RobertaForSequenceClassification, config)


def gpt2() -> torch.nn.Module:
    config = hf.GPT2Config(
        n_embd=HIDDEN,
        n_head=HEADS,
        n_layer=LAYERS,
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    return sdpa(hf.GPT2LMHeadModel, config)


def t5_encoder() -> torch.nn.Module:
    config = hf.T5Config(
        d_model=HIDDEN, num_heads=HEADS, d_kv=HIDDEN // HEADS, d_ff=INNER, num_layers=LAYERS, vocab_size=VOCABULARY
    )
    return sdpa(hf.T5EncoderModel, config)


def vit() -> torch.nn.Module:
    sizes = {name: value for name, value in BERT.items() if not name.startswith(("vocab", "max"))}
    return sdpa(hf.ViTForImageClassification, hf.ViTConfig(**sizes, image_size=IMAGE, patch_size=PATCH, num_labels=10))


TEXT = ("input_ids", "attention_mask")
TYPED = (*TEXT, "token_type_ids")
RECIPES = {
    "bert-cls": Recipe(bert_cls, TYPED),
    "bert-qa": Recipe(bert_qa, TYPED, ("start_logits", "end_logits")),
    "distilbert": Recipe(distilbert, TEXT),
    "roberta": Recipe(roberta, TEXT),
    "gpt2": Recipe(gpt2, TEXT),
    "t5-encoder": Recipe(t5_encoder, TEXT, ("last_hidden_state",)),
    "vit": Recipe(vit, ("pixel_values",)),
    "minilm": Recipe(SentenceEncoder, TEXT, ("last_hidden_state", "sentence_embedding")),
}


def export(subject: Subject, folder: Path) -> None:
    """Write the file of `subject`, and beside it a .npz of its inputs (`in_*`) and PyTorch's outputs (`out_*`)."""
    recipe = RECIPES[subject.model]
    torch.manual_seed(0)
    model = Ported(recipe.model().eval(), recipe)
    if subject.name.startswith("t5-encoder-dyn"):
        model.model.set_attn_implementation("eager")  # dynamo of 2.13 fails on its sdpa: "Cannot view a tensor"
    if subject.model == "minilm":
        fill_minilm(model.model)
    else:
        randomize(model.model)
    feeds = sentences() if subject.model == "minilm" else {name: example()[name] for name in recipe.inputs}
    with torch.no_grad():
        found = model(*feeds.values())
    outputs = {name: value.numpy() for name, value in zip(recipe.outputs, found, strict=True)}
    path = subject.file(folder)
    if subject.name == "minilm-ts-dynamic":  # somebody else exported it, by TorchScript of 2.3
        shutil.copyfile(minilm.model_path(), path)
        echoes = dict(zip(("output", "463"), (value.numpy() for value in feeds.values()), strict=True))
        outputs = dict(zip(("onnx::Shape_422", "461"), outputs.values(), strict=True)) | echoes
    else:
        write(model, feeds, recipe, subject, path)
    arrays = {f"in_{name}": value.numpy() for name, value in feeds.items()}
    np.savez_compressed(path.with_suffix(".npz"), **arrays, **{f"out_{name}": value for name, value in outputs.items()})


def write(model: torch.nn.Module, feeds: dict[str, torch.Tensor], recipe: Recipe, subject: Subject, path: Path) -> None:
    """Let PyTorch's exporter do its work."""
    axes = {name: {0: "batch"} if subject.image else {0: "batch", 1: "sequence"} for name in feeds}
    special: dict[str, Any] = {"external_data": False} if subject.exporter == "dyn" else {}
    if subject.shapes == "dynamic":
        shapes = {"dynamic_shapes": {"values": tuple(axes.values())}}
        special |= shapes if subject.exporter == "dyn" else {"dynamic_axes": axes}
    torch.onnx.export(
        model,
        tuple(feeds.values()),
        path,
        dynamo=subject.exporter == "dyn",
        opset_version=OPSETS[subject.exporter],
        input_names=list(feeds),
        output_names=list(recipe.outputs),
        **special,
    )


def randomize(model: torch.nn.Module) -> None:
    """Give every parameter values of the seed that distinguish the channels."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.dim() < 2:
                parameter.copy_((1.0 if "norm" in name.lower() and "bias" not in name else 0.0) + 0.2 * noise)
            elif ("embed" in name and "projection" not in name) or name.endswith(("wte.weight", "wpe.weight")):
                parameter.copy_(noise)
            else:
                fan = parameter[0].numel() if "gpt2" not in type(model).__module__ else parameter.shape[0]
                parameter.copy_(noise / fan**0.5)
            if name.endswith(".q.weight"):  # T5 does not scale its scores
                parameter.div_((HIDDEN // HEADS) ** 0.5)


def example() -> dict[str, torch.Tensor]:
    """Rows of the real lengths, filled up; pictures."""
    random = torch.Generator().manual_seed(1)
    mask = (torch.arange(SEQUENCE)[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(PADDING + 1, VOCABULARY, (BATCH, SEQUENCE), generator=random)
    return {
        "input_ids": torch.where(mask.bool(), ids, PADDING),
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, (BATCH, SEQUENCE), generator=random),
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=random),
    }


def sentences() -> dict[str, torch.Tensor]:
    """Two sentences, filled up."""
    encoded = minilm.encode(TEXTS)
    return {name: torch.from_numpy(np.pad(v, ((0, 0), (0, SEQUENCE - v.shape[1])))) for name, v in encoded.items()}


def fill_minilm(model: torch.nn.Module) -> None:
    """Give `model` the weights of the installed file, whose matrices have lost their names but not their order."""
    proto = onnx.load(minilm.model_path())
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    products = iter(
        numpy_helper.to_array(stored[node.input[1]]).T
        for node in proto.graph.node
        if node.op_type == "MatMul" and node.input[1] in stored
    )
    named = {name.rpartition("auto_model.")[2]: tensor for name, tensor in stored.items()}
    with torch.no_grad():
        for name, parameter in model.bert.named_parameters():
            found = numpy_helper.to_array(named[name]) if name in named else next(products)
            parameter.copy_(torch.from_numpy(found.copy()))
