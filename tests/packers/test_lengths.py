"""Packed is as alone in every form: the lengths of PopRT's example on a real encoder, any lengths on a small one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft
from regraft.batching.form import Form, Row
from regraft.batching.policy import ByTokens, Padded
from regraft.batching.ways import Way, find_ways
from regraft.models.minilm import model_path
from regraft.runtime import Session
from regraft.runtime.packing import read_lengths
from regraft.verification.runtime import RuntimeFailure

SHAPE = "rows=16,tokens=256,max-valid-num=40"
FORMS = {
    "segments": "pack-sequences",
    "segments, fixed": f"pack-sequences{{{SHAPE}}}",
    "gather": "unpack-attention",
    "static": f"unpack-attention{{form=static,{SHAPE},segment-max-size=256}}",
    "bucket": "unpack-attention{form=bucket}",
    "loop": "simplify-gather,simplify-mask,unpack-attention{form=loop}",
}
SMALL = Path(__file__).parents[1] / "artifacts" / "pytorch" / "bert-qa-eager-dynamo.onnx"
ROWS, TOKENS, MOST = 3, 24, 6


def _rows(form: Form, lengths: list[int]) -> list[Row]:
    random = np.random.default_rng(0)
    made = []
    for length in lengths:
        ids = random.integers(1000, 20000, (1, length))
        made += form.rows({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return made


def _answers(way: Way, rows: list[Row]) -> list[dict[str, np.ndarray]]:
    found: dict[int, dict[str, np.ndarray]] = {}
    for group in way.groups(rows):
        found |= zip(group, way.call([rows[i] for i in group]), strict=True)
    return [found[i] for i in range(len(rows))]


def _difference(found: list[dict[str, Any]], right: list[dict[str, Any]]) -> float:
    pairs = [
        (one[name][tuple(map(slice, value.shape))].astype(np.float64), value)
        for one, alone in zip(found, right, strict=True)
        for name, value in alone.items()
    ]
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs)


def _way(pipeline: str) -> Way:
    model = regraft.load(model_path())
    if pipeline:
        regraft.run(model, pipeline)
    form, run = Form.of(model), Session(model, optimize=True).run
    if form.ragged:
        return Way("", form, run, ByTokens(1024))
    if form.packing is None:
        return Way("", form, run, Padded(16))
    return find_ways("", form, run, batch=16, longest=256)[0]


@cache
def _alone() -> tuple[list[Row], list[dict[str, np.ndarray]]]:
    way = _way("")
    rows = _rows(way.form, read_lengths("seed004").values.tolist())
    return rows, [way.call([row])[0] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_the_lengths_of_poprts_example(form: str) -> None:
    rows, right = _alone()
    assert len(rows) == 1600
    assert _difference(_answers(_way(FORMS[form]), rows), right) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_in_half_precision_packing_costs_nothing_more(form: str) -> None:
    """Both are held against float32, on the first lengths of the same."""
    rows, right = (part[:48] for part in _alone())
    padded = _difference(_answers(_way("convert-fp16"), rows), right)
    assert _difference(_answers(_way(f"{FORMS[form]},convert-fp16"), rows), right) <= 1.25 * padded


@cache
def _small(pipeline: str) -> tuple[Form, Session]:
    model = regraft.load(SMALL)
    if pipeline:
        regraft.run(model, pipeline)
    return Form.of(model), Session(model)


@settings(max_examples=25)
@given(st.lists(st.integers(1, TOKENS), min_size=1, max_size=MOST), st.booleans(), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(
    "pipeline",
    [
        f"pack-sequences{{rows={ROWS},tokens={TOKENS},max-valid-num={MOST}}}",
        f"unpack-attention{{form=static,rows={ROWS},tokens={TOKENS},max-valid-num={MOST},segment-max-size={TOKENS}}}",
        *("pack-sequences", "unpack-attention", "unpack-attention{form=bucket,bucket-sizes={5,11}}"),
        FORMS["loop"],
    ],
)
def test_any_lengths(pipeline: str, lengths: list[int], left: bool, seed: int) -> None:
    """Padded on either side; what does not fit a fixed shape is refused, and never answered."""
    form, before = _small("")
    packed, after = _small(pipeline)
    random, longest = np.random.default_rng(seed), max(lengths)
    shown = np.arange(longest) < np.array(lengths)[:, None]
    shown = shown[:, ::-1] if left else shown
    made = {"attention_mask": shown.astype(np.int64), "input_ids": random.integers(2, 99, shown.shape)}
    made["token_type_ids"] = random.integers(0, 2, shown.shape)
    feeds = {port.name: made[port.name] for port in form.inputs}
    fits = packed.packed is None or not packed.packed.misfit(feeds)
    if not fits:
        with pytest.raises(RuntimeFailure, match="does not fit"):
            after.run(feeds)
        return
    found = after.run(feeds)
    right = before.run(feeds)
    for name, value in right.items():
        assert np.abs(found[name] - value)[shown].max() <= 1e-5
