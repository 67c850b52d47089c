"""externalize-mask on today's transformers: windows, left padding, holes and rows that hide everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.verification.verify import snapshot

CASES = Path(__file__).parents[3] / "shared" / "cases" / "modern"
MASKED = {  # with as many biases: a window has one of its own
    "debertav2.dynamo": 1,
    "gemma2.dynamo": 2,
    "gemma2.torchscript": 2,
    "gemma3.torchscript": 2,
    "mistral.torchscript": 1,
    "modernbert.torchscript": 2,
}
LENGTH = 21
MASKS = {
    "left padding": [[0] * 9 + [1] * 12, [0] * 20 + [1], [1] * LENGTH],
    "right padding": [[1] * 17 + [0] * 4, [1] * 2 + [0] * 19, [1] * LENGTH],
    "holes": [[1, 0, 1] * 7, [0, 1, 1] * 7, [1, 1, 0, 0, 0, 0, 1] * 3],
    "nothing": [[1] * 5 + [0] * 16, [0] * LENGTH, [1] * LENGTH],
}

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")


def worst_at_words(name: str, inputs: dict[str, Any]) -> float:
    """The largest difference at places that are no padding."""
    before, after = regraft.load(CASES / f"{name}.onnx"), regraft.load(CASES / f"{name}.onnx")
    regraft.run(after, "externalize-mask", verify="none")
    assert after.host is not None
    assert sum(tensor.name.startswith("attention_bias") for tensor in after.graph.inputs) == MASKED[name]
    words = inputs["attention_mask"] == 1
    pairs = zip(snapshot(before, inputs).values(), snapshot(after, inputs).values(), strict=True)
    return max(float(np.abs(old - new)[words].max()) for old, new in pairs)


@pytest.mark.parametrize("name", MASKED)
def test_the_inputs_of_the_case(name: str) -> None:
    inputs = dict(np.load(CASES / f"{name.partition('.')[0]}.npz"))
    assert worst_at_words(name, inputs) <= 1e-5


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", MASKED)
def test_padding_of_every_kind(name: str, mask: str) -> None:
    ids = np.random.default_rng(0).integers(3, 190, (3, LENGTH))
    assert worst_at_words(name, {"input_ids": ids, "attention_mask": np.array(MASKS[mask], np.int64)}) <= 1e-5
