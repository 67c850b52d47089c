"""lower-gather-elements: tables whose rows are all the same, known or expanded, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.passes.lower_gather_elements import LowerGatherElements


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
    found = apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])})
    assert found.ops == ["Gather"]


def test_columns_that_are_the_same(parse, apply):
    model = elements(parse, [[5, 5, 5], [6, 6, 6]], axis=0)
    assert apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 1, 0], [1, 0, -1]])}).ops == ["Gather"]


@pytest.mark.parametrize("table", [[[5, 6, 7, 8]], [5, 6, 7, 8]])
def test_an_expand_of_one_row(parse, apply, table):
    model = elements(parse, table, expand="2,4")
    assert apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])}).ops == ["Gather"]


def test_a_table_that_a_node_holds(parse, apply):
    body = "t = Constant <value = int64[2,2] {5,6,5,6}> () y = GatherElements <axis = 1> (t, i)"
    model = parse(f"g (int64[2,3] i) => (int64[2,3] y) {{ {body} }}")
    found = apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 1, -1], [1, 1, 0]])})
    assert found.ops[-1] == "Gather"


def test_an_expand_to_a_batch_that_is_not_known(parse, apply):
    body = "b = Shape <end = 1> (i) n = Constant <value = int64[1] {4}> () s = Concat <axis = 0> (b, n)"
    text = f"{constants(t=[[5, 6, 7, 8]])} {{ {body} w = Expand(t, s) y = GatherElements <axis = 1> (w, i) }}"
    model = parse(f"g (int64[b,s] i) => (int64[b,s] y) {text}")
    assert apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 3, -1], [2, 2, 1]])}).ops == ["Gather"]


@pytest.mark.parametrize(
    ("table", "axis", "expand", "note"),
    [
        ([[5, 6, 7], [5, 6, 8]], 1, "", "the rows of 't' differ"),
        ([[5], [6]], 1, "2,3", "is no constant, and no Expand of one"),
    ],
)
def test_rows_that_differ_stay(parse, apply, table, axis, expand, note):
    model = elements(parse, table, axis, expand=expand)
    found = apply(model, LowerGatherElements(), inputs={"i": np.array([[0, 1, 2], [2, 2, 1]])})
    assert found.ops[-1] == "GatherElements"
    assert note in found.notes[0]


def test_rows_that_are_computed_stay(parse, apply):
    text = "(int64[2,4] t, int64[2,3] i) => (int64[2,3] y) { y = GatherElements <axis = 1> (t, i) }"
    found = apply(
        parse(f"g {text}"), LowerGatherElements(), inputs={"t": np.arange(8).reshape(2, 4), "i": np.ones((2, 3), int)}
    )
    assert found.ops == ["GatherElements"]
    assert "is no constant" in found.notes[0]
