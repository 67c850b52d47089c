"""The traits that say what becomes of numbers, on every one of ONNX's test cases, as ONNX Runtime runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from regraft.models.backend_cases import Case
from regraft.ops.traits import (
    ACTIVATIONS,
    ALONG_AXIS,
    ARITHMETIC,
    AVERAGES,
    BODIES,
    BROADCASTS,
    COMPARES,
    CONVOLUTIONS,
    ELEMENTWISE,
    EXTREMES,
    GATHERS,
    IDEMPOTENT,
    KEEPS_ONE,
    MERGES,
    MOVES,
    NORMALIZATIONS,
    ORDERINGS,
    PRODUCTS,
    QUANTIZED_PRODUCTS,
    RECURRENT,
    REDUCTIONS,
    ROUNDS,
    SATURATES,
    SHRINKS,
    SOFTMAXES,
    SUMS,
    WHOLE,
)
from regraft.runtime import Session
from tests.ops.cases import bits, each, is_array, of, opened, run

Array = npt.NDArray[Any]


def attributes(case: Case) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in case.model.graph.node[0].attribute}


def at(case: Case, index: int) -> int | None:
    """Which of the values the node reads there."""
    read = case.model.graph.node[0].input
    names = [info.name for info in case.model.graph.input]
    return names.index(read[index]) if index < len(read) and read[index] else None


def is_float(value: Any) -> bool:
    return is_array(value) and value.dtype.kind == "f"


def is_finite(value: Any) -> bool:
    return is_array(value) and (not is_float(value) or bool(np.isfinite(value).all()))


def of_floats(op: str) -> Iterator[tuple[Case, Session, list[Any]]]:
    """The cases that read floats, all finite; if there is none, floats take the place of what has the first type."""
    every = each(op)
    if not any(is_float(value) for _, _, values in every for value in values):
        every = [in_floats(case, values) for case, _, values in every if is_array(values[0])]
    found = [(c, s, v) for c, s, v in every if all(map(is_finite, v)) and v[0].size and any(map(is_float, v))]
    assert found, f"no case of {op} is of floats"
    yield from found


def in_floats(case: Case, values: list[Any]) -> tuple[Case, Session, list[Any]]:
    """The case with floats for what has the type of the first input."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    known = onnx.defs.get_schema(case.model.graph.node[0].op_type)
    changed = list(values)
    for ends, formal in ((model.graph.input, known.inputs), (model.graph.output, known.outputs)):
        for index, info in enumerate(ends):
            if formal[min(index, len(formal) - 1)].type_str == known.inputs[0].type_str:
                info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
                if ends is model.graph.input:
                    changed[index] = values[index].astype(np.float32)
    retyped = replace(case, model=model)
    return retyped, Session(model, threads=1), changed


def replaced(values: list[Any], index: int, value: Any) -> list[Any]:
    return [*values[:index], value, *values[index + 1 :]]


@pytest.mark.parametrize("op", of(GATHERS))
def test_the_second_input_names_elements(op: str) -> None:
    for case, session, values in each(op):
        given = np.arange(values[0].size).reshape(values[0].shape).astype(values[0].dtype)
        index = np.zeros_like(values[1])
        first = attributes(case).get("batch_dims", 0) if op == "GatherND" else attributes(case).get("axis", 0)
        axes = range(first, first + index.shape[-1]) if op == "GatherND" else [first]
        allowed = given
        for axis in axes:
            allowed = np.take(allowed, [0], axis)
        assert set(bits(run(session, case, [given, index])[0])) <= set(bits(allowed))


@pytest.mark.parametrize("op", of(MERGES))
def test_elements_of_all_inputs_are_there(op: str) -> None:
    tried = 0
    for case, session, values in each(op):
        if attributes(case).get("reduction", b"none") == b"none":
            tried += 1
            known = {element for value in values if is_array(value) for element in bits(value)}
            output = run(session, case, values)[0]
            assert set(bits(output)) <= known | set(bits(np.zeros(1, output.dtype)))
    assert tried


@pytest.mark.parametrize("op", of(EXTREMES))
def test_extremes_are_chosen_by_their_order(op: str) -> None:
    for case, session, values in of_floats(op):
        chosen = run(session, case, values)[0]
        assert set(bits(chosen)) <= set(bits(values[0]))
        bent = np.sign(values[0]) * values[0] ** 2
        again = run(session, case, [bent, *values[1:]])[0]
        np.testing.assert_array_equal(again, np.sign(chosen) * chosen**2)


@pytest.mark.parametrize("op", of(ROUNDS))
def test_whole_numbers_are_next_to_what_is_rounded(op: str) -> None:
    for case, session, values in of_floats(op):
        rounded = run(session, case, values)[0]
        assert (rounded == np.rint(rounded)).all()
        assert (np.abs(rounded - values[0]) < 1).all()


