"""Masks of other shapes than [batch, sequence], and an attention that has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.errors import PassError
from regraft.runtime import Session
from tests.packing.test_passes import PIPELINES
from tests.shares import diagonal

torch = pytest.importorskip("torch", reason="the encoders are made by torch")
from torch import nn  # noqa: E402

HIDDEN, HEADS, LAYERS = 32, 4, 2
AXES: dict[str, dict[int, str]] = {
    "[B, 1, 1, S]": {0: "batch", 3: "seq"},
    "[B, S, S]": {0: "batch", 1: "seq", 2: "seq"},
    "[B, 1, S, S]": {0: "batch", 2: "seq", 3: "seq"},
}


class Encoder(nn.Module):
    """Layers of attention, masked as `biases` says of each."""

    def __init__(self, biases: list[Callable[[Any], Any]], maps: bool = False):
        super().__init__()
        self.maps = maps
        self.words, self.biases = nn.Embedding(100, HIDDEN), biases
        self.layers = nn.ModuleList(nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(4)) for _ in biases)

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        x = self.words(input_ids)
        for (q, k, v, out), bias in zip(self.layers, self.biases, strict=True):
            q, k, v = (one(x).view(*x.shape[:2], HEADS, HIDDEN // HEADS).transpose(1, 2) for one in (q, k, v))
            scores = q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5 + bias(attention_mask)
            weights = scores.softmax(-1)
            x = x + out((weights @ v).transpose(1, 2).reshape(x.shape))
        return (x, weights) if self.maps else x


def _hiding(mask: Any) -> Any:
    return (1 - (mask if mask.dim() == 4 else mask[:, None]).float()) * -10000.0


def _export(path: Path, encoder: Encoder, shape: tuple[int, ...], axes: dict[int, str]) -> Path:
    given = torch.ones(2, 7, dtype=torch.long), torch.ones(*shape, dtype=torch.long)
    torch.onnx.export(
        encoder.eval(),
        given,
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden", "maps"][: 1 + encoder.maps],
        dynamic_axes={"input_ids": {0: "batch", 1: "seq"}, "attention_mask": axes},
        opset_version=17,
        dynamo=False,
    )
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", diagonal(3, AXES))
def test_masks_of_other_shapes(kind: str, tmp_path: Path) -> None:
    axes = AXES[kind]
    shape = [1] * (4 if "1" in kind else 3)
    for axis, name in axes.items():
        shape[axis] = {"batch": 2, "seq": 7}[name]
    path = _export(tmp_path / "model.onnx", Encoder([_hiding] * LAYERS), tuple(shape), axes)
    random = np.random.default_rng(0)
    lengths = np.array([9, 3, 12])
    shown = np.arange(12) < lengths[:, None]
    pairs = shown[:, None, :] & shown[:, :, None] & (np.tril(np.ones((12, 12))) > 0)
    mask = {"[B, 1, 1, S]": shown[:, None, None], "[B, S, S]": pairs, "[B, 1, S, S]": pairs[:, None]}[kind]
    feeds = {"input_ids": random.integers(0, 100, (3, 12)), "attention_mask": mask.astype(np.int64)}
    right = Session(path).run(feeds)["hidden"]
    for pipeline in PIPELINES.values():
        model = regraft.load(path)
        report = regraft.run(model, pipeline, verify="final")
        assert report.drift is not None
        assert report.drift.max_abs <= 1e-5
        found = Session(model).run(feeds)["hidden"]
        assert np.abs(found - right)[shown].max() <= 1e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", PIPELINES)
def test_an_attention_without_a_mask_is_refused(form: str, tmp_path: Path) -> None:
    """Padding counts in it: packed it would be another model."""
    biases = [lambda mask: _hiding(mask[:, None, None]), lambda mask: 0.0]
    path = _export(tmp_path / "model.onnx", Encoder(biases), (2, 7), {0: "batch", 1: "seq"})
    with pytest.raises(PassError, match="sees padding: 'attention_mask' does not reach it"):
        regraft.run(regraft.load(path), PIPELINES[form])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", PIPELINES)
def test_attention_maps_are_left_out(form: str, tmp_path: Path) -> None:
    encoder = Encoder([lambda mask: _hiding(mask[:, None, None])] * LAYERS, maps=True)
    path = _export(tmp_path / "model.onnx", encoder, (2, 7), {0: "batch", 1: "seq"})
    with pytest.raises(PassError, match="output 'maps' is of pairs of tokens"):
        regraft.run(regraft.load(path), PIPELINES[form])
    regraft.run(regraft.load(path), f"select-outputs{{outputs=hidden}},{PIPELINES[form]}", verify="final")
