"""Every planted wrong rewrite is caught, in every mode, and no right one is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

import regraft
from regraft import Pass, exact, reassociation
from regraft.cli import cli
from regraft.errors import VerificationError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import Contract
from regraft.verification.runtime import Session
from tests.shares import diagonal
from tests.verification.planted.blind_right import BLIND_RIGHT
from tests.verification.planted.blind_wrong import BLIND_WRONG
from tests.verification.planted.control import CONTROL
from tests.verification.planted.interface import INTERFACE
from tests.verification.planted.masks import MASKS
from tests.verification.planted.pair import MODES, Mode, Pair
from tests.verification.planted.rights import RIGHT
from tests.verification.planted.sizes import SIZES
from tests.verification.planted.values import VALUES
from tests.verification.planted.weights import WEIGHTS

PAIRS = [*SIZES, *VALUES, *WEIGHTS, *MASKS, *CONTROL, *INTERFACE, *RIGHT, *BLIND_WRONG, *BLIND_RIGHT]
CONTRACTS = {"exact": exact, "reassociation": reassociation}
NAMES = [pair.name for pair in PAIRS]


def planted(after: onnx.ModelProto, promised: Contract) -> Pass:
    """A pass that puts another model in the place of its own."""

    class Planted(Pass):
        """Put another model in the place of this one."""

        name, contract = "planted", promised

        def run(self, model: Model, context: Context) -> None:
            other, old = from_proto(after), list(model.graph.nodes)
            model.graph = other.graph
            context.replaced(old[:1], list(other.graph.nodes)[:1])

    return Planted()


def refused(pair: Pair, mode: Mode, folder: Path) -> bool:
    """Whether verification refuses the rewrite."""
    if mode == "verify":
        paths = [folder / "a.onnx", folder / "b.onnx"]
        for path, proto in zip(paths, (pair.before, pair.after), strict=True):
            path.write_bytes(proto.SerializeToString())
        result = CliRunner().invoke(cli, ["verify", *map(str, paths)])
        assert result.exit_code in (0, 1, 2), result.output
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code != 0
    contract, _, when = mode.partition(" ")
    try:
        regraft.run(from_proto(pair.before), [planted(pair.after, CONTRACTS[contract])], verify=when)  # type: ignore[arg-type]
    except VerificationError:
        return True
    return False


BEYOND = {
    "blind-where-nan": "no input is NaN",
    "blind-mean-of-no-rows": "no input is empty",
    "blind-one-hot-out": "indices are inside their table",
    "blind-tree-threshold": "a node of a tree that no trial comes by",
    "blind-right-group-norm-node": "ONNX Runtime's own kernel is that coarse",
    "blind-right-variance-identity": "a difference of equal squares has no digit that is right",
}
"""Pairs of which verification says what it should not, and why."""


@pytest.mark.parametrize(
    ("pair", "mode"), diagonal(4 * len(MODES), PAIRS, MODES), ids=lambda one: getattr(one, "name", one)
)
def test_wrong_is_caught_and_right_passes(pair: Pair, mode: Mode, tmp_path: Path) -> None:
    if mode in pair.open or pair.name in BEYOND:
        pytest.skip(BEYOND.get(pair.name, "either answer is fine"))
    assert refused(pair, mode, tmp_path) == pair.refused(mode), pair.told


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_a_model_passes_for_itself(pair: Pair, tmp_path: Path) -> None:
    random = {"all-random", "random-bits"}
    same = Pair(pair.name, "the same model", pair.before, pair.before, right=True, same_bits=True)
    assert refused(same, "exact each", tmp_path) == (pair.name in random)


def test_what_is_beyond_reach_is_little() -> None:
    assert set(BEYOND) <= set(NAMES)
    assert len(BEYOND) < 0.02 * len(PAIRS)


def test_the_pairs_are_what_they_say() -> None:
    assert max(Counter(NAMES).values()) == 1
    assert sum(not pair.right for pair in PAIRS) >= 110
    assert sum(pair.right for pair in PAIRS) >= 30
    for pair in PAIRS:
        onnx.checker.check_model(pair.before, full_check=True)
        Session(pair.before)
