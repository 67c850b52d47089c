"""What operators of other domains make, where that is known: ONNX's inference has no rules for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from regraft.shapes.facts import UNKNOWN, Fact
from regraft.shapes.op_call import Call


def infer(call: Call) -> list[Fact]:
    """What is known of each output; empty for an operator that has no rule."""
    rule = _RULES.get((call.node.domain or "", call.node.op))
    return [] if rule is None else [rule(call)]


def _product_with_bits(call: Call) -> Fact:
    """MatMulNBits: a matrix product with weights of few bits, `N` columns."""
    source, columns = call.fact(0), call.attrs.get("N")
    if source.dims is None or not isinstance(columns, int):
        return Fact(source.code)
    return Fact(source.code, (*source.dims[:-1], columns))


def _rows_of_bits(call: Call) -> Fact:
    """GatherBlockQuantized: rows of a table of few bits."""
    return Fact(call.fact(2).code) if len(call.inputs) > 2 else UNKNOWN


_RULES: Mapping[tuple[str, str], Callable[[Call], Fact]] = {
    ("com.microsoft", "GatherBlockQuantized"): _rows_of_bits,
    ("com.microsoft", "MatMulNBits"): _product_with_bits,
}
