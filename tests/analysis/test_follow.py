"""Facts that are kept through edits say what a new analysis says, whoever edited the model and however."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import parser

import regraft
from regraft.analysis.affine_index import AffineIndices
from regraft.analysis.backward_slice import BackwardSlices
from regraft.analysis.scalar_constants import ScalarConstants
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import HostedRanges, MaskRanges, ValueRanges
from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import sort
from regraft.models import bert, chain
from regraft.pipelines.pipeline import Pipeline
from tests.random_graphs.generate import generate
from tests.random_graphs.pipelines import DEFAULT, pipeline

ANALYSES = [ValueRanges, MaskRanges, HostedRanges, Uniformity, ValueNumbers, ScalarConstants, AffineIndices]
MASKS = "externalize-mask,simplify-mask,lower-where,lower-attention,simplify-gather,fuse-attention,narrow-integers"
ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))


def values(model: Model) -> list[Tensor]:
    found = {
        t: None for g in model.graphs() for t in (*g.inputs, *(t for n in g.nodes for t in (*n.inputs, *n.outputs)))
    }
    return [tensor for tensor in found if tensor.name]


def agree(model: Model, share: int = 1) -> None:
    """Ask about every value, or one in so many: what is asked for decides what is kept."""
    every = values(model)
    for analysis in ANALYSES:
        kept, new = model.facts(analysis), analysis(model)
        said = [(kept[tensor], new[tensor]) for tensor in every[::share]]
        if analysis is ValueNumbers:  # other numbers may stand for the same
            assert len(set(said)) == len({one for one, _ in said}) == len({other for _, other in said})
        else:
            assert [one for one, _ in said] == [other for _, other in said], analysis
    kept, new = model.facts(BackwardSlices), BackwardSlices(model)
    for tensor in every[:: max(share, len(every) // 20)]:
        one, other = kept[tensor], new[tensor]
        assert (one.nodes, one.inputs, one.tables) == (other.nodes, other.inputs, other.tables)


def run(model: Model, text: str, share: int) -> None:
    """Run pass after pass; what one refuses another may take."""
    agree(model, share)
    for one in Pipeline.read(text):
        with contextlib.suppress(RegraftError):
            regraft.run(model, [one])
        agree(model, share)


@pytest.mark.parametrize(
    "path",
    [p if n % 16 == 0 else pytest.param(p, marks=pytest.mark.slow) for n, p in enumerate(ARTIFACTS)],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_of_exported_models(path: Path) -> None:
    run(regraft.load(path), f"{MASKS},{DEFAULT}", 3)


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))])
def test_of_random_models_and_passes(seed: int) -> None:
    proto = generate(seed)
    run(from_proto(proto), DEFAULT if seed % 3 == 0 else pipeline(seed, proto.graph.output[0].name), 1 + seed % 2)


@pytest.mark.parametrize("model", [bert.build(), chain.build(100)], ids=repr)
def test_of_made_models(model: Model) -> None:
    run(model, f"{MASKS},{DEFAULT}", 2)


TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    main (float[2,3] x, int64[2,3] m, bool c, int64 n) => (float y)
    <float one = {1}, float[1,3] row = {2, 2, 2}, int64 i0 = {0}, int64 i1 = {1}, int64 i3 = {3},
     int64[2] flat = {0, -1}> {
        line = Range (i0, i3, i1)
        far = Mul (line, i3)
        wide = Expand (row, flat0)
        a = Cast <to = 1> (m)
        b = Sub (one, a)
        d = Mul (b, row)
        e = Neg (d)
        r = Reshape (e, flat)
        w = Where (c, e, d)
        p = If (c) <
            then_branch = then () => (float[2,3] t) { k = Neg (e) t = Neg (k) },
            else_branch = otherwise () => (float[2,3] u) { u = Add (d, row) }
        >
        last, all = Loop (n, c, w) <
            body = b (int64 i, bool go, float[2,3] s) => (bool on, float[2,3] v, float[2,3] z)
            { on = Identity (go) h = Tanh (s) v = Add (h, row) z = Max (v, d) }
        >
        q = Add (p, last)
        y = ReduceMax (q)
    }
"""


def built() -> Model:
    return from_proto(parser.parse_model(TEXT))


