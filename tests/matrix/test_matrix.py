"""The exporter matrix holds: every cell is as its expectation says, and as the page says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from regraft.ir.editor import Editor
from regraft.ir.model import Model
from regraft.pipelines.grammar import parse
from regraft.pipelines.pass_base import Context, Pass
from regraft.pipelines.registry import passes as registry
from tests.matrix import page
from tests.matrix.artifacts import ARTIFACTS, FOLDER, OPSETS, Artifact, Gap
from tests.matrix.cells import Outcome, Subject, conversion, run
from tests.matrix.transforms import GROUPS, TRANSFORMS, Transform
from tests.shares import diagonal

PAGE = page.read((Path(__file__).parents[2] / "docs/exporter-matrix.md").read_text(encoding="utf-8"))
GENERAL = {
    "convert-opset",
    "deduplicate-initializers",
    "eliminate-common-subexpressions",
    "eliminate-dead-code",
    "eliminate-identity",
    "fold-constants",
    "infer-shapes",
    "inline-functions",
    "normalize-conditions",
    "pack-sequences",
    "select-outputs",
    "set-shapes",
    "strip-training",
    "strip-value-info",
    "unpack-attention",
}
"""Passes that are about no operator, or about the whole model; each has tests on all artifacts of its own."""


def named(one: Artifact | int) -> str:
    return one.name if isinstance(one, Artifact) else str(one)


def third(artifact: Artifact) -> list[Transform]:
    """A third of the transforms, another for each artifact."""
    return TRANSFORMS[ARTIFACTS.index(artifact) % 3 :: 3]


PARTS = 3
"""Of a third, of which one is fast."""


def wrong(artifact: Artifact, opset: int, outcomes: dict[str, Outcome]) -> str:
    """A line for each failure: the pipeline that reproduces it, and what is wrong."""
    first = conversion(artifact, opset)
    return "\n".join(
        f"{artifact.path} --pipeline '{first},{transform}': {outcomes[transform.name].failure}"
        for transform in TRANSFORMS
        if transform.name in outcomes and outcomes[transform.name].failure
    )


@pytest.mark.parametrize(("artifact", "part"), diagonal(PARTS, ARTIFACTS, range(PARTS)), ids=named)
def test_every_third_transform(artifact, part):
    outcomes = run(artifact, artifact.opset, third(artifact)[part::PARTS])
    assert not wrong(artifact, artifact.opset, outcomes)
    for name, outcome in outcomes.items():
        assert PAGE[artifact.name, name] == page.cell(outcome), f"{name}: docs/exporter-matrix.md is not current"


@pytest.mark.slow
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("artifact", ARTIFACTS, ids=named)
def test_every_transform_in_every_opset(artifact, opset):
    outcomes = run(artifact, opset)
    assert not wrong(artifact, opset, outcomes)
    assert PAGE[artifact.name, f"opset {opset}"] == page.total(outcomes), "docs/exporter-matrix.md is not current"


def test_every_fixture_is_a_row():
    folders = [path.parent for path in FOLDER.rglob("*-symbol.json")]
    assert sorted(artifact.file for artifact in ARTIFACTS) == sorted([*FOLDER.rglob("*.onnx"), *folders])


def test_every_pass_is_a_column():
    columns = {name for transform in TRANSFORMS for name, _ in parse(transform.pipeline)}
    assert columns | GENERAL == set(registry.names())
    assert len({transform.name for transform in TRANSFORMS}) == len(TRANSFORMS)


def test_the_page_reads_as_it_was_written():
    kinds = (Outcome(2, 1e-7), Outcome(reason="none"), Outcome(gap="one left: why"), Outcome(1, failure="wrong"))
    outcomes = {transform.name: kinds[number % len(kinds)] for number, transform in enumerate(TRANSFORMS)}
    every = {(artifact, opset): outcomes for artifact in ARTIFACTS for opset in OPSETS}
    read = page.read(page.write(every))
    for name, outcome in outcomes.items():
        assert read[ARTIFACTS[0].name, name] == page.cell(outcome)
    assert read[ARTIFACTS[-1].name, "opset 11"] == page.total(outcomes)
    assert {heading for _, heading in read} >= {transform.name for group in GROUPS.values() for transform in group}


# ------------------------------------------------------------------------------- the matrix can fail


class Idle(Pass):
    """Do nothing."""

    name = "idle"

    def run(self, model: Model, context: Context) -> None:
        context.note("there is nothing here")


class Breaking(Pass):
    """Replace Tanh by its input, and say that this is exact."""

    name = "breaking"

    def run(self, model: Model, context: Context) -> None:
        with Editor(model) as edit:
            for node in edit.live_nodes(model.graph):
                if node.op == "Tanh":
                    edit.replace(node.outputs[0], node.inputs[0])
                    edit.remove(node)
                    context.replaced([node])


@pytest.mark.parametrize(
    ("name", "expected", "removes", "failure"),
    [
        ("idle", 1, (), "0 places changed, not 1"),
        ("idle", "", (), ""),
        ("breaking", 2, (), "1 places changed, not 2"),
        ("breaking", "no Tanh", (), "1 places changed, though: no Tanh"),
        ("breaking", 1, ("Gelu",), "Gelu left; Gelu left"),
        ("breaking", 1, (), "logits: "),
    ],
)
def test_a_wrong_pass_fails_its_cell(name, expected, removes, failure, monkeypatch):
    monkeypatch.setattr(registry, "_added", {"idle": (Idle, "here"), "breaking": (Breaking, "here")})
    transform = Transform(name, name, lambda artifact, model: expected, removes=removes)
    artifact = ARTIFACTS[0]
    outcome = Subject(artifact, artifact.opset).transform(transform)
    assert failure in outcome.failure
    assert bool(failure) == bool(outcome.failure)


@pytest.mark.parametrize(
    ("name", "expected", "reason", "failure"),
    [
        ("idle", 1, "there is nothing here", ""),
        ("idle", 1, "it may not", "it says something else than 'it may not': there is nothing here"),
        ("breaking", 1, "it may not", "there is no gap any more"),
        ("breaking", 2, "it may not", "logits: "),
    ],
)
def test_a_gap_must_be_there_for_its_reason(name, expected, reason, failure, monkeypatch):
    monkeypatch.setattr(registry, "_added", {"idle": (Idle, "here"), "breaking": (Breaking, "here")})
    artifact = replace(ARTIFACTS[0], gaps=(Gap(name, reason, below=21),))
    outcome = Subject(artifact, artifact.opset).transform(Transform(name, name, lambda artifact, model: expected))
    assert failure in outcome.failure
    assert bool(failure) == bool(outcome.failure)
    assert failure or page.cell(outcome) == ("○", f"0 places changed, not 1: {reason}")
    assert not artifact.gap(name, 21)


def test_an_opset_that_cannot_be_is_refused_with_the_reason():
    artifact = next(artifact for artifact in ARTIFACTS if artifact.dropouts)
    outcome = Subject(artifact, 11).transform(TRANSFORMS[0])
    assert "opset 11 cannot express it" in outcome.refusal
    assert page.total({"strip-dropout": outcome}) == ("–", outcome.refusal)
