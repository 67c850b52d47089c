"""After the passes of any target, no node and no weight is other than its history tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import regraft
from regraft.errors import RegraftError
from regraft.inspection.attribution import weights_by_pass
from regraft.inspection.diff import diff
from regraft.ir.clone import clone
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.pass_base import label
from regraft.pipelines.registry import targets
from tests.matrix.artifacts import ARTIFACTS, Artifact
from tests.pipelines.histories import faults
from tests.real.files import files
from tests.shares import diagonal

FILES = {name: path for name, path in files().items() if not name.startswith("onnx/")}


def unaccounted(before: Model, after: Model) -> list[str]:
    """The nodes and weights that differ, and that no pass accounts for."""
    found = diff(before, after)
    nodes = [one.name for one in (*found.removed, *found.added, *found.changed)]
    told = weights_by_pass(before, after)
    return nodes + [one.name for one in found.weights if one.name not in told]


def judge(load: Callable[[], Model], target: str) -> None:
    before = load()
    after = clone(before)
    names = [label(node) for node in before.nodes()]
    try:
        targets.load(target)().prepare(after)
    except RegraftError as error:
        pytest.skip(str(error))
    assert not unaccounted(before, after)
    assert not faults(names, after, history.read(after))


@pytest.mark.parametrize(
    ("artifact", "target"), diagonal(12, ARTIFACTS, targets.names()), ids=lambda one: getattr(one, "name", one)
)
def test_artifacts(artifact: Artifact, target: str) -> None:
    judge(artifact.load, target)


@pytest.mark.parametrize(("name", "target"), diagonal(40, FILES, targets.names()), ids=str)
def test_real_files(name: str, target: str) -> None:
    judge(lambda: regraft.load(FILES[name]), target)


def test_without_its_record_a_result_is_not_accounted_for() -> None:
    before = ARTIFACTS[1].load()
    after = clone(before)
    regraft.run(after, "fold-constants,fuse-gelu,convert-fp16", record=False)
    assert len(unaccounted(before, after)) > 20


def test_what_is_done_behind_the_record_is_seen() -> None:
    before = ARTIFACTS[1].load()
    after = clone(before)
    regraft.run(after, "fuse-gelu")
    product = next(node for node in after.graph.nodes if node.op == "MatMul" and isinstance(node.inputs[1], Constant))
    weight = product.inputs[1]
    weight.values = weight.values * 2
    next(node for node in after.graph.nodes if node.op == "Softmax").attrs["axis"] = 1
    found = unaccounted(before, after)
    assert weight.name in found
    assert len(found) == 2
