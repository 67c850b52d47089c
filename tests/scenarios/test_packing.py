"""PopRT's example of packing, from the export to bundles for PopRT and for ONNX Runtime, by one command each.

The example converts BERT-SQuAD for 16 × 256 with `--pack_args max_valid_num=40 segment_max_size=256`, and draws 1,600
lengths of up to 256. The model here has 64 positions, so that lengths and sizes are a quarter of these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.runtime import Session
from regraft.runtime.packing import Limits, first_fit, next_fit, read_lengths
from tests.shares import diagonal
from tests.targets.scripts import FAKES, call

MODEL = "pytorch/transformers-4.25.1-bert-qa/model.onnx"
ROWS, TOKENS, MOST = 16, 64, 40
SIZES = f"rows={ROWS},tokens={TOKENS},max-valid-num={MOST},segment-max-size={TOKENS}"
ACROSS, IN_ROWS = f"unpack-attention{{form=static,{SIZES}", f"pack-sequences{{{SIZES}"
BATCHES = 3
"""Of the 52 that the lengths make."""


def run(*arguments: str) -> None:
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def bundles(artifacts, tmp_path_factory) -> Path:
    folder, model = tmp_path_factory.mktemp("packing"), str(artifacts / MODEL)
    for name, packing in (("across", ACROSS), ("rows", IN_ROWS)):
        run(
            "compile",
            model,
            "--target",
            "poprt",
            "--first",
            f"{packing},dialect=poprt}}",
            "-o",
            f"{folder}/poprt-{name}",
        )
        run("rewrite", model, "--target", "onnxruntime", "--pipeline", packing + "}", "-o", f"{folder}/runtime-{name}")
    return folder


def batches(across_rows: bool) -> Iterator[np.ndarray]:
    """The lengths of the first batches, in the order in which they come."""
    lengths = np.clip(read_lengths("seed004").values // 4, 1, TOKENS)[: BATCHES * MOST]
    pack = next_fit if across_rows else first_fit
    groups = pack(lengths, Limits(TOKENS, ROWS, MOST, across_rows)).groups()[:BATCHES]
    assert min(map(len, groups)) > ROWS, "more sequences than rows, or nothing is packed"
    yield from (lengths[group] for group in groups)


def padded(lengths: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    random, shape = np.random.default_rng(seed), (len(lengths), int(lengths.max()))
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    ids, types = random.integers(1, 200, shape) * mask, random.integers(0, 2, shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def worst(found: dict[str, np.ndarray], feeds: dict[str, np.ndarray], alone: Session) -> float:
    """How far each sequence lies from what the original gives for it alone."""
    errors = []
    for row, length in enumerate(feeds["attention_mask"].sum(axis=1)):
        right = alone.run({name: value[row : row + 1, :length] for name, value in feeds.items()})
        errors += [np.abs(found[name][row, :length] - value[0]).max() for name, value in right.items()]
    return float(max(errors))


@pytest.mark.parametrize("name", diagonal(3, ["poprt-across", "poprt-rows", "runtime-across", "runtime-rows"]))
def test_each_sequence_is_as_if_run_alone(name, bundles, artifacts):
    alone, packed = Session(regraft.load(artifacts / MODEL)), Session(bundles / name)
    for lengths in batches(across_rows=name.endswith("across")):
        feeds = padded(lengths)
        assert worst(packed.run(feeds), feeds, alone) <= 1e-5


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [("poprt-across", "unpack_info"), ("poprt-across", "position_ids"), ("poprt-rows", "segment_ids")],
)
def test_a_wrong_input_is_seen(name, spoiled, bundles, artifacts):
    """A length that is off by one, positions that go on, segments that are one."""
    model = regraft.load(bundles / name)
    feeds = padded(next(batches(across_rows=name.endswith("across"))))
    fed, device = Session(model).device_inputs(feeds), Session(model.device)
    value = fed[spoiled].copy()
    match spoiled:
        case "unpack_info":
            value[0] -= 1
        case "position_ids":
            value[:] = np.arange(TOKENS)
        case "segment_ids":
            value[:] = 1
    alone = Session(regraft.load(artifacts / MODEL))
    assert worst(device.run(fed), feeds, alone) <= 1e-5
    assert worst(device.run({**fed, spoiled: value}), feeds, alone) > 1e-3


def test_what_poprt_gets(bundles):
    manifest = json.loads((bundles / "poprt-across/manifest.json").read_text())
    assert manifest["handoff"]["legality"]["share"] == 1.0
    said = json.loads((bundles / "poprt-across/handoff.json").read_text())
    assert said["pack_runner"] == {
        "timeout_microseconds": 15_000,
        "max_valid_num": MOST,
        "dynamic_input_name": "input_ids",
    }
    line = said["command_line"]
    assert line[line.index("--input_model") + 1] == "poprt.onnx"
    tokens = f"{ROWS},{TOKENS}"
    expected = {f"unpack_info={MOST},1", *(f"{name}_ids={tokens}" for name in ("input", "token_type", "position"))}
    assert expected == set(line[line.index("--input_shape") + 1 : line.index("--precision")])


@pytest.mark.parametrize(("name", "operator", "calls"), [("across", "Unpack", 8), ("rows", "AttentionMask", 1)])
def test_poprt_converts_it_where_it_is(name, operator, calls, bundles):
    """A stand-in with operators of its own, and none of the functions: it fills padding with other numbers."""
    folder = bundles / f"poprt-{name}"
    done = call(folder, "convert.py", *(["--online"] if name == "across" else []), PYTHONPATH=str(FAKES))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("end_logits: max abs error") == (2 if name == "across" else 1)
    model = onnx.load(folder / "poprt.onnx")
    assert not model.functions
    assert [node.op_type for node in model.graph.node if node.domain] == [operator] * calls
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 11, "ai.graphcore": 1}


def test_onnx_runtime_gets_operators_of_onnx_alone(bundles):
    for name in ("across", "rows"):
        model = onnx.load(bundles / f"runtime-{name}/device.onnx")
        assert not model.functions
        assert {node.domain for node in model.graph.node} == {""}
