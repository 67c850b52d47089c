"""What changes at one end of a link changes at the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.ir.graph import Constant, Node, Variable

VALUES = 4
PLACES = st.integers(-6, 6)
SLICES = st.builds(slice, st.none() | PLACES, st.none() | PLACES, st.sampled_from([None, 1, 2, -1]))
SOME = st.lists(st.integers(0, VALUES - 1), max_size=4)
ONE = st.integers(0, VALUES - 1)


def _assign(links: Any, place: Any, item: Any) -> None:
    links[place] = item


def _delete(links: Any, place: Any) -> None:
    del links[place]


def _add(links: Any, items: Any) -> None:
    links += items


CHANGES: dict[str, tuple[Callable[..., Any], Any]] = {
    "append": (lambda links, pick, one: links.append(pick(one)), st.tuples(ONE)),
    "extend": (lambda links, pick, some: links.extend(map(pick, some)), st.tuples(SOME)),
    "add": (lambda links, pick, some: _add(links, list(map(pick, some))), st.tuples(SOME)),
    "insert": (lambda links, pick, place, one: links.insert(place, pick(one)), st.tuples(PLACES, ONE)),
    "remove": (lambda links, pick, one: links.remove(pick(one)), st.tuples(ONE)),
    "pop": (lambda links, pick, place: links.pop(place), st.tuples(PLACES)),
    "clear": (lambda links, pick: links.clear(), st.tuples()),
    "assign": (lambda links, pick, place, one: _assign(links, place, pick(one)), st.tuples(PLACES, ONE)),
    "assign slice": (
        lambda links, pick, where, some: _assign(links, where, list(map(pick, some))),
        st.tuples(SLICES, SOME),
    ),
    "delete": (lambda links, pick, place: _delete(links, place), st.tuples(PLACES)),
    "delete slice": (lambda links, pick, where: _delete(links, where), st.tuples(SLICES)),
}
STEP = st.sampled_from(sorted(CHANGES)).flatmap(lambda name: st.tuples(st.just(name), CHANGES[name][1]))


@pytest.mark.parametrize("ends", ["inputs", "outputs"])
@given(steps=st.lists(st.tuples(st.integers(0, 1), STEP), max_size=20))
def test_both_ends_agree_and_the_list_is_as_pythons(
    ends: str, steps: list[tuple[int, tuple[str, tuple[Any, ...]]]]
) -> None:
    values = [Variable(f"v{i}") for i in range(VALUES)]
    nodes, plain = [Node("A"), Node("B")], [list[Variable](), list[Variable]()]
    for number, (name, arguments) in steps:
        change, _ = CHANGES[name]
        outcomes = []
        for links in (getattr(nodes[number], ends), plain[number]):
            try:
                outcomes.append((change(links, values.__getitem__, *arguments), None))
            except (IndexError, ValueError) as error:
                outcomes.append((None, type(error)))
        assert outcomes[0] == outcomes[1]
        assert [getattr(node, ends) for node in nodes] == plain
        far = "outputs" if ends == "inputs" else "inputs"
        for value in values:
            wanted = Counter(node for node in nodes for one in getattr(node, ends) if one is value)
            assert Counter(getattr(value, far)) == wanted


def test_a_list_is_assigned_and_stays_linked() -> None:
    node, a, b = Node("Add"), Variable("a"), Variable("b")
    node.inputs = [a, b, a]
    links = node.inputs
    node.inputs = [b]
    assert links is node.inputs
    assert (list(a.outputs), list(b.outputs)) == ([], [node])
    node.inputs += [a]
    assert a.users == [node]


def test_a_value_knows_its_maker() -> None:
    made = Variable("made")
    node = Node("Relu", inputs=[Variable("x")], outputs=[made])
    assert made.producer is node
    assert node.inputs[0].producer is None


def test_a_value_becomes_a_constant_and_back_where_it_stands() -> None:
    x = Variable("x", np.dtype(np.float32), ["n"])
    node = Node("Relu", inputs=[x], outputs=[Variable("y")])
    constant = x.to_constant(np.zeros(3, np.int64))
    assert node.inputs[0] is x is constant
    assert type(x) is Constant
    assert (x.dtype, x.shape, x.size) == (np.int64, (3,), 3)
    variable = x.to_variable(shape=["m"])
    assert node.inputs[0] is x is variable
    assert type(x) is Variable
    assert (x.dtype, x.shape, x.default) == (np.int64, ["m"], None)


def test_a_constant_takes_arrays_only() -> None:
    with pytest.raises(TypeError, match=r"constant 'c' takes an array, not list"):
        Constant("c", [1, 2])  # type: ignore[arg-type]
