"""No target's pipeline ends with a call of a function that its profile takes not, whatever the opset of the export."""

from __future__ import annotations

import onnx.parser
import pytest

from regraft.errors import PassError
from regraft.files.convert import from_proto
from regraft.ir import schema
from regraft.ir.model import Model
from regraft.pipelines.manager import run
from regraft.pipelines.registry import targets
from regraft.targeting.target import Target, read_target
from tests.matrix.artifacts import ARTIFACTS, Artifact
from tests.matrix.cells import conversion
from tests.shares import diagonal

OPSETS = (11, 13, 17, 18, 20)
TAKE_NONE = [name for name in targets.names() if read_target(name).profile.limits.functions]
QUICK = ("gn0.10.0-classifier", "tiny_seq32_op18")


def exported(artifact: Artifact, opset: int) -> Model | None:
    """The export in an opset; None where that cannot express it."""
    model = artifact.load()
    try:
        run(model, ",".join(filter(None, ("strip-dropout", conversion(artifact, opset)))))
    except PassError:
        return None
    return model


def calls(model: Model) -> list[str]:
    known = {(function.domain, function.name) for function in model.functions}
    return [node.op for node in model.nodes() if (node.domain, node.op) in known]


def check(target: Target, model: Model) -> None:
    target.prepare(model)
    assert not calls(model)
    assert not any(node.domain == schema.STAND_IN for node in model.nodes())
    assert not [one for one in target.check(model) if one.reason.startswith("local functions")]


@pytest.mark.parametrize(("artifact", "name"), diagonal(2, QUICK, TAKE_NONE))
def test_old_exports(artifact: str, name: str) -> None:
    model = exported(next(one for one in ARTIFACTS if one.name == artifact), 13)
    assert model is not None
    check(read_target(name), model)


@pytest.mark.slow
@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact.name)
@pytest.mark.parametrize("opset", OPSETS)
def test_every_export_in_every_opset(artifact: Artifact, opset: int) -> None:
    if exported(artifact, opset) is None:
        pytest.skip("the opset cannot express it")
    for name in TAKE_NONE:
        model = exported(artifact, opset)
        assert model is not None
        check(read_target(name), model)


@pytest.mark.parametrize("name", TAKE_NONE)
def test_functions_of_the_model_itself(name: str) -> None:
    text = """<ir_version: 9, opset_import: ["" : 17, "mine" : 1]> g (float[2] x) => (float[2] y) { y = mine.f(x) }
    <domain: "mine", opset_import: ["" : 17]> f (a) => (b) { c = Exp(a) b = Add(a, c) }"""
    if name == "fpga":
        pytest.skip("takes transformers only")
    model = from_proto(onnx.parser.parse_model(text))
    check(read_target(name), model)


def test_a_pipeline_that_ends_with_stand_ins() -> None:
    """One that fuses, in an opset that lacks what it makes."""

    class Fusing(Target):
        pipeline = "fold-constants,fuse-layer-norm,fuse-gelu"
        profile = read_target("openvino").profile

    model = exported(next(one for one in ARTIFACTS if one.name == QUICK[0]), 13)
    assert model is not None
    fused = run(model, Fusing.pipeline)
    assert fused
    assert calls(model)
    check(Fusing(), model)
