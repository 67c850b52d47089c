"""What sizes may be called: by the model's own names, or as `batch` and `sequence`, whatever the model calls these."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from regraft.errors import RegraftError, UnknownNameError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.verification.inputs import make_inputs, read_given
from regraft.verification.size_names import example_sizes, known_sizes, own_sizes

TOKENS = "int64[{0}] ids, int64[{0}] mask"


def first_of(inputs: str) -> str:
    return inputs.partition("] ")[2].split(",")[0]


def model(inputs: str) -> Model:
    text = (
        f'<ir_version: 10, opset_import: ["" : 20]>\ng ({inputs}) => (int64[n] y) {{ y = Shape({first_of(inputs)}) }}'
    )
    return from_proto(onnx.parser.parse_model(text))


@pytest.mark.parametrize(
    ("dims", "own"),
    [
        ("batch, sequence", {"batch": (4,), "sequence": (32,)}),
        ("batch_size, seq_len", {"batch_size": (4,), "seq_len": (32,)}),
        ("N, num_tokens", {"N": (4,), "num_tokens": (32,)}),
        ("s0, s1", {"s0": (4,), "s1": (32,)}),
        ("?, ?", {"ids": (4, 32), "mask": (4, 32)}),
        ("4, s1", {"s1": (32,)}),
        ("4, 32", {}),
    ],
)
def test_batch_and_sequence_whatever_the_model_calls_them(dims, own):
    assert own_sizes(model(TOKENS.format(dims)), {"batch": (4,), "sequence": (32,)}) == own


def test_a_shape_and_a_size_of_one_input_add_up():
    found = own_sizes(model(TOKENS.format("?, ?")), {"ids": (None, 32), "batch": (4,)})
    assert found == {"ids": (4, 32), "mask": (4, None)}


@pytest.mark.parametrize(
    ("inputs", "given", "says"),
    [
        (
            TOKENS.format("b, s"),
            {"bach": (4,)},
            "no input or dimension named 'bach'; did you mean 'batch'.* known: b, ",
        ),
        ("float[n, 3, h, w] image", {"sequence": (4,)}, "no input or dimension named 'sequence'; known: batch, "),
        (TOKENS.format("8, s"), {"batch": (4,)}, "'batch' is 8 in the model, not 4"),
        (TOKENS.format("b, s"), {"batch": (4, 4)}, "'batch' is one dimension, not 2"),
        (
            "int64[b, encoder_seq] ids, int64[b, decoder_seq] more",
            {"sequence": (4,)},
            "decoder_seq or encoder_seq: say",
        ),
    ],
)
def test_sizes_that_the_model_has_not(inputs, given, says):
    with pytest.raises(RegraftError, match=says):
        own_sizes(model(inputs), given)


def test_past_tokens_are_no_sequence():
    inputs = "int64[b, s] ids, int64[b, total] mask, float[b, 2, past, 8] cache"
    assert own_sizes(model(inputs.replace("total", "total_length")), {"sequence": (7,)}) == {"s": (7,)}


def test_what_there_is_to_name():
    assert known_sizes(model("float[n, 3, h, w] image")) == ["image", "n", "h", "w", "batch"]
    assert known_sizes(model(TOKENS.format("b, s"))) == ["ids", "mask", "b", "s", "batch", "sequence"]


def test_examples_fix_every_open_dimension():
    assert example_sizes(model(TOKENS.format("b, seq"))) == {"b": (1,), "seq": (128,)}
    assert example_sizes(model(TOKENS.format("?, 8"))) == {"ids": (1, 8), "mask": (1, 8)}
    assert example_sizes(model(TOKENS.format("2, 8"))) == {}


@pytest.mark.parametrize("dims", ["b, s", "?, ?", "batch, length"])
def test_inputs_are_made_at_such_sizes(dims):
    one = model(TOKENS.format(dims))
    made = make_inputs(one, given=read_given(["batch=3", "sequence=5"], one))
    assert {np.shape(value) for value in made.values()} == {(3, 5)}


def test_inputs_of_a_size_that_the_model_has_not():
    with pytest.raises(UnknownNameError, match="no input or dimension named 'bach'; did you mean 'batch'"):
        read_given(["bach=3"], model(TOKENS.format("b, s")))


def test_a_term_of_a_sum_is_a_size():
    one = model('int64[b, s] ids, int64[b, "past + s"] mask')
    assert make_inputs(one, given=read_given(["past=4", "s=3"], one))["mask"].shape[1] == 7
