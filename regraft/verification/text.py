"""Sentences as the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.verification.inputs import InputError, reader
from regraft.verification.meaning import longest_sequence, meaning
from regraft.verification.signature import Port

_MADE_BY_TOKENIZER = {"index": "input_ids", "mask": "attention_mask", "segment": "token_type_ids"}


def tokenize(texts: Sequence[str], tokenizer: Path, model: Model) -> dict[str, Any]:
    """The token ids, masks and segments that `model` takes for `texts`.

    Which input is which is read off its name and off the graph. Sentences are padded to the longest, or to the length
    that the model demands, and cut at what it can take.

    Args:
        tokenizer: a folder that Hugging Face's tokenizer was saved to, a `tokenizer.json`, or BERT's `vocab.txt`.

    Raises:
        InputError: there is no tokenizer, or the model demands another number of sentences.
    """
    ports = {v.name: (Port.of_variable(v), v) for v in model.inputs}
    wanted = {name: made for name, (port, v) in ports.items() if (made := _made(port, reader(v, model)))}
    if "input_ids" not in wanted.values():
        raise InputError(f"none of the inputs takes token ids: {', '.join(ports)}; give arrays with --inputs")
    shape = next(ports[name][0].shape for name, made in wanted.items() if made == "input_ids") or ()
    batch, length = shape if len(shape) == 2 else (None, None)
    if isinstance(batch, int) and batch != len(texts):
        raise InputError(f"the model takes batches of {batch}: give {batch} texts, not {len(texts)}")
    encoder = _open(tokenizer)
    padding = {"direction": "right", "pad_id": _padding(encoder), **(encoder.padding or {})}
    encoder.enable_padding(**{**padding, "length": length if isinstance(length, int) else None})
    if limit := length if isinstance(length, int) else longest_sequence(model):
        encoder.enable_truncation(limit)
    encodings = encoder.encode_batch(list(texts))
    columns = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    return {name: np.array(columns[made], ports[name][0].dtype) for name, made in wanted.items()}


def _made(port: Port, variable: Variable) -> str | None:
    """Which of a tokenizer's results an input takes."""
    if port.kind != "tensor" or port.shape is None or len(port.shape) != 2:
        return None
    return _MADE_BY_TOKENIZER.get(meaning(variable, port).kind)


def _open(path: Path) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    if not path.exists():
        raise InputError(f"no tokenizer at {path}: name a folder, a tokenizer.json or a vocab.txt")
    try:
        if path.is_dir():
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(str(path), local_files_only=True).backend_tokenizer
        return Tokenizer.from_file(str(path)) if path.suffix == ".json" else BertWordPieceTokenizer(str(path))
    except Exception as error:  # the libraries raise whatever their parsers do
        raise InputError(f"cannot read the tokenizer {path}: {' '.join(str(error).split())[:200]}") from error


def _padding(encoder: Any) -> int:
    found = (encoder.token_to_id(token) for token in ("[PAD]", "<pad>", "<|endoftext|>"))
    return next((number for number in found if number is not None), 0)
