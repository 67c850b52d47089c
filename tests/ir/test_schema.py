from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor, Variable


def constant(*values: float, dtype: type = np.int64) -> Constant:
    return Constant("c", np.array(values, dtype))


def scalar(value: float, dtype: type = np.float32) -> Constant:
    return Constant("c", np.array(value, dtype))


X = Variable("x")


@pytest.mark.parametrize(
    ("op", "attrs", "inputs", "opset", "name", "expected"),
    [
        ("ReduceMean", {"axes": [1]}, [X], 13, "axes", [1]),
        ("ReduceMean", {}, [X, constant(1, 2)], 18, "axes", [1, 2]),
        ("ReduceMean", {}, [X], 18, "axes", None),
        ("ReduceMean", {}, [X, Variable("")], 18, "axes", None),
        ("ReduceMean", {}, [X, Variable("axes")], 18, "axes", None),
        ("ReduceMean", {}, [X], 18, "keepdims", 1),
        ("ReduceMean", {"keepdims": 0}, [X], 18, "keepdims", 0),
        ("Dropout", {"ratio": 0.3}, [X], 11, "ratio", 0.3),
        ("Dropout", {}, [X], 11, "ratio", 0.5),
        ("Dropout", {}, [X, scalar(0.25)], 13, "ratio", 0.25),
        ("Dropout", {}, [X, Variable(""), scalar(True, np.bool_)], 13, "training_mode", True),
        ("Gelu", {}, [X], 20, "approximate", "none"),
        ("LayerNormalization", {}, [X], 17, "axis", -1),
        ("Relu", {}, [X], 17, "nothing", None),
        ("Unknown", {}, [X], 17, "axes", None),
        ("Unknown", {"axes": 3}, [X], 17, "axes", 3),
    ],
)
def test_an_attribute_is_read_where_its_opset_puts_it(
    op: str, attrs: dict[str, Any], inputs: list[Tensor], opset: int, name: str, expected: Any
) -> None:
    found = schema.attribute(Node(op, "", attrs, inputs), name, opset)
    assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected


@pytest.mark.parametrize(
    ("op", "name", "opset", "place"),
    [
        ("ReduceMean", "axes", 17, None),
        ("ReduceMean", "axes", 18, 1),
        ("Dropout", "ratio", 12, 1),
        ("No", "axes", 1, None),
    ],
)
def test_what_is_an_input_depends_on_the_opset(op: str, name: str, opset: int, place: int | None) -> None:
    assert schema.is_input(op, name, opset) == (place is not None)
    if place is not None:
        assert schema.input_place(op, name, opset) == place


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"value": constant(1, 2)}, np.array([1, 2])),
        ({"value_float": 0.5}, np.array(0.5, np.float32)),
        ({"value_floats": [0.5, 1.0]}, np.array([0.5, 1.0], np.float32)),
        ({"value_int": 3}, np.array(3)),
        ({"value_ints": [3, 4]}, np.array([3, 4])),
        ({"value_string": "a"}, np.array("a", object)),
        ({"value_strings": ["a", "b"]}, np.array(["a", "b"], object)),
        ({"value_float": Node.AttributeRef("alpha", float)}, None),
        ({"sparse_value": object()}, None),
        ({}, None),
    ],
)
def test_the_value_of_a_constant_node(attrs: dict[str, Any], expected: np.ndarray | None) -> None:
    node = Node("Constant", "", attrs, [], [Variable("c")])
    found = schema.constant_of(node.outputs[0])
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_what_is_no_constant_has_no_value() -> None:
    assert schema.constant_of(X) is None
    assert schema.constant_of(Node("Relu", "", None, [X], [Variable("y")]).outputs[0]) is None
    other = Node("Constant", "", {"value": constant(1)}, [], [Variable("y")], "com.example")
    assert schema.constant_of(other.outputs[0]) is None


@pytest.mark.parametrize(
    ("op", "opset", "domain", "since"),
    [("Gelu", 20, None, 20), ("Gelu", 19, None, None), ("Add", 17, "", 14), ("Scaler", 3, "ai.onnx.ml", 1)],
)
def test_find(op: str, opset: int, domain: str | None, since: int | None) -> None:
    found = schema.find(op, opset, domain)
    assert (found.since_version if found else None) == since


def test_names_and_since() -> None:
    assert "Gelu" in schema.names()
    assert "Gelu" not in schema.names(19)
    assert "Gelu" in schema.names(20)
    assert "Scaler" not in schema.names()
    assert (schema.since("Gelu"), schema.since("Add")) == (20, 1)


HALF = Variable("h", np.float16, [2])


@pytest.mark.parametrize(
    ("op", "attrs", "inputs", "expected"),
    [
        ("Mul", {}, [X, HALF], np.float16),
        ("Where", {}, [Variable("c", np.bool_), X, HALF], np.float16),
        ("Equal", {}, [HALF, HALF], np.bool_),
        ("Shape", {}, [HALF], np.int64),
        ("Cast", {"to": 1}, [HALF], np.float32),
        ("Gather", {}, [HALF, constant(0)], np.float16),
        ("Mul", {}, [X, X], None),
        ("NoOperator", {}, [HALF], None),
    ],
)
def test_output_dtype_is_the_operators(op, attrs, inputs, expected):
    assert schema.output_dtype(Node(op, "n", attrs, inputs, [Variable("y")]), 18) == expected