def edit(model: Model, draw: Any) -> None:
    """One edit, of any kind, anywhere, after which the model may be nonsense but has no circle."""
    nodes = [node for node in model.nodes() if node.op not in ("If", "Loop")]
    node = draw(st.sampled_from(nodes))
    graph = node.graph
    place = graph.nodes.index(node)
    before = [t for one in graph.nodes[:place] for t in one.outputs] + [t for t in model.graph.inputs if t.shape]
    number = draw(st.integers(0, 9))
    constants = sorted({t.name: t for one in model.nodes() for t in one.inputs if isinstance(t, Constant)}.items())
    constant = draw(st.sampled_from(constants))[1]

    def insert() -> None:
        if not graph.nodes[place].inputs:
            return
        made = type(node.outputs[0])(f"new{len(values(model))}", node.inputs[0].dtype, node.inputs[0].shape)
        new = Node(draw(st.sampled_from(["Neg", "Abs", "Identity"])), "", {}, [node.inputs[0]], [made])
        graph.nodes.insert(place, new)
        node.inputs[0] = made

    def relink() -> None:
        if node.inputs and before:
            node.inputs[draw(st.integers(0, len(node.inputs) - 1))] = draw(st.sampled_from(before))

    edits: list[Callable[[], Any]] = [
        insert,
        relink,
        lambda: (
            setattr(node, "op", draw(st.sampled_from(["Add", "Sub", "Mul", "Max"]))) if len(node.inputs) == 2 else None
        ),
        lambda: setattr(node, "op", draw(st.sampled_from(["Neg", "Tanh", "Exp"]))) if len(node.inputs) == 1 else None,
        lambda: setattr(constant, "values", np.full(constant.shape, number, constant.dtype)),
        lambda: setattr(model.graph.inputs[0], "shape", [1, 3]),
        lambda: node.attrs.__setitem__("to", 7) if node.op == "Cast" else None,
        lambda: graph.outputs.__setitem__(-1, draw(st.sampled_from([t for n in graph.nodes for t in n.outputs]))),
        lambda: setattr(model, "opset", 18),
    ]
    draw(st.sampled_from(edits))()


OPERATORS = {0: ["Constant"], 1: ["Neg", "Tanh", "Exp"], 2: ["Add", "Sub", "Mul", "Max"], 3: ["Where", "Clip", "Sum"]}


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_of_random_edits(data: st.DataObject) -> None:
    model = built()
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            agree(model, data.draw(st.integers(1, 3)))
        edit(model, data.draw)
    for graph in model.graphs():
        sort(graph)
    agree(model)


def looked_at(model: Model, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many values a question about every one looks at again."""
    count, step = 0, ValueRanges.step

    def counting(ranges: ValueRanges, tensor: Tensor) -> Any:
        nonlocal count
        count += 1
        return step(ranges, tensor)

    with monkeypatch.context() as patch:
        patch.setattr(ValueRanges, "step", counting)
        ranges = model.facts(ValueRanges)
        for tensor in values(model):
            ranges[tensor]
    return count


def test_only_what_an_edit_reaches_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain.build(2_000)
    assert looked_at(model, monkeypatch) >= 2_000
    assert looked_at(model, monkeypatch) == 0
    last = [n for n in model.graph.nodes if n.op == "Sigmoid"][-1]
    last.op = "Tanh"
    assert 0 < looked_at(model, monkeypatch) < 60
    next(n for n in model.graph.nodes if n.op == "Sigmoid").op = "Tanh"
    assert looked_at(model, monkeypatch) > 1_000


def test_what_the_host_makes_is_followed() -> None:
    model = bert.build()
    regraft.run(model, "externalize-mask")
    assert model.host is not None
    (fed,) = (tensor for tensor in model.graph.inputs if tensor.name in model.host.feeds)
    before = model.facts(HostedRanges)[fed]
    assert before.finite
    assert not model.facts(ValueRanges)[fed].finite
    for node in model.host.model.graph.nodes:
        for place, tensor in enumerate(node.inputs):
            if isinstance(tensor, Constant) and tensor.dtype == np.float32 and np.min(tensor.values) <= -10000:
                node.inputs[place] = Constant(f"{tensor.name}_other", np.asarray(tensor.values / 2))
    agree(model)
    assert model.facts(HostedRanges)[fed] != before
