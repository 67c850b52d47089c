"""Whether whole numbers fit a dtype of fewer bits, in which a model computes them after a rewrite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from regraft.analysis.certainty import DIMENSIONS
from regraft.analysis.interval import Interval, both, of_dtype
from regraft.analysis.value_ranges import ValueRanges
from regraft.ir.graph import Node, Tensor
from regraft.ir.weights import dtype_from_onnx
from regraft.ops.traits import ARITHMETIC, GATHERS, VIEWS
from regraft.proving.side import Side

_WIDE = 8
"""Bytes of whole numbers that are taken not to overflow."""
_GROW = ARITHMETIC | {
    "Abs",
    "BitShift",
    "Cast",
    "CumSum",
    "Gemm",
    "MatMul",
    "Neg",
    "Pow",
    "ReduceProd",
    "ReduceSum",
    "Sum",
}


class Narrowing:
    """Compares the dtypes of whole numbers before and after; a number fits that no dimension can be larger than."""

    def __init__(self, before: Side, after: Side):
        self.before, self.after = before, after
        self._ranges = [stage.facts(ValueRanges) for stage in before.stages]
        self._after = [stage.facts(ValueRanges) for stage in after.stages]

    def problem(self, before: Tensor, after: Tensor) -> str:
        """Why a value may not be the same in the dtype that it has after; empty where it is."""
        old, new = self._whole(self.before, before), self._whole(self.after, after)
        if old is None or new is None or old == new:
            return ""
        limits, found = of_dtype(new), self._range(before)
        if limits.low <= found.low and found.high <= limits.high and found.assumes in DIMENSIONS:
            return ""
        return f"'{before.name}' may not fit {new}"

    def overflow(self, node: Node, after: Tensor) -> str:
        """Why whole numbers that `node` computes, which the model before does not have, may be no such numbers."""
        dtype = self._whole(self.after, after)
        if dtype is None or dtype.itemsize >= _WIDE or node.op not in _GROW or node.domain:
            return ""
        if self._after[self.after.stage(after)][after] != of_dtype(dtype):
            return ""
        return f"'{after.name}' may overflow {dtype}"

    @staticmethod
    def _whole(side: Side, tensor: Tensor) -> np.dtype[np.signedinteger] | None:
        code = side.fact(tensor).code
        dtype = np.dtype(dtype_from_onnx(code)) if code else None
        return dtype if dtype is not None and dtype.kind in "iu" else None

    def _range(self, tensor: Tensor) -> Interval:
        """Between which numbers the elements lie wherever the model before runs."""
        found: Interval = self._ranges[self.before.stage(tensor)][tensor]
        for rows in self._indexed(tensor):
            found = both(found, Interval(-rows, rows - 1, float(rows)))
        return found

    def _indexed(self, tensor: Tensor) -> Iterator[int]:
        """The sizes of the axes that a value is an index of: another would stop the model."""
        graphs = {stage.graph for stage in self.before.stages}
        pending, seen = [tensor], set()
        while pending:
            one = pending.pop()
            seen.add(one)
            for node in one.users:
                if node.domain or node.graph not in graphs:
                    continue  # a body may not run
                if node.op in GATHERS - {"GatherND"} and node.inputs[1] is one:
                    dims, axis = self.before.fact(node.inputs[0]).dims, node.attrs.get("axis", 0)
                    if dims is not None and -len(dims) <= axis < len(dims) and isinstance(dims[axis], int):
                        yield int(dims[axis])
                elif node.op in VIEWS and node.inputs[0] is one:
                    pending += [made for made in node.outputs if made not in seen]
