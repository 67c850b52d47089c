"""Trials: sizes that fit together, values of every kind, and inputs that the model runs on."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest

from regraft.cli.parameters import trials
from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.verification.inputs import CEILING, Given, InputError, make_inputs
from regraft.verification.runtime import Session
from regraft.verification.samples import sample
from regraft.verification.trials import TRIALS, Trial


def parse(text: str, opset: int = 20) -> Model:
    return from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]>\n{text}'))


def shapes(model: Model, **options: Any) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(value) for name, value in make_inputs(model, **options).items()}


def trial(name: str) -> Trial:
    return next(one for one in TRIALS if one.name.startswith(name))


CACHE = """g (int64[batch, {total}] attention_mask, int64[batch, sequence] ids, float[batch, 2, past_sequence, 4] past)
    => (float[] y) {{ y = Identity(past) }}"""


@pytest.mark.parametrize("total", ["total_sequence", "total"])
def test_a_total_length_is_the_sum_of_the_others(total: str) -> None:
    assert shapes(parse(CACHE.format(total=total)))["attention_mask"] == (2, 32)


@pytest.mark.parametrize("total", ["past_sequence + sequence", "sequence + past_sequence"])
def test_sums_are_solved_whatever_the_order(total: str) -> None:
    model = parse(CACHE.format(total="t"))
    next(v for v in model.graph.inputs if v.name == "attention_mask").shape = ["batch", total]
    assert shapes(model)["attention_mask"] == (2, 32)
    given = shapes(model, given=Given(shapes={"attention_mask": (2, 9), "past": (2, 2, 4, 4)}))
    assert given["ids"] == (2, 5)


def test_trials_differ_in_size() -> None:
    model = parse("g (float[batch, seq] x) => (float[] y) { y = Neg(x) }")
    found = [shapes(model, trial=one)["x"] for one in TRIALS]
    assert found == [(2, 16), (3, 17), (2, 7), (1, 1), (2, 17), (1, 5), (9, 71)]


def test_trials_differ_in_kind() -> None:
    text = "g (float[b, s] x, int64[b, s] n, bool[b, s] mask) => (float[] y) { y = Where(mask, x, x) }"
    made = {one.name: make_inputs(parse(text), trial=one) for one in TRIALS}
    large, negative = made["large values, odd sizes"], made["negative values"]
    assert np.abs(large["x"]).max() > 60
    assert (large["x"][0] > 0).all()
    assert np.abs(large["n"]).max() > 2**31
    assert (negative["x"] < 0).all()
    assert negative["n"].min() < 0 < negative["n"].max()
    ties = made["ties, odd sizes"]["x"]
    assert len(np.unique(ties)) < ties.size / 2
    zeros = made["zeros"]["x"]
    assert not zeros.any()
    assert len(np.unique(np.signbit(zeros))) == 2
    masks = {name: values["mask"] for name, values in made.items()}
    assert masks["zeros"].all()
    assert not masks["ties, odd sizes"][-1].any()
    assert not masks["large values, odd sizes"][-1][0]
    holes = masks["negative values"][-1]
    assert (np.diff(holes.astype(int)) > 0).any()


def test_what_a_size_depends_on_stays_small() -> None:
    model = parse("g (float[n, 4] x, int64[2] times) => (float[] y) { y = Tile(x, times) }")
    found = [make_inputs(model, trial=one)["times"] for one in TRIALS]
    assert found[0].max() <= 1
    assert all(0 < times.min() <= times.max() <= 40 for times in found[1:5])


def test_a_default_is_overridden_in_some_trial() -> None:
    model = parse("g (float[n, 4] x, float[1] k) => (float[] y) <float[1] k = {2}> { y = Mul(x, k) }")
    overridden = [make_inputs(model, trial=one).get("k") for one in TRIALS]
    assert any(value is not None and value[0] != 2 for value in overridden)
    assert overridden[0] is None


def test_labels_are_those_that_the_encoder_knows_and_one_more() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 20, "ai.onnx.ml" : 3]>
        g (int64[n] x) => (float[n] y) {
            y = ai.onnx.ml.LabelEncoder <keys_int64s: ints = [3, 70], values_floats: floats = [1.0, 2.0]> (x) }"""
    )
    found = {int(n) for one in TRIALS for n in make_inputs(from_proto(proto), trial=one)["x"]}
    assert found == {3, 70, 71}


