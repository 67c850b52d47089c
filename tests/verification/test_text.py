"""Sentences as inputs: which input takes what, padding, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import regraft
from regraft.verification.inputs import InputError
from regraft.verification.runtime import Session
from regraft.verification.text import tokenize

TEXTS = ("a b c", "a")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    words = {"<pad>": 7, "a": 1, "b": 2, "c": 3, "?": 0}
    made = Tokenizer(models.WordLevel(words, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("pytorch/bert-cls-sdpa-ts.onnx", ("input_ids", "attention_mask", "token_type_ids")),
        ("pytorch/distilbert-sdpa-dynamo.onnx", ("input_ids", "attention_mask")),
    ],
)
def test_each_input_gets_its_part(artifacts, tokenizer, file, names):
    model = regraft.load(artifacts / file)
    feeds = tokenize(TEXTS, tokenizer, model)
    assert sorted(feeds) == sorted(names)
    np.testing.assert_array_equal(feeds["input_ids"], [[1, 2, 3], [1, 7, 7]])
    np.testing.assert_array_equal(feeds["attention_mask"], [[1, 1, 1], [1, 0, 0]])
    assert Session(model).run(feeds)


def test_other_names_and_a_fixed_length(artifacts, tokenizer):
    model = regraft.load(artifacts / "tensorflow/tiny_seq32_op18.onnx")
    feeds = tokenize(TEXTS, tokenizer, model)
    ids = next(value for name, value in feeds.items() if "input_ids" in name)
    mask = next(value for name, value in feeds.items() if "mask" in name)
    assert ids.shape == mask.shape == (2, 32)
    assert ids.dtype == np.int32
    assert mask.sum() == 4


def test_long_sentences_are_cut(artifacts, tokenizer):
    model = regraft.load(artifacts / "pytorch/bert-cls-sdpa-ts.onnx")
    assert tokenize(["a " * 1000], tokenizer, model)["input_ids"].shape == (1, 64)


def test_a_batch_of_another_size_is_refused(artifacts, tokenizer):
    model = regraft.load(artifacts / "pytorch/bert-cls-sdpa-ts.onnx")
    for tensor in model.graph.inputs:
        tensor.shape = [3, "seq"]
    with pytest.raises(InputError, match="batches of 3: give 3 texts, not 2"):
        tokenize(TEXTS, tokenizer, model)


def test_a_model_that_takes_no_tokens(artifacts, tokenizer):
    with pytest.raises(InputError, match="takes token ids"):
        tokenize(TEXTS, tokenizer, regraft.load(artifacts / "pytorch/vit-ts.onnx"))
