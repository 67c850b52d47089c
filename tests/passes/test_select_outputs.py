"""select-outputs: what stays, what goes, and what is refused."""

from __future__ import annotations

import pytest

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.pipelines.pass_base import Context
from regraft.shapes import declare_types
from regraft.splitting import to_host

TWO = "g (float[N] x) => (float[N] y, float[N] z) { a = Neg (x)  y = Exp (a)  b = Abs (a)  z = Sqrt (b) }"


def names(tensors):
    return [tensor.name for tensor in tensors]


def test_only_what_the_others_need_stays(parse):
    model = parse(TWO)
    before = clone(model)
    report = regraft.run(model, "select-outputs{outputs=z}", verify="each")
    assert names(model.graph.outputs) == ["z"]
    assert [node.op for node in model.graph.nodes] == ["Neg", "Abs", "Sqrt"]
    assert report.passes[0].effects == ["no output y"]
    assert regraft.compare(before, model).drift.max_abs == 0


def test_the_order_of_the_model_stays(parse):
    model = parse(TWO)
    report = regraft.run(model, "select-outputs{outputs={z,y}}")
    assert names(model.graph.outputs) == ["y", "z"]
    assert not report.passes[0].changed


def test_the_caller_of_a_split_model_gets_as_many(parse):
    model = parse(TWO)
    declare_types(model)
    before = clone(model)
    to_host(model, {"a": model.graph.nodes[0].outputs[0]}, Context())
    regraft.run(model, "select-outputs{outputs=y}")
    assert names(model.outputs) == names(model.graph.outputs) == ["y"]
    assert regraft.compare(before, model).drift.max_abs == 0


def test_an_output_that_is_not_there_is_named(parse):
    with pytest.raises(PassError, match="no output named 'zz'; did you mean 'z'"):
        regraft.run(parse(TWO), "select-outputs{outputs=zz}")
