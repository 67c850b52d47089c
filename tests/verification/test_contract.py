from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from regraft.verification.contract import approximation, combine, exact, interface, precision, reassociation
from regraft.verification.deviation import cosine

RNG = np.random.default_rng(0)
VALUES = RNG.standard_normal((8, 64)).astype(np.float32)


def drift_of(contract, before, after, **options):
    return contract.check({"y": np.asarray(before)}, {"y": np.asarray(after)}, **options)


def nudged(values, ulps):
    """Every value moved by ``ulps`` ulps of its own."""
    return (values.astype(np.float64) * (1 + ulps * ml_dtypes.finfo(values.dtype).eps)).astype(values.dtype)


@pytest.mark.parametrize(
    "contract", [exact, reassociation, approximation(1e-3), precision(1e-2, 1e-2), interface], ids=str
)
def test_equal_outputs_meet_every_contract(contract):
    drift = drift_of(contract, VALUES, VALUES.copy())
    assert drift.passed
    assert drift.outputs[0].max_abs == 0
    assert drift.outputs[0].cosine == 1


@pytest.mark.parametrize(
    ("contract", "before", "after", "passed"),
    [
        (exact, VALUES, nudged(VALUES, 1), False),
        (reassociation, VALUES, nudged(VALUES, 12), True),
        (reassociation, VALUES, nudged(VALUES, 100), False),
        (reassociation, VALUES.astype(np.float16), nudged(VALUES.astype(np.float16), 12), True),
        (reassociation, np.float32([1e-9, 1, 1]), np.float32([2e-8, 1, 1]), True),
        (reassociation, np.float32([1e-9, 1, 1]), np.float32([1e-3, 1, 1]), False),
        (reassociation, np.float32([-3e38, 1, 1]), np.float32([-3e38, 1.01, 1]), False),
        (approximation(1e-3), VALUES, VALUES + np.float32(9e-4), True),
        (approximation(1e-3), VALUES, VALUES + np.float32(1.2e-3), False),
        (precision(1e-2, 1e-3), VALUES, VALUES.astype(np.float16), True),
        (precision(1e-6, 1e-6), VALUES, VALUES.astype(np.float16), False),
        (exact, np.array([1, 2]), np.array([1, 3]), False),
        (precision(1.0, 10.0), np.array([1, 2]), np.array([1, 3]), False),
        (exact, np.array(["a", "b"], object), np.array(["a", "b"], object), True),
        (exact, np.array(["a", "b"], object), np.array(["a", "c"], object), False),
        (exact, np.array([True]), np.array([False]), False),
        (exact, np.float32([0.0]), np.float32([-0.0]), True),
    ],
)
def test_contract_is_kept_or_broken(contract, before, after, passed):
    drift = drift_of(contract, before, after)
    assert drift.passed is passed
    assert bool(drift.failures) is not passed


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        ([np.nan, 1], [np.nan, 1], True),
        ([np.inf, 1], [np.inf, 1], True),
        ([np.inf, 1], [-np.inf, 1], False),
        ([1, 1], [np.nan, 1], False),
        ([np.nan, 1], [1, 1], False),
        ([-3e38, 1], [-np.inf, 1], False),
    ],
)
@pytest.mark.parametrize("contract", [exact, precision(1.0, 1.0)], ids=str)
def test_nan_and_infinity_must_stay_where_they_are(contract, before, after, passed):
    drift = drift_of(contract, np.float32(before), np.float32(after))
    assert drift.passed is passed
    if not passed:
        assert "NaN or infinity" in str(drift)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (VALUES.reshape(64, 8), "shape [8, 64] became [64, 8]"),
        (VALUES.astype(np.float64), "dtype float32 became float64"),
    ],
)
def test_another_shape_or_dtype_fails_with_the_reason(after, reason):
    drift = drift_of(reassociation, VALUES, after)
    assert not drift.passed
    assert drift.outputs[0].reason == reason


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_small_floats_are_floats(dtype):
    assert drift_of(reassociation, VALUES.astype(dtype), nudged(VALUES.astype(dtype), 1)).passed


def test_measures():
    output = drift_of(precision(1, 1), np.float32([1, 2, 4]), np.float32([1, 2, 5])).outputs[0]
    assert output.max_abs == 1
    assert output.max_rel == 0.25
    assert output.cosine == pytest.approx(25 / np.sqrt(21 * 30))
    assert output.ulps == pytest.approx(1 / (np.finfo(np.float32).eps * (4 + 2)))