def test_a_ceiling_on_what_is_made() -> None:
    model = parse(f"g (float[{CEILING}, 8] x) => (float[] y) {{ y = Neg(x) }}")
    with pytest.raises(
        InputError, match=r"input 'x' of shape .* would take 32.0 GiB, and made inputs have 1 GiB in all"
    ):
        make_inputs(model)


def samples(model: Model, **options: Any) -> list[Any]:
    return sample(model, Session(model).run, **options)


def test_sizes_are_searched_until_the_model_runs() -> None:
    pads = '<int64[4] pads = {0, 40, 0, 40}> { y = Pad <mode = "reflect"> (x, pads) }'
    found = samples(parse(f"g (float[batch, samples] x) => (float[] y) {pads}"))
    assert found[0].inputs["x"].shape[1] > 40
    assert len(found) > 3


def test_indices_that_are_computed_are_searched_until_the_model_runs() -> None:
    text = "g (int64[b, s] ids) => (float[] y) <int64 k = {3}, float[4, 1] t = {1, 2, 3, 4}>"
    found = samples(parse(f"{text} {{ i = Mul(ids, k) y = Gather(t, i) }}"))
    assert found[0].inputs["ids"].max() == 1


def test_the_model_that_runs_on_nothing_says_so() -> None:
    model = parse("g (float[n, 4] x) => (float[] y) <int64[1] no = {7}> { y = Reshape(x, no) }")
    with pytest.raises(InputError, match=r"the inputs were made, at \d+ sizes: give real ones with --inputs FILE.npz"):
        samples(model)


def test_given_inputs_are_the_only_trial() -> None:
    model = parse("g (float[n, 4] x) => (float[] y) { y = Neg(x) }")
    (only,) = samples(model, given=Given(values={"x": np.ones((5, 4), np.float32)}))
    assert only.inputs["x"].shape == (5, 4)
    with pytest.raises(RegraftError, match="takes float32"):
        samples(model, given=Given(values={"x": np.ones((5, 3), np.float32)}))
    assert len(samples(model, count=1)) == 1


def test_an_if_takes_both_branches() -> None:
    text = """g (float[b, s] x) => (float[] y) <float zero = {0}> {
    sum = ReduceSum <keepdims = 0> (x) c = Greater(sum, zero)
    y = If (c) <then_branch = t () => (float[] a) { a = Neg(x) }, else_branch = e () => (float[] b) { b = Abs(x) }> }"""
    found = samples(parse(text))
    assert {bool((one.outputs["y"] == -one.inputs["x"]).all()) for one in found if one.inputs["x"].any()} == {
        True,
        False,
    }


def test_places_are_those_of_another_input() -> None:
    text = "g (float[nodes, 4] x, int64[edges] ends) => (float[] y) { y = Gather(x, ends) }"
    found = [make_inputs(parse(text), trial=one) for one in TRIALS]
    assert all(0 <= one["ends"].min() <= one["ends"].max() < len(one["x"]) for one in found)
    assert max(one["ends"].max() for one in found) > 3


def test_what_the_model_asks_for_is_tried() -> None:
    text = "g (float[n, 4] x, int64[n, 4] z) => (bool[] y) <float f = {2.7}, int64 k = {40}>"
    made = make_inputs(parse(f"{text} {{ a = Greater(x, f) b = Less(z, k) y = And(a, b) }}"), trial=trial("long"))
    assert {np.float32(2.7), np.float32(2.7 * 1.01)} <= set(made["x"].reshape(-1))
    assert {39, 40, 41} <= set(made["z"].reshape(-1))


def test_positions_start_where_a_row_is_seen() -> None:
    text = "g (int64[b, s] position_ids) => (int64[] y) { y = Neg(position_ids) }"
    made = make_inputs(parse(text), trial=trial("large"))["position_ids"]
    assert (made[:, 0] == made[:, 1]).all()
    assert (np.diff(made) >= 0).all()
    assert len({tuple(row) for row in made}) == len(made)


def test_the_command_line_has_as_many() -> None:
    """It says the number itself, so that it starts without numpy."""
    option = trials(lambda: None).__click_params__[0]
    assert (option.default, option.type.max) == (len(TRIALS), len(TRIALS))