@pytest.mark.parametrize("op", of(IDEMPOTENT))
def test_once_is_as_good_as_twice(op: str) -> None:
    for case, session, values in each(op):
        once = run(session, case, values)
        assert bits(run(session, case, once)[0]) == bits(once[0])


@pytest.mark.parametrize("op", of(SHRINKS))
def test_no_element_is_larger_than_its_own(op: str) -> None:
    random = np.random.default_rng(0)
    for case, session, values in of_floats(op):
        for spread in (0.1, 1, 30):
            wide = (random.standard_normal(values[0].shape) * spread).astype(values[0].dtype)
            assert (np.abs(run(session, case, [wide, *values[1:]])[0]) <= np.abs(wide) * (1 + 1e-3)).all()


@pytest.mark.parametrize("op", of(ACTIVATIONS))
def test_far_from_zero_activations_are_proportional_or_constant(op: str) -> None:
    for case, session, values in of_floats(op):
        for sign in (1, -1):
            far, farther = (
                run(session, case, [np.full_like(values[0], sign * size), *values[1:]])[0] for size in (64, 128)
            )
            is_close = np.isclose(farther, far, rtol=1e-2) | np.isclose(farther, 2 * far, rtol=1e-2)
            assert is_close.all()


@pytest.mark.parametrize("op", of(AVERAGES))
def test_averages_lie_between(op: str) -> None:
    for case, session, values in of_floats(op):
        average, slack = run(session, case, values)[0], 1e-3
        assert average.min() >= min(0, *(value.min() for value in values if is_float(value))) - slack
        assert average.max() <= max(0, *(value.max() for value in values if is_float(value))) + slack


@pytest.mark.parametrize("op", of(SOFTMAXES))
def test_a_number_may_be_added(op: str) -> None:
    for case, session, values in of_floats(op):
        before, after = (run(session, case, [values[0] + shift])[0] for shift in (0, 3))
        np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("op", of(NORMALIZATIONS))
