"""Sentences as the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.verification.input_roles import input_role, longest_sequence
from regraft.verification.inputs import InputError, reader
from regraft.verification.signature import Port
from regraft.wording import count

_MADE_BY_TOKENIZER = {"index": "input_ids", "mask": "attention_mask", "segment": "token_type_ids"}


class Tokenizer:
    """Turns sentences into a model's token ids, masks and segments. It recognises inputs by their names and by the
    graph. Sentences are padded to the longest, or to the fixed length of the model, and cut at its longest.

    Args:
        path: a folder that Hugging Face's tokenizer was saved to, a `tokenizer.json`, or BERT's `vocab.txt`.

    Attributes:
        inputs: those that it produces, by name.
        batch: the fixed number of sentences of the model; None: any number.

    Raises:
        InputError: there is no tokenizer, or the model takes no token ids.
    """

    def __init__(self, path: Path, model: Model):
        ports = {v.name: (Port.of_variable(v), v) for v in model.inputs}
        self._made = {name: made for name, (port, v) in ports.items() if (made := _made(port, reader(v, model)))}
        if "input_ids" not in self._made.values():
            raise InputError(f"none of the inputs takes token ids: {', '.join(ports)}; give arrays with --inputs")
        self.inputs = {name: ports[name][0] for name in self._made}
        shape = next(self.inputs[name].shape for name, made in self._made.items() if made == "input_ids") or ()
        batch, length = shape if len(shape) == 2 else (None, None)
        self.batch = batch if isinstance(batch, int) else None
        self._encoder = _open(path)
        padding = {"direction": "right", "pad_id": _padding(self._encoder), **(self._encoder.padding or {})}
        self._encoder.enable_padding(**{**padding, "length": length if isinstance(length, int) else None})
        if limit := length if isinstance(length, int) else longest_sequence(model):
            self._encoder.enable_truncation(limit)

    def __call__(self, texts: Sequence[str]) -> dict[str, Any]:
        """The inputs by name, [texts, tokens] each."""
        encodings = self._encoder.encode_batch(list(texts))
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        return {name: np.array(columns[made], self.inputs[name].dtype) for name, made in self._made.items()}


def tokenize(texts: Sequence[str], tokenizer: Path, model: Model) -> dict[str, Any]:
    """The inputs of `model` for `texts`; see `Tokenizer`.

    Raises:
        InputError: there is no tokenizer, or the model demands another number of sentences.
    """
    made = Tokenizer(tokenizer, model)
    if made.batch is not None and made.batch != len(texts):
        raise InputError(f"the model takes batches of {made.batch}: give {count(made.batch, 'text')}, not {len(texts)}")
    return made(texts)


def _made(port: Port, variable: Variable) -> str | None:
    """Which of a tokenizer's results belongs to an input."""
    if port.kind != "tensor" or port.shape is None or len(port.shape) != 2:
        return None
    return _MADE_BY_TOKENIZER.get(input_role(variable, port).kind)


def _open(path: Path) -> Any:
    import tokenizers
    from tokenizers.implementations import BertWordPieceTokenizer

    if not path.exists():
        raise InputError(f"no tokenizer at {path}: name a folder, a tokenizer.json or a vocab.txt")
    try:
        if path.is_dir():
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(str(path), local_files_only=True).backend_tokenizer
        read = tokenizers.Tokenizer.from_file if path.suffix == ".json" else BertWordPieceTokenizer
        return read(str(path))
    except Exception as error:  # the libraries raise whatever their parsers do
        raise InputError(f"cannot read the tokenizer {path}: {' '.join(str(error).split())[:200]}") from error


def _padding(encoder: Any) -> int:
    found = (encoder.token_to_id(token) for token in ("[PAD]", "<pad>", "<|endoftext|>"))
    return next((number for number in found if number is not None), 0)
