"""What a pass promises excuses what it covers, and nothing else."""

from __future__ import annotations

import onnx
import pytest

import regraft
from regraft import exact
from regraft.errors import VerificationError
from regraft.files.convert import from_proto
from regraft.verification.contract import promise
from tests.verification.planted.pair import Pair
from tests.verification.planted.promises import PROMISES, Promised
from tests.verification.planted.test_planted import planted

NAMES = [one.pair.name for one in PROMISES]


@pytest.mark.parametrize("when", ["each", "final"])
@pytest.mark.parametrize("one", PROMISES, ids=NAMES)
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