def test_a_factor_goes(op: str) -> None:
    for case, session, values in of_floats(op):
        large, larger = (run(session, case, [values[0] * factor, *values[1:]])[0] for factor in (1024, 4096))
        np.testing.assert_allclose(large, larger, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("op", of(SATURATES))
def test_results_are_at_most_one(op: str) -> None:
    random = np.random.default_rng(0)
    for case, session, values in of_floats(op):
        for spread in (0.1, 1, 100):
            wide = (random.standard_normal(values[0].shape) * spread).astype(values[0].dtype)
            assert np.abs(run(session, case, [wide, *values[1:]])[0]).max() <= 1 + 1e-5


@pytest.mark.parametrize("op", of(ARITHMETIC))
def test_the_four_signs_compute_as_numpy_does(op: str) -> None:
    sign = {"Add": np.add, "Div": np.divide, "Mul": np.multiply, "Sub": np.subtract}[op]
    for case, session, values in of_floats(op):
        np.testing.assert_allclose(run(session, case, values)[0], sign(*values), rtol=1e-6)


@pytest.mark.parametrize("op", of(SUMS))
def test_twice_the_inputs_make_twice_the_result(op: str) -> None:
    for case, session, values in each(op):
        doubled = run(session, case, [value + value for value in values])[0]
        once = run(session, case, values)[0]
        assert bits(doubled) == bits(once + once)


@pytest.mark.parametrize("op", of(WHOLE))
def test_whole_numbers_stay_whole(op: str) -> None:
    for case, _, values in of_floats(op):
        whole = [np.where(np.rint(v) == 0, 1, np.rint(v)).astype(v.dtype) if is_float(v) else v for v in values]
        made = run(opened(case), case, whole)[0]
        assert (made == np.rint(made)).all()


@pytest.mark.parametrize("op", of(REDUCTIONS))
def test_the_order_along_reduced_axes_does_not_matter(op: str) -> None:
    tried = 0
    for case, session, values in of_floats(op):
        axes = values[1].tolist() if len(values) > 1 else attributes(case).get("axes", [])
        if attributes(case).get("noop_with_empty_axes") and not axes:
            continue
        turned = np.flip(values[0], tuple(axes) or None)
        before, after = (run(session, case, [value, *values[1:]])[0] for value in (values[0], turned))
        np.testing.assert_allclose(before, after, rtol=1e-5)
        tried += before.size < values[0].size
    assert tried


@pytest.mark.parametrize("op", of(KEEPS_ONE))
def test_one_number_is_kept(op: str) -> None:
    for case, _, values in of_floats(op):
        one = values[0].reshape(-1)[:1].reshape([1] * values[0].ndim)
        assert bits(run(opened(case), case, [one, *values[1:]])[0]) == bits(one)


@pytest.mark.parametrize("op", of(ALONG_AXIS))
def test_any_axis_may_be_named(op: str) -> None:
    default = onnx.defs.get_schema(op).attributes["axis"].default_value.i
    tried = 0
    for case, _, values in each(op):
        axis, rank = attributes(case).get("axis", default), values[0].ndim
        if rank < 2 or not attributes(case).get("keepdims", 1):
            continue
        other, tried = (axis + 1) % rank, tried + 1
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        kept = [a for a in model.graph.node[0].attribute if a.name != "axis"]
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.extend([*kept, helper.make_attribute("axis", other)])
        turned = [np.swapaxes(v, axis, other) if v.ndim == rank else v for v in values]
        wanted = [np.swapaxes(out, axis, other) for out in run(opened(case), case, values)]
        for one, another in zip(run(opened(replace(case, model=model)), case, turned), wanted, strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-5)
    assert tried


@pytest.mark.parametrize("op", of(PRODUCTS))
def test_products_are_linear_in_both_inputs(op: str) -> None:
    for case, session, values in of_floats(op):
        for index in range(min(2, len(values))):
            none, once, twice = (
                run(session, case, replaced(values, index, (values[index] * factor).astype(values[index].dtype)))[0]
                for factor in (0, 1, 2)
            )
            near = 1e-4 * max(1, float(np.abs(twice).max()))
            np.testing.assert_allclose(twice - once, once - none, rtol=1e-4, atol=near)


@pytest.mark.parametrize("op", of(CONVOLUTIONS))
def test_samples_are_convolved_each_for_itself(op: str) -> None:
    sampled = (0, 2, 4) if op == "DeformConv" else (0,)
    for case, _, values in of_floats(op):
        places = [at(case, index) for index in sampled]
        twice = [np.concatenate([v, v]) if i in places else v for i, v in enumerate(values)]
        session = opened(case)
        once, both = run(session, case, values)[0], run(session, case, twice)[0]
        assert once.ndim == values[0].ndim > 2
        np.testing.assert_allclose(both, np.concatenate([once, once]), rtol=1e-5)


@pytest.mark.parametrize("op", of(QUANTIZED_PRODUCTS))
def test_numbers_are_counted_from_a_zero_point(op: str) -> None:
    tried = 0
    for case, session, values in each(op):
        zero = at(case, 2)
        by_channel = op == "ConvInteger" and len(values) > 3  # ONNX Runtime has no kernel for these
        if zero is not None and is_array(values[0]) and not by_channel:
            tried += 1
            half = replaced(replaced(values, 0, values[0] // 2), zero, values[zero] // 2)
            shifted = replaced(replaced(half, 0, half[0] + 1), zero, half[zero] + 1)
            once, other = (run(session, case, given)[0] for given in (half, shifted))
            np.testing.assert_array_equal(once, other)
    assert tried


@pytest.mark.parametrize("op", of(RECURRENT))
def test_a_step_knows_those_before_it(op: str) -> None:
    tried = 0
    for case, _, values in each(op):
        is_plain = attributes(case).get("direction", b"forward") == b"forward" and not attributes(case).get("layout", 0)
        if not is_plain or at(case, 4) is not None:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        model.graph.node[0].output[0] = "every step"
        model.graph.output.add(name="every step").type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        for info in model.graph.input:
            info.type.tensor_type.ClearField("shape")
        for info in model.graph.output:
            info.type.tensor_type.ClearField("shape")
        steps, names = np.concatenate([values[0]] * 3), [info.name for info in model.graph.input]
        other = np.concatenate([steps[:-1], -steps[-1:]])
        session = Session(model, threads=1)
        first, second = (
            session.run(dict(zip(names, [x, *values[1:]], strict=True)))["every step"] for x in (steps, other)
        )
        np.testing.assert_array_equal(first[:-1], second[:-1])
        assert (first[-1] != second[-1]).any()
        tried += 1
    assert tried


@pytest.mark.parametrize("op", of(COMPARES))
def test_a_positive_factor_changes_no_truth_and_no_index(op: str) -> None:
    for case, session, values in of_floats(op):
        scaled = [value * 2 if is_float(value) else value for value in values]
        before, after = run(session, case, values), run(session, case, scaled)
        told = [(one, other) for one, other in zip(before, after, strict=True) if one.dtype.kind in "iub"]
        assert told
        for one, other in told:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("op", of(ORDERINGS))
def test_both_orders_hold_for_what_is_equal_only(op: str) -> None:
    for case, _, values in each(op):
        session = opened(case)
        one, other = run(session, case, values)[0], run(session, case, values[::-1])[0]
        equal = np.equal(*values)
        assert (one ^ other | equal).all()
        assert ((one == other) >= equal).all()


def test_bodies_are_attributes() -> None:
    graphs = onnx.defs.OpSchema.AttrType.GRAPH
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if not s.domain]
    assert {s.name for s in schemas if any(a.type == graphs for a in s.attributes.values())} == BODIES


def test_number_traits_that_follow_from_others() -> None:
    assert ACTIVATIONS - {"PRelu"} | ROUNDS | IDEMPOTENT | SHRINKS < ELEMENTWISE
    assert ARITHMETIC | SUMS < BROADCASTS
    assert MOVES | MERGES < WHOLE
    assert CONVOLUTIONS < PRODUCTS
