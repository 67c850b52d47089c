"""Encoders of today's families and the heads that users put on them, small and random, exported by torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import nn

HIDDEN, HEADS, LAYERS, WORDS, POSITIONS = 32, 4, 2, 100, 96
SIZES = {
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 64,
    "vocab_size": WORDS,
    "max_position_embeddings": POSITIONS,
}


def _mpnet(attention: str) -> nn.Module:
    return hf.MPNetModel(hf.MPNetConfig(**SIZES | {"max_position_embeddings": POSITIONS + 2}))


def _deberta(attention: str) -> nn.Module:
    more = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "share_att_key": True}
    return hf.DebertaV2Model(
        hf.DebertaV2Config(**SIZES, **more, norm_rel_ebd="layer_norm", position_biased_input=False)
    )


def _modernbert(attention: str) -> nn.Module:
    config = hf.ModernBertConfig(**SIZES, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0)
    return hf.ModernBertModel._from_config(config, attn_implementation=attention)


def _t5(attention: str) -> nn.Module:
    return hf.T5EncoderModel(
        hf.T5Config(vocab_size=WORDS, d_model=HIDDEN, d_kv=8, d_ff=64, num_layers=LAYERS, num_heads=HEADS)
    )


def _of(config: Callable[..., Any], model: Any, **more: Any) -> Callable[[str], nn.Module]:
    return lambda attention: model._from_config(config(**SIZES | more), attn_implementation=attention)


FAMILIES: dict[str, Callable[[str], nn.Module]] = {
    "bert": _of(hf.BertConfig, hf.BertModel),
    "distilbert": lambda attention: hf.DistilBertModel._from_config(
        hf.DistilBertConfig(vocab_size=WORDS, dim=HIDDEN, n_heads=HEADS, n_layers=LAYERS, hidden_dim=64),
        attn_implementation=attention,
    ),
    "roberta": _of(hf.RobertaConfig, hf.RobertaModel, max_position_embeddings=POSITIONS + 2, pad_token_id=1),
    "xlm-roberta": _of(hf.XLMRobertaConfig, hf.XLMRobertaModel, max_position_embeddings=POSITIONS + 2, pad_token_id=1),
    "electra": _of(hf.ElectraConfig, hf.ElectraModel, embedding_size=16),
    "albert": _of(hf.AlbertConfig, hf.AlbertModel, embedding_size=16),
    "mpnet": _mpnet,
    "t5": _t5,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
    "nomic-like rotary": _of(hf.RoFormerConfig, hf.RoFormerModel, embedding_size=HIDDEN),
}
"""Families by name; each takes an attention implementation, which not all heed."""


class Head(nn.Module):
    """What is made of the hidden states [B, S, H], and of the mask [B, S]."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.dense, self.score = nn.Linear(HIDDEN, 8), nn.Linear(HIDDEN, 1)
        self.answer, self.words = nn.Linear(HIDDEN, 2), nn.Linear(HIDDEN, WORDS)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        seen = mask.unsqueeze(-1).to(x.dtype)
        total, count = (x * seen).sum(1), seen.sum(1).clamp(min=1)
        match self.kind:
            case "tokens":
                return x
            case "cls":
                return self.dense(x[:, 0])
            case "mean":
                return total / count
            case "mean, L2":
                return nn.functional.normalize(self.dense(total / count), dim=-1)
            case "max":
                return x.masked_fill(seen == 0, -1e9).max(1).values
            case "root length":
                return total / count.sqrt()
            case "weighted":
                weights = seen * torch.arange(1, x.shape[1] + 1, dtype=x.dtype).unsqueeze(-1)
                return (x * weights).sum(1) / weights.sum(1).clamp(min=1)
            case "attention":
                scores = self.score(x).masked_fill(seen == 0, -1e4)
                return (torch.softmax(scores, 1) * x).sum(1)
            case "splade":
                return (torch.log1p(torch.relu(self.words(x))) * seen).max(1).values
            case "colbert":
                return nn.functional.normalize(self.dense(x), dim=-1) * seen
            case "qa":
                logits = self.answer(x).masked_fill(seen == 0, -1e4)
                return tuple(torch.softmax(part, 1).squeeze(-1) for part in logits.split(1, -1))
            case "several":
                return x, total / count, torch.tanh(self.dense(x[:, 0]))
        raise ValueError(self.kind)


HEADS_OF_USERS = ("tokens", "cls", "mean", "mean, L2", "max", "root length", "weighted", "attention", "splade")
HEADS_OF_USERS += ("colbert", "qa", "several")


class Encoder(nn.Module):
    """A model of a family with a head."""

    def __init__(self, family: str, head: str, attention: str):
        super().__init__()
        self.body, self.head = FAMILIES[family](attention), Head(head)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.head(self.body(input_ids=input_ids, attention_mask=attention_mask)[0], attention_mask)


def export(folder: Path, family: str, head: str = "mean", attention: str = "sdpa", dynamo: bool = False) -> Path:
    """The ONNX file of an encoder."""
    torch.manual_seed(0)
    model = Encoder(family, head, attention).eval()
    mask = torch.ones(2, 11, dtype=torch.int64)
    mask[1, 7:] = 0
    ids = torch.randint(2, WORDS, (2, 11)) * mask
    path = folder / f"{family}-{head}-{attention}-{'dynamo' if dynamo else 'ts'}.onnx".replace(" ", "_").replace(
        ",", ""
    )
    names = ["input_ids", "attention_mask"]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if dynamo:
            batch, sequence = torch.export.Dim("batch", max=64), torch.export.Dim("sequence", max=POSITIONS - 2)
            dims = {name: {0: batch, 1: sequence} for name in names}
            program = torch.onnx.export(
                model, (ids, mask), input_names=names, dynamic_shapes=dims, dynamo=True, verbose=False
            )
            program.save(path)
        else:
            axes = {name: {0: "batch", 1: "sequence"} for name in names}
            torch.onnx.export(
                model, (ids, mask), path, input_names=names, dynamic_axes=axes, dynamo=False, opset_version=17
            )
    return path
