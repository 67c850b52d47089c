"""PopRT's operators for packing: what they mean, what the device then takes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import regraft
from regraft.errors import PassError, RegraftError
from regraft.legality.share import share
from regraft.runtime import Session
from regraft.targeting.target import read_target
from tests.shares import every

QA = "pytorch/transformers-4.25.1-bert-qa/model.onnx"
STATIC = "form=static,rows=4,tokens=64,max-valid-num=8,segment-max-size=64"
UNPACK = f"unpack-attention{{{STATIC},dialect=poprt}}"
SEGMENTS = "pack-sequences{rows=4,tokens=64,dialect=poprt}"
LENGTHS = np.array([9, 30, 1, 64, 7])


def _packed(artifacts: Path, pipeline: str, name: str = QA) -> regraft.Model:
    model = regraft.load(artifacts / name)
    regraft.run(model, pipeline)
    return model


def _calls(model: regraft.Model) -> list[str]:
    return [node.op for node in model.graph.nodes if node.domain == "ai.graphcore"]


def _feeds(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Padded on the right."""
    random, shape = np.random.default_rng(0), (len(lengths), int(lengths.max()))
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    ids, types = random.integers(2, 99, shape) * mask, random.integers(0, 2, shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@pytest.mark.parametrize(
    ("name", "pipeline", "operators"),
    every(
        2,
        [
            (QA, UNPACK, ["Unpack"] * 8),
            (QA, SEGMENTS, ["AttentionMask"]),
            ("pytorch/roberta-eager-dynamo.onnx", UNPACK, ["Unpack"] * 7),
            ("pytorch/t5-encoder-ts.onnx", UNPACK, ["Unpack"] * 7),
            ("pytorch/gpt2-eager-ts.onnx", SEGMENTS, ["AttentionMask"]),
        ],
    ),
)
def test_verified_and_taken_by_poprt(name, pipeline, operators, artifacts):
    """Queries, keys and values of both layers are unpacked, and what the model gives."""
    model, target = regraft.load(artifacts / name), read_target("poprt")
    report = regraft.run(model, pipeline, verify="final")
    assert report.drift is not None
    assert report.drift.compared
    assert _calls(model) == operators
    target.prepare(model, verify="final")
    assert _calls(model) == operators
    assert target.check(model) == []
    assert share(target.judge(model)).of_macs == 1.0


def test_the_device_takes_what_pack_data_of_the_example_makes(artifacts):
    """Tokens of sequences one behind the other, positions that begin anew, and lengths [max_valid_num, 1]."""
    model, feeds = _packed(artifacts, UNPACK), _feeds(LENGTHS)
    fed = Session(model).device_inputs(feeds)
    assert set(fed) == {"input_ids", "token_type_ids", "position_ids", "unpack_info"}
    assert fed["unpack_info"].dtype == np.int32
    np.testing.assert_array_equal(fed["unpack_info"], [[9], [30], [1], [64], [7], [0], [0], [0]])
    shown = feeds["attention_mask"].astype(bool)
    for name in ("input_ids", "token_type_ids"):
        assert fed[name].shape == (4, 64)
        np.testing.assert_array_equal(fed[name].reshape(-1)[: shown.sum()], feeds[name][shown])
    positions = np.concatenate([np.arange(length) for length in LENGTHS])
    np.testing.assert_array_equal(fed["position_ids"].reshape(-1)[: shown.sum()], positions)


def test_attributes_and_shapes_are_those_of_the_example(artifacts):
    model = _packed(artifacts, UNPACK)
    for node in model.graph.nodes:
        if node.op == "Unpack":
            x, info = node.inputs
            assert (list(x.shape)[:2], len(x.shape), list(info.shape)) == ([4, 64], 3, [8, 1])
            assert node.attrs == {"max_valid_num": 8, "segment_max_size": [64]}
            assert list(node.outputs[0].shape) == [8, 64, x.shape[2]]
    (mask,) = (node for node in _packed(artifacts, SEGMENTS).graph.nodes if node.op == "AttentionMask")
    assert mask.attrs == {"dataType": "FLOAT"}
    assert list(mask.inputs[1].shape) == [4, 4, 64, 64]


@pytest.mark.parametrize("pipeline", [UNPACK, SEGMENTS])
def test_each_sequence_is_as_if_run_alone(pipeline, artifacts):
    """Also where one has no token, so that the next one begins at its place."""
    alone, packed = Session(regraft.load(artifacts / QA)), Session(_packed(artifacts, pipeline))
    for lengths in (LENGTHS, np.array([5, 0, 3, 2]), np.array([64, 64, 64, 64]), np.array([1])):
        feeds = _feeds(lengths)
        found = packed.run(feeds)
        for row, length in enumerate(lengths):
            if length:
                right = alone.run({key: value[row : row + 1, :length] for key, value in feeds.items()})
                for key, value in right.items():
                    assert np.abs(found[key][row : row + 1, :length] - value).max() <= 1e-5


@pytest.mark.parametrize(
    ("pipeline", "spoiled", "wrong"),
    [
        (UNPACK, "unpack_info", lambda value: value + np.array([[1], [-1], [0], [0], [0], [0], [0], [0]])),
        (UNPACK, "position_ids", lambda value: np.arange(value.size).reshape(value.shape) % 64),
        (SEGMENTS, "segment_ids", lambda value: np.minimum(value, 1)),
    ],
)
def test_negative_controls(pipeline, spoiled, wrong, artifacts):
    model = _packed(artifacts, pipeline)
    fed, device = Session(model).device_inputs(_feeds(LENGTHS)), Session(model.device)
    right = device.run(fed)
    found = device.run({**fed, spoiled: wrong(fed[spoiled]).astype(fed[spoiled].dtype)})
    shown = np.arange(64) < LENGTHS[:, None]
    assert max(np.abs(found[name] - right[name])[: len(LENGTHS)][shown].max() for name in right) > 1e-3


def test_padding_in_front_is_refused(artifacts):
    session, feeds = Session(_packed(artifacts, UNPACK)), _feeds(np.array([5, 5]))
    feeds["attention_mask"][1] = [0, 1, 1, 1, 1]
    with pytest.raises(RegraftError, match="sequence 1 has padding before a token; PopRT's Unpack takes it behind"):
        session.run(feeds)


@pytest.mark.parametrize(
    ("name", "pipeline", "reason"),
    [
        (QA, "unpack-attention{dialect=poprt}", "dialect=poprt goes with form=static"),
        (QA, "unpack-attention{form=loop,dialect=poprt}", "dialect=poprt goes with form=static"),
        (QA, "pack-sequences{dialect=poprt}", "dialect=poprt needs rows and tokens"),
        ("pytorch/bert-cls-sdpa-dynamo-op23.onnx", SEGMENTS, "put lower-attention in front"),
    ],
)
def test_refused(name, pipeline, reason, artifacts):
    with pytest.raises(PassError, match=reason):
        _packed(artifacts, pipeline, name)


def test_a_mask_of_another_shape_is_refused(artifacts):
    """[B, 1, 1, S], which packing takes, with a Cast in the place of what widened the other."""
    model = regraft.load(artifacts / QA)
    (mask,) = (tensor for tensor in model.inputs if tensor.name == "attention_mask")
    with regraft.Editor(model) as edit:
        (first,) = (node for node in edit.users(mask) if node.op == "Unsqueeze")
        (second,) = edit.users(first.outputs[0])
        edit.replace(second.outputs[0], mask)
        mask.shape = [mask.shape[0], 1, 1, mask.shape[1]]
    regraft.run(model, "eliminate-dead-code")
    with pytest.raises(PassError, match="PopRT's Unpack is told lengths"):
        regraft.run(model, UNPACK)


def test_attention_is_lowered_in_front(artifacts):
    model = _packed(artifacts, f"lower-attention,{SEGMENTS}", "pytorch/bert-cls-sdpa-dynamo-op23.onnx")
    assert _calls(model) == ["AttentionMask"]


def test_other_targets_get_standard_operators_or_say_that_they_take_none_of_it(artifacts):
    model, target = _packed(artifacts, UNPACK), read_target("bladedisc")
    (violation,) = [one for one in read_target("neuron-inf1").check(model) if "local functions" in one.reason]
    assert violation.mend == ("inline-functions",)
    target.prepare(model, verify="final")
    assert _calls(model) == []
    assert target.check(model) == []
