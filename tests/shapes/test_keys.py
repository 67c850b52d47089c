"""What is asked once for calls that are alike is what each of them would be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import onnx
import pytest

import regraft
from regraft.files.convert import from_proto
from regraft.ir.dimensions import FREE, UNNAMED
from regraft.ir.model import Model
from regraft.models import backend_cases, bert, chain
from regraft.shapes.analysis import InferredTypes
from regraft.shapes.facts import Facts
from regraft.shapes.keys import Keys
from tests.shares import diagonal

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))
GROUPS = 8
OPEN = re.compile(rf"[{re.escape(UNNAMED + FREE)}]\d+")


def told(model: Model) -> list[Any]:
    """What is known of each value, in order, dimensions without a name called by their first appearance."""
    model.facts(InferredTypes)  # numbers the dtypes that a builder has left as attributes
    return said(model, InferredTypes(model))


def said(model: Model, facts: Facts) -> list[Any]:
    names, made = dict[str, str](), list[Any]()
    for node in model.nodes():
        for tensor in node.outputs:
            text = str((node.name, facts[tensor].code, facts[tensor].dims, facts[tensor].value, facts[tensor].other))
            made.append(OPEN.sub(lambda found: names.setdefault(found[0], f"?{len(names)}"), text))
    return [*made, *facts.problems]


def both(model: Model, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """What is told of calls when those that are alike are asked about once, and when each is."""
    once = told(model)
    with monkeypatch.context() as patch:
        patch.setattr(Keys, "of", lambda self, call: object())
        patch.setattr(Keys, "at_once", lambda self, node, opset, inputs: None)
        return once, told(model)


def agree(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    once, each = both(model, monkeypatch)
    assert each == once


@pytest.mark.parametrize("path", diagonal(3, ARTIFACTS), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_of_exported_models(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(regraft.load(path), monkeypatch)


@pytest.mark.parametrize("group", range(GROUPS))
def test_of_backend_cases(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        name: both(from_proto(backend_cases.read(name).model), monkeypatch)
        for name in sorted(backend_cases.sources())[5 * group :: 5 * GROUPS]
    }
    assert [name for name, (once, each) in facts.items() if once != each] == []


@pytest.mark.parametrize("model", [bert.build(), chain.build(300), chain.build(300, opset=13)], ids=repr)
def test_of_made_models(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(model, monkeypatch)


ALIKE = {
    "cast": "a = Cast <to = 7> (zero) b = Cast <to = 7> (one)",
    "cast like": "a = CastLike (zero, like) b = CastLike (one, like)",
    "range": "r = Cast <to = 7> (one) a = Range (zero, two, one) b = Range (zero, one, one)",
    "resize": "a = Resize (x, , twice) b = Resize (x, , thrice)",
    "sizes": "a = NonZero (x) b = NonZero (x)",
    "reshape": "a = Reshape (x, flat) b = Reshape (x, pairs)",
}


@pytest.mark.parametrize("body", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("as_nodes", [False, True])
def test_calls_that_differ_in_a_value_are_told_apart(
    body: str, as_nodes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = "float zero = {0.0}, float one = {1.0}, float two = {2.0}, int64 like = {0}, "
    values += (
        "float[2] twice = {2.0, 2.0}, float[2] thrice = {3.0, 3.0}, int64[1] flat = {-1}, int64[2] pairs = {-1, 2}"
    )
    text = f'<ir_version: 10, opset_import: ["" : 20]> g (float[4, 6] x) => (a, b) <{values}> {{ {body} }}'
    proto = onnx.parser.parse_model(text.replace("=> (a, b)", "=> (float a, float b)"))
    for info in proto.graph.output:
        info.ClearField("type")
    if as_nodes:
        nodes = [onnx.helper.make_node("Constant", [], [t.name], value=t) for t in proto.graph.initializer]
        del proto.graph.initializer[:]
        rest = list(proto.graph.node)
        del proto.graph.node[:]
        proto.graph.node.extend([*nodes, *rest])
    model = from_proto(proto)
    agree(model, monkeypatch)
    facts = model.facts(InferredTypes)
    a, b = (facts[tensor] for tensor in model.graph.outputs)
    assert str((a.dims, a.value)) != str((b.dims, b.value))


def test_what_is_left_out_is_not_what_is_unknown() -> None:
    text = """
        <ir_version: 10, opset_import: ["": 20, "d": 1]> g (float[4] x) => (y) { y = d.F (x) }
        <domain: "d", opset_import: ["": 20]> F (a, k) => (y) { u = Clip (a, , k) v = Clip (a, k) y = Clip (a, k, k) }
    """
    proto = onnx.parser.parse_model(text.replace("=> (y) { y = d", "=> (float[4] y) { y = d"))
    model = from_proto(proto)
    nodes, keys, facts = model.functions[0].nodes, Keys(), Facts(model)
    left_out, named = (keys.at_once(node, 20, [facts[t] for t in node.inputs]) for node in (nodes[0], nodes[2]))
    assert left_out != named