def test_the_typical_magnitude_ignores_a_mask():
    masked = np.concatenate([VALUES.ravel(), np.full(200, np.finfo(np.float32).min)])
    assert not drift_of(reassociation, masked, masked + np.float32(1e-3)).passed


def test_an_output_of_zeros_has_scale_one():
    zeros = np.zeros(4, np.float32)
    assert drift_of(reassociation, zeros, zeros + np.float32(1e-7)).passed
    assert not drift_of(reassociation, zeros, zeros + np.float32(1e-4)).passed


def test_a_coarser_dtype_inside_widens_the_tolerance():
    after = nudged(VALUES, 2000)
    assert not drift_of(reassociation, VALUES, after).passed
    assert drift_of(reassociation, VALUES, after, computed_in=np.dtype(np.float16)).passed


def test_many_places_add_up_as_independent_errors():
    one, hundred = reassociation.through(1), reassociation.through(100)
    assert hundred.ulps == pytest.approx(10 * one.ulps)
    assert approximation(1e-3).through(4).spread == pytest.approx(8e-3)
    assert exact.through(1000) == exact
    assert precision(1e-2, 1e-3).through(1000) == precision(1e-2, 1e-3)


@pytest.mark.parametrize(("share", "passed"), [(0.01, True), (0.5, False)])
def test_an_approximation_may_peak_in_few_values_but_not_in_all(share, passed):
    contract = approximation(1e-3).through(4)
    wrong = RNG.random(VALUES.shape) < share
    drift = drift_of(contract, VALUES, np.where(wrong, VALUES + np.float32(0.04), VALUES))
    assert drift.passed is passed
    if not passed:
        assert "root mean square" in drift.outputs[0].reason
    assert not drift_of(contract, VALUES, np.where(wrong, VALUES + np.float32(0.4), VALUES)).passed


def test_contracts_in_a_row_add_up():
    both = combine([exact, reassociation, approximation(1e-3), reassociation, interface])
    assert both.name == "reassociation+approximation(0.001)+interface"
    assert both.ulps == 4 * reassociation.ulps
    assert both.bound == 1e-3
    assert both.changes_interface
    assert combine([]) == exact
    assert combine([exact, exact]) == exact


@pytest.mark.parametrize(("contract", "passed"), [(exact, False), (interface, True)], ids=str)
def test_only_the_interface_contract_lets_outputs_come_and_go(contract, passed):
    drift = contract.check({"y": VALUES, "loss": VALUES}, {"y": VALUES, "logits": VALUES})
    assert drift.passed is passed
    assert (drift.added, drift.removed) == (("logits",), ("loss",))


def test_sequences_and_maps_are_compared_item_by_item():
    before = {"s": [VALUES, VALUES], "m": {1: np.float32(2)}, "none": None}
    assert exact.check(before, before).passed
    drift = exact.check(before, {**before, "s": [VALUES, VALUES + 1]})
    assert [output.name for output in drift.failures] == ["s[1]"]
    assert not exact.check(before, {**before, "s": [VALUES]}).passed
    assert not exact.check(before, {**before, "none": VALUES}).passed


def test_drift_as_plain_values():
    drift = drift_of(exact, VALUES, VALUES + 1).to_dict()
    assert drift["contract"] == "exact"
    assert drift["passed"] is False
    assert drift["outputs"][0]["name"] == "y"


@pytest.mark.parametrize(("ulps", "passed"), [(1, True), (3, True), (40, False)])
def test_exactness_of_half_precision_is_to_the_last_bits(ulps, passed):
    before = np.ones(8, np.float16)
    after = before + np.float16(ulps * 2.0**-10)
    assert exact.check({"y": before}, {"y": after}).passed is passed
    assert not exact.check({"y": np.ones(8, np.float32)}, {"y": np.nextafter(np.ones(8, np.float32), 2)}).passed


@pytest.mark.parametrize(("one", "other", "similar"), [(0, 0, 1), (0, 1, 0), (1, 1, 1)])
def test_the_cosine_of_zeros(one, other, similar):
    before, after = np.full(3, one, np.float32), np.full(3, other, np.float32)
    assert cosine(before, after) == pytest.approx(similar)
