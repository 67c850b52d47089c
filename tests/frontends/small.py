"""Small models of transformers, with a seed; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

from tests.artifacts.make import (
    BERT,
    HEADS,
    HIDDEN,
    LAYERS,
    POSITIONS,
    VOCABULARY,
    bert,
    bert_mlm,
    gpt2,
    roberta,
    t5_encoder,
    vit,
)


def bert_qa(attention: str) -> Any:
    return hf.BertForQuestionAnswering._from_config(hf.BertConfig(**BERT), attn_implementation=attention)


def distilbert(attention: str) -> Any:
    config = hf.DistilBertConfig(
        dim=HIDDEN,
        n_heads=HEADS,
        n_layers=LAYERS,
        hidden_dim=64,
        vocab_size=VOCABULARY,
        max_position_embeddings=POSITIONS,
    )
    return hf.DistilBertForSequenceClassification._from_config(config, attn_implementation=attention)


_MODELS: dict[str, Callable[[str], Any]] = {
    make.__name__: make for make in (bert, bert_mlm, bert_qa, distilbert, roberta, gpt2, t5_encoder, vit)
}


def small(name: str) -> Any:
    """The model of that name, of random numbers: biases and scales too, which distinguish the channels."""
    torch.manual_seed(0)
    model = _MODELS[name]("sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model
