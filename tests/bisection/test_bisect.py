"""`bisect` names the one match that a pass got wrong, in about log2 of the matches."""

from __future__ import annotations

import math

import pytest

from regraft.bisection.bisect import Finding, bisect
from regraft.bisection.checks import OutputsCheck
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from tests.bisection import faults

AROUND = ("eliminate-identity", "fuse-gelu"), ("eliminate-dead-code",)
RULES = {name: fault for name, fault in faults.FAULTS.items() if name != "axis"}


def find(model: Model, one: Pass, around: bool = True) -> Finding:
    first, last = AROUND if around else ((), ())
    return bisect(model, Pipeline(first, one, last), OutputsCheck(trials=1))


def check(model: Model, one: Pass, at: str, around: bool = True) -> Finding:
    found = find(model, one, around)
    assert (found.verdict, found.pass_name, found.nodes) == ("found", str(one), (at,)), str(found)
    assert found.runs <= math.log2(len(model.graph.nodes)) + 6
    return found


def some(names: list[str]) -> list[str]:
    return [names[0], names[len(names) // 3], names[-1]]


@pytest.mark.parametrize("make", [faults.rule_pass, faults.node_pass])
@pytest.mark.parametrize("name", ["constant", "operand", "overflow", "epsilon"])
def test_a_fault_in_a_chain(name, make):
    fault = faults.FAULTS[name]
    model = chain.build(100)
    at = faults.places(model, fault.operator)[0]
    found = check(model, make(fault, at), at, around=name != "overflow")
    assert found.rule == ("wrong" if make is faults.rule_pass else fault.operator)
