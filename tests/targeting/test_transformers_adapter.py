"""A compiled bundle in a pipeline of transformers gives the labels and scores of the model that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.errors import TargetError
from regraft.runtime import transformers_model
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.target import read_target
from tests.shares import diagonal

torch = pytest.importorskip("torch", reason="needs the extra 'torch'")
pytest.importorskip("onnxscript", reason="needs the extra 'torch'")
hf = pytest.importorskip("transformers")

TEXT = "the new design of your website is awful i really like it would be great if you gave us feedback not sure . , !"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()]
TEXTS = [
    "I really like the new design of your website!",
    "I not sure if I like the new design.",
    "The new design is awful!",
    "It would be great if you gave us feedback!",
]
SIZE = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
}
TASKS = {
    "text-classification": ("BertForSequenceClassification", {"num_labels": 5}),
    "token-classification": ("BertForTokenClassification", {"num_labels": 3}),
    "fill-mask": ("BertForMaskedLM", {}),
    "feature-extraction": ("BertModel", {}),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return hf.BertTokenizerFast(vocab={word: place for place, word in enumerate(WORDS)})


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, tuple[Any, Path]]:
    """By task, the model and the folder that it was saved to."""
    made = {}
    for task, (name, more) in TASKS.items():
        torch.manual_seed(0)
        model = getattr(hf, name)(hf.BertConfig(**SIZE, **more)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        folder = tmp_path_factory.mktemp(task)
        model.save_pretrained(folder)
        made[task] = model, folder
    return made


def answers(task: str, model: Any, tokenizer: Any) -> Any:
    texts = [text.replace("design", "[MASK]") for text in TEXTS[:3]] if task == "fill-mask" else TEXTS
    more: dict[str, Any] = {"top_k": None} if task == "text-classification" else {}
    return hf.pipeline(task, model=model, tokenizer=tokenizer, batch_size=2)(texts, **more)


def assert_alike(found: Any, expected: Any, tolerance: float) -> None:
    """Labels and words are the same, numbers within a tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key], tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other, tolerance)
    elif isinstance(expected, float | np.floating):
        assert found == pytest.approx(expected, abs=tolerance)
    else:
        assert found == expected


@pytest.mark.parametrize(("sizes", "task"), diagonal(2, ["", "batch=2,sequence=24"], TASKS))
def test_a_compiled_bundle_in_a_pipeline(models, tokenizer, tmp_path, task, sizes):
    model, folder = models[task]
    build_bundle(regraft.open_source(folder), read_target(f"moody{{{sizes}}}"), tmp_path / "bundle")
    replaced = transformers_model(tmp_path / "bundle", model.config)
    assert_alike(answers(task, replaced, tokenizer), answers(task, model, tokenizer), 1e-5)


def test_half_precision_with_a_host(models, tokenizer, tmp_path):
    task = "text-classification"
    model, folder = models[task]
    pipeline = "externalize-embeddings,externalize-mask,convert-fp16"
    build_bundle(regraft.open_source(folder), read_target("moody"), tmp_path / "bundle", pipeline=pipeline)
    replaced = transformers_model(tmp_path / "bundle", model.config)
    expected, found = answers(task, model, tokenizer), answers(task, replaced, tokenizer)
    assert_alike([one[0]["label"] for one in found], [one[0]["label"] for one in expected], 0)
    assert_alike(found, expected, 1e-2)


def test_what_is_too_long_is_refused(models, tokenizer, tmp_path):
    model, folder = models["text-classification"]
    build_bundle(regraft.open_source(folder), read_target("moody{batch=1,sequence=4}"), tmp_path / "bundle")
    replaced = transformers_model(tmp_path / "bundle", model.config)
    with pytest.raises(TargetError, match=r"is \[1, \d+\], and the bundle takes \[1, 4\]"):
        answers("text-classification", replaced, tokenizer)
