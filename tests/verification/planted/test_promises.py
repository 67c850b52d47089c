"""What a pass promises excuses what it covers, and nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import regraft
from regraft import exact, precision
from regraft.errors import VerificationError
from regraft.files.convert import from_proto
from regraft.verification.contract import promise
from tests.shares import diagonal
from tests.verification.planted.pair import Pair
from tests.verification.planted.promises import OVERFLOWING, PROMISES, Promised
from tests.verification.planted.test_planted import planted

NAMES = [one.pair.name for one in PROMISES]


@pytest.mark.parametrize(
    ("one", "when"),
    diagonal(2, PROMISES, ["each", "final"]),
    ids=lambda one: one if isinstance(one, str) else one.pair.name,
)
def test_a_run_holds_to_the_promise(one: Promised, when: regraft.Verify) -> None:
    assert refused(one.pair, [planted(one.pair.after, one.contract)], when) != one.pair.right, one.pair.told


@pytest.mark.parametrize("one", PROMISES, ids=NAMES)
def test_two_files_are_held_to_what_is_recorded(one: Promised) -> None:
    before, after = from_proto(one.pair.before), from_proto(one.pair.after)
    promise(after.metadata, one.contract.through(1))
    try:
        verdict = regraft.compare(before, after)
    except VerificationError:
        assert not one.pair.right
        return
    assert verdict.passed == one.pair.right, f"{one.pair.told}: {verdict}"


RIGHT = [one for one in PROMISES if one.pair.right and not one.contract.assumes]


@pytest.mark.parametrize("one", RIGHT, ids=lambda one: one.pair.name)
def test_the_promise_of_one_pass_serves_no_other(one: Promised) -> None:
    """The same rewrite by a pass that promises equality is refused, though another pass may do this and more."""
    allowed = planted(one.pair.before, one.contract)
    assert refused(one.pair, [allowed, planted(one.pair.after, exact)], "final")


def test_what_float16_cannot_hold_is_a_warning_on_made_inputs() -> None:
    half = planted(OVERFLOWING.after, precision(1e-2, 1e-2, 2e-3))
    report = regraft.run(from_proto(OVERFLOWING.before), [half], verify="final")
    assert "float16 ends at 65504" in report.warnings[0]


@pytest.mark.parametrize(("size", "fits"), [(10, False), (-99, True)])
def test_and_a_fault_on_given_ones(size: float, fits: bool) -> None:
    half = planted(OVERFLOWING.after, precision(1e-2, 1e-2, 2e-3))
    given = {"x": np.full((1, 3, 8), size, np.float32)}
    if fits:
        assert not regraft.run(from_proto(OVERFLOWING.before), [half], verify="final", inputs=given).warnings
    else:
        with pytest.raises(VerificationError, match="float16 ends at 65504"):
            regraft.run(from_proto(OVERFLOWING.before), [half], verify="final", inputs=given)


def refused(pair: Pair, passes: list[regraft.Pass], when: regraft.Verify) -> bool:
    try:
        regraft.run(from_proto(pair.before), passes, verify=when)
    except VerificationError:
        return True
    return False


def test_the_pairs_are_what_they_say() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for _, pair in PROMISES:
        onnx.checker.check_model(pair.before, full_check=True)
