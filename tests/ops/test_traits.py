"""The traits that say which elements are there, on every one of ONNX's test cases, as ONNX Runtime runs them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from regraft.ops.traits import (
    BROADCASTS,
    COMMUTATIVE,
    COMPARISONS,
    ELEMENTWISE,
    LAYOUT,
    LOGIC,
    MOVES,
    RANDOM,
    REARRANGES,
    REGROUPS,
    SHAPE_ONLY,
    SYMMETRIC,
    VIEWS,
)
from tests.ops.cases import NAMES, bits, each, is_array, of, opened, run


@pytest.mark.parametrize("op", of(VIEWS))
def test_views_keep_elements_and_their_order(op: str) -> None:
    for case, session, values in each(op):
        if is_array(values[0]):
            assert bits(run(session, case, values)[0]) == bits(values[0])


@pytest.mark.parametrize("op", of(REARRANGES))
def test_each_element_is_there_once(op: str) -> None:
    for case, session, values in each(op):
        if is_array(values[0]):
            assert sorted(bits(run(session, case, values)[0])) == sorted(bits(values[0]))


@pytest.mark.parametrize("op", of(LAYOUT))
def test_each_element_is_there(op: str) -> None:
    for case, session, values in each(op):
        if is_array(values[0]):
            assert set(bits(run(session, case, values)[0])) == set(bits(values[0]))


@pytest.mark.parametrize("op", of(MOVES))
def test_no_other_element_is_there(op: str) -> None:
    for case, session, values in each(op):
        if is_array(values[0]):
            distinct = np.arange(values[0].size).reshape(values[0].shape).astype(values[0].dtype)
            for given in (values[0], distinct):
                for output in run(session, case, [given, *values[1:]]):
                    assert set(bits(output)) <= set(bits(given))


@pytest.mark.parametrize("op", of(SHAPE_ONLY))
def test_values_do_not_matter(op: str) -> None:
    for case, session, values in each(op):
        other = np.ones_like(values[0])
        assert bits(run(session, case, values)[0]) == bits(run(session, case, [other, *values[1:]])[0])


@pytest.mark.parametrize("op", of(BROADCASTS))
def test_inputs_may_be_broadcast_before(op: str) -> None:
    for case, _, values in each(op):
        session = opened(case)
        wide = [np.ascontiguousarray(value) for value in np.broadcast_arrays(*values)]
        assert bits(run(session, case, values)[0]) == bits(run(session, case, wide)[0])


@pytest.mark.parametrize("op", of(ELEMENTWISE))
def test_elements_are_computed_alike_at_each_place(op: str) -> None:
    random = np.random.default_rng(0)
    for case, _, values in each(op):
        if not all(map(is_array, values)):
            continue
        session = opened(case)
        wide = [np.ascontiguousarray(v) for v in np.broadcast_arrays(*values)] if op in BROADCASTS else values
        order = random.permutation(wide[0].size)
        moved = [v.reshape(-1)[order] if v.size == order.size else v for v in wide]
        straight, turned = run(session, case, wide)[0], run(session, case, moved)[0]
        assert straight.shape == wide[0].shape
        if straight.dtype.kind in "iub":
            np.testing.assert_array_equal(turned, straight.reshape(-1)[order])
        else:  # vectors and what is left of them are rounded by different code
            near = 1e-5 if straight.itemsize >= 4 else 1e-2
            one, other = (np.asarray(v, np.float64) for v in (turned, straight.reshape(-1)[order]))
            np.testing.assert_allclose(one, other, rtol=near)


@pytest.mark.parametrize("op", of(SYMMETRIC))
def test_two_inputs_may_change_places(op: str) -> None:
    tried = 0
    for case, _, values in each(op):
        if len(values) != 2:
            continue
        session, tried = opened(case), tried + 1
        one, other = run(session, case, values)[0], run(session, case, values[::-1])[0]
        if op in COMMUTATIVE:
            assert bits(one) == bits(other)
        np.testing.assert_array_equal(one, other)
    assert tried


@pytest.mark.parametrize("op", of(LOGIC | COMPARISONS))
def test_truths_are_given(op: str) -> None:
    for case, session, values in each(op):
        assert run(session, case, values)[0].dtype == bool
        if op in LOGIC:
            assert {value.dtype for value in values} == {np.dtype(bool)}


def test_traits_that_follow_from_others() -> None:
    assert REGROUPS < VIEWS < REARRANGES < LAYOUT < MOVES
    assert COMMUTATIVE < SYMMETRIC < BROADCASTS < ELEMENTWISE
    assert COMPARISONS | LOGIC < ELEMENTWISE
    assert not RANDOM & (ELEMENTWISE | MOVES | SHAPE_ONLY)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_is_one(name: str) -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    assert NAMES[name] <= known


def test_what_draws_is_random() -> None:
    """Operators of which ONNX says that they have a seed."""
    seeded = {s.name for s in onnx.defs.get_all_schemas_with_history() if "seed" in s.attributes and not s.domain}
    assert seeded <= RANDOM
