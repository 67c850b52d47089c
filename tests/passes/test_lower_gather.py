"""lower-gather: lookups whose rows are all the same, or that take every place in order, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.passes.lower_gather import LowerGather
from regraft.passes.set_shapes import SetShapes
from regraft.pipelines.manager import run


def constants(**arrays) -> str:
    """Initializers as text."""
    shown = []
    for name, value in arrays.items():
        array = np.array(value)
        dims = ",".join(map(str, array.shape))
        kind = "int64" if array.dtype.kind == "i" else "float"
        shown.append(f"{kind}[{dims}] {name} = {{{','.join(map(str, array.ravel().tolist()))}}}")
    return f"<{', '.join(shown)}>"


def elements(parse, table, axis: int = 1, ids: str = "2,3", expand: str = ""):
    data = "t" if not expand else "w"
    widened = (
        f"s = Constant <value = int64[{expand.count(',') + 1}] {{{expand}}}> () w = Expand(t, s)" if expand else ""
    )
    body = f"{widened} y = GatherElements <axis = {axis}> ({data}, i)"
    return parse(f"g (int64[{ids}] i) => (int64[{ids}] y) {constants(t=table)} {{ {body} }}")


@pytest.mark.parametrize("axis", [1, -1])
def test_rows_of_a_constant_that_are_the_same(parse, apply, axis):
    model = elements(parse, [[5, 6, 7, 8]] * 2, axis)
    found = apply(model, LowerGather(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])})
    assert found.ops == ["Gather"]


def test_columns_that_are_the_same(parse, apply):
    model = elements(parse, [[5, 5, 5], [6, 6, 6]], axis=0)
    assert apply(model, LowerGather(), inputs={"i": np.array([[0, 1, 0], [1, 0, -1]])}).ops == ["Gather"]


@pytest.mark.parametrize("table", [[[5, 6, 7, 8]], [5, 6, 7, 8]])
def test_an_expand_of_one_row(parse, apply, table):
    model = elements(parse, table, expand="2,4")
    assert apply(model, LowerGather(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])}).ops == ["Gather"]


def test_an_expand_to_a_batch_that_is_not_known(parse, apply):
    body = "b = Shape <end = 1> (i) n = Constant <value = int64[1] {4}> () s = Concat <axis = 0> (b, n)"
    text = f"{constants(t=[[5, 6, 7, 8]])} {{ {body} w = Expand(t, s) y = GatherElements <axis = 1> (w, i) }}"
    model = parse(f"g (int64[b,s] i) => (int64[b,s] y) {text}")
    assert apply(model, LowerGather(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])}).ops == ["Gather"]


@pytest.mark.parametrize(
    ("table", "axis", "expand", "note"),
    [
        ([[5, 6, 7], [5, 6, 8]], 1, "", "the rows of 't' differ"),
        ([[5], [6]], 1, "2,3", "is no constant, and no Expand of one"),
    ],
)
def test_rows_that_differ_stay(parse, apply, table, axis, expand, note):
    model = elements(parse, table, axis, expand=expand)
    found = apply(model, LowerGather(), inputs={"i": np.array([[0, 1, 2], [2, 2, 1]])})
    assert found.ops[-1] == "GatherElements"
    assert note in found.notes[0]


def test_rows_that_are_computed_stay(parse, apply):
    text = "(int64[2,4] t, int64[2,3] i) => (int64[2,3] y) { y = GatherElements <axis = 1> (t, i) }"
    found = apply(
        parse(f"g {text}"), LowerGather(), inputs={"t": np.arange(8).reshape(2, 4), "i": np.ones((2, 3), int)}
    )
    assert found.ops == ["GatherElements"]
    assert "is no constant" in found.notes[0]


def lookup(parse, data: str, places, out: str):
    places = np.asarray(places)
    return parse(f"g (float[{data}] x) => (float[{out}] y) {constants(i=places)} {{ y = GatherND(x, i) }}")


def grid(*sizes: int) -> np.ndarray:
    """Every place, in order: [*sizes, len(sizes)]."""
    return np.stack(np.indices(sizes), -1)


@pytest.mark.parametrize(
    ("data", "places", "out", "ops"),
    [
        ("2,3", grid(2, 3).reshape(2, 1, 1, 3, 2), "2,1,1,3", ["Reshape"]),
        ("2,3", np.broadcast_to(grid(2, 3).reshape(2, 1, 1, 3, 2), (2, 1, 4, 3, 2)), "2,1,4,3", ["Reshape", "Expand"]),
        ("2,3,5", grid(2, 3), "2,3,5", ["Reshape"]),
        ("2,3,5", grid(2).reshape(2, 1), "2,3,5", ["Reshape"]),
        ("2,3", grid(2, 3) - np.array([2, 3]), "2,3", ["Reshape"]),
        ("1,3", np.broadcast_to(grid(1, 3), (4, 3, 2)), "4,3", ["Reshape", "Expand"]),
    ],
)
def test_every_place_in_order_is_a_layout(parse, apply, data, places, out, ops):
    assert apply(lookup(parse, data, places, out), LowerGather()).ops == ops


@pytest.mark.parametrize(
    ("data", "places", "out"),
    [
        ("2,3", grid(2, 3)[::-1], "2,3"),
        ("2,3", grid(2, 2), "2,2"),
        ("2,2", np.swapaxes(grid(2, 2), 0, 1), "2,2"),
        ("2,3", np.zeros((2, 3, 2), int), "2,3"),
    ],
)
def test_other_places_stay(parse, apply, data, places, out):
    found = apply(lookup(parse, data, places, out), LowerGather())
    assert found.ops == ["GatherND"]
    assert "it does not take every place once, in order" in found.notes[0]


def test_a_shape_that_is_not_known_stays_until_it_is(parse, apply):
    model = lookup(parse, "b,3", grid(2, 3), "2,3")
    found = apply(model, LowerGather(), inputs={"x": np.ones((2, 3), np.float32)})
    assert "the shape of 'x' is not known" in found.notes[0]
    run(model, [SetShapes(b=2)])
    assert apply(model, LowerGather()).ops == ["Reshape"]


def test_batches_and_computed_places_stay(parse, apply):
    batches = "(float[2,3] x) => (float[2] y) <int64[2,1] i = {0,1}> { y = GatherND <batch_dims = 1> (x, i) }"
    assert "in batches" in apply(parse(f"g {batches}"), LowerGather()).notes[0]
    computed = "(float[2,3] x, int64[1,2] i) => (float[1] y) { y = GatherND(x, i) }"
    found = apply(
        parse(f"g {computed}"), LowerGather(), inputs={"x": np.ones((2, 3), np.float32), "i": np.array([[1, 2]])}
    )
    assert "its indices 'i' are computed" in found.notes[0]
