"""Every transfer function of every analysis, on each of ONNX's test cases of its operator, as ONNX Runtime runs it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from regraft.analysis.affine_index import AffineIndices
from regraft.analysis.certainty import ARITHMETIC, LAYERS, NOTHING
from regraft.analysis.scalar_constants import ScalarConstants
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_ranges import ValueRanges
from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.models import backend_cases
from regraft.models.backend_cases import Case
from regraft.runtime import Session

TABLES = (ValueRanges, Uniformity, ScalarConstants, AffineIndices)
OPERATORS = sorted(set().union(*(analysis.table for analysis in TABLES)))
WITHOUT_CASES = {"SimplifiedLayerNormalization"}  # it is ONNX Runtime's own


@cache
def cases() -> dict[str, list[str]]:
    """Names of the cases of one node, by operator."""
    found: dict[str, list[str]] = {}
    for name, source in backend_cases.sources().items():
        if name.startswith("node/") and source.model is not None and len(source.model.graph.node) == 1:
            node = source.model.graph.node[0]
            if not node.domain:
                found.setdefault(node.op_type, []).append(name)
    return found


def variants(case: Case, values: list[Any]) -> Iterator[tuple[onnx.ModelProto, list[Any]]]:
    """The case as it is; with constants for its inputs, some of them or all; with floats that are all the same."""
    arrays = [value if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else None for value in values]
    yield case.model, values
    yield fixed(case.model, arrays), values
    yield fixed(case.model, [None, *arrays[1:]]), values
    yield fixed(case.model, [arrays[0], *(None for _ in arrays[1:])]), values
    for number in (0.5, -3.0, 70000.0):
        filled = [
            v if a is None or a.dtype.kind != "f" else np.full_like(a, number)
            for v, a in zip(values, arrays, strict=True)
        ]
        yield fixed(case.model, [f if a is not None else None for f, a in zip(filled, arrays, strict=True)]), filled
        yield case.model, filled
    repeated = [
        v
        if a is None or a.dtype.kind != "f" or not a.ndim or not a.size
        else np.repeat(a.take([0], -1), a.shape[-1], -1)
        for v, a in zip(values, arrays, strict=True)
    ]
    yield fixed(case.model, [r if a is not None else None for r, a in zip(repeated, arrays, strict=True)]), repeated


def fixed(proto: onnx.ModelProto, arrays: list[np.ndarray | None]) -> onnx.ModelProto:
    """With constants for the inputs that have an array."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.input[:]
    for info, array in zip(proto.graph.input, arrays, strict=True):
        if array is None:
            made.graph.input.append(info)
        else:
            made.graph.initializer.append(numpy_helper.from_array(array, info.name))
    return made


def holds(model: Model, tensor: Tensor, value: np.ndarray, is_ordinary: bool) -> int:
    """Hold what each analysis claims of `tensor` against its elements; how many of them claim something."""
    said = 0
    known = model.facts(ValueRanges)[tensor]
    numbers = value[~np.isnan(value)].astype(np.float64) if value.dtype.kind == "f" else value
    if known.finite and (is_ordinary or not known.assumes & (LAYERS | ARITHMETIC)):
        said += 1
        assert np.isfinite(value).all(), known
        assert known.assumes is not NOTHING or np.all(np.abs(numbers.astype(object)) <= known.size * (1 + 1e-6)), known
    if is_ordinary or not known.assumes & (LAYERS | ARITHMETIC):
        assert all(known.low <= n.item() <= known.high for n in numbers.reshape(-1)), (known, numbers)
    axes = model.facts(Uniformity)[tensor].axes
    for axis in axes:
        first = value.take([0], axis)
        assert ((value == first) | ((value != value) & (first != first))).all(), axis
    number = model.facts(ScalarConstants)[tensor]
    if number is not None:
        said += 1
        np.testing.assert_allclose(value.astype(np.float64), number, rtol=1e-2 if value.dtype.itemsize == 2 else 1e-5)
    index = model.facts(AffineIndices)[tensor]
    if index is not None and all(isinstance(n, int) for n in (index.start, *index.steps)):
        said += 1
        places = np.indices(value.shape)
        counted = (
            index.start + sum(s * p for s, p in zip(index.steps, places, strict=True)) if value.ndim else index.start
        )
        np.testing.assert_array_equal(value, counted)
    return said + bool(axes)


@pytest.mark.parametrize("nth", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("op", [op for op in OPERATORS if op not in WITHOUT_CASES])
def test_what_is_claimed_holds(op: str, nth: int) -> None:
    said = ran = 0
    for name in cases()[op]:
        case = backend_cases.read(name)
        for proto, values in islice(variants(case, case.runs[0][0]), 0, None, nth):
            left = [v for info, v in zip(case.model.graph.input, values, strict=True) if info in proto.graph.input]
            if op == "DequantizeLinear":  # ONNX Runtime has no newer one
                proto = deepcopy(proto)
                proto.opset_import[0].version = 21
            try:
                session = Session(proto, threads=1)
                made = session.run(dict(zip([info.name for info in proto.graph.input], left, strict=True)))
            except RegraftError:
                continue
            ran += 1
            model = from_proto(proto)
            for tensor in model.graph.outputs:
                value = made[tensor.name]
                if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.size:
                    said += holds(model, tensor, value, values is case.runs[0][0])
    assert ran, f"no case of {op} runs"
    assert said, f"nothing is claimed of {op}"
