"""Making the nodes of a term."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regraft.errors import PassError
from regraft.ir import schema
from regraft.ir.graph import Constant, Tensor, Variable
from regraft.ir.weights import Value
from regraft.refusal import INFER_SHAPES, run_before
from regraft.rewriting.term import Apply, Given, Number, Term

Emit = Callable[[str, list[Tensor], dict[str, Any], str | None], Tensor]
Store = Callable[[Any, str], Constant]


class Builder:
    """Makes nodes through `emit` and constants through `store`.

    Args:
        emit: from operator, inputs, attributes and domain to the new node's output.
        store: from an array, or a value of weights, and a hint at its name to a constant.
        opset: attributes that this opset takes as inputs are made inputs.
        dtype: what numbers become; None where it is not known, and then there can be none.
    """

    def __init__(self, emit: Emit, store: Store, opset: int, dtype: np.dtype[Any] | None):
        self.emit, self.store, self.opset, self.dtype = emit, store, opset, dtype
        self._made: dict[int, tuple[Term, Tensor]] = {}  # with the term, whose id another would get once it is gone

    def __call__(self, term: Term | None) -> Tensor:
        """The value of `term`; a term that stands in several places is made once."""
        if term is None:
            return Variable("")
        if id(term) not in self._made:
            self._made[id(term)] = term, self._make(term)
        return self._made[id(term)][1]

    def _make(self, term: Term) -> Tensor:
        match term:
            case Given(value):
                return self.store(value, "constant") if isinstance(value, np.ndarray | Value) else value
            case Number(value):
                if self.dtype is None:
                    raise PassError(run_before(INFER_SHAPES, f"the type of {value:g} is not known"))
                return self.store(np.array(value, self.dtype), f"{value:.7g}")
            case Apply():
                return self._apply(term)
        raise TypeError(f"a replacement cannot hold {term!r}")

    def _apply(self, term: Apply) -> Tensor:
        operands = list(term.operands)
        while operands and operands[-1] is None:
            operands.pop()
        inputs = [self(operand) for operand in operands]
        attrs = {}
        known = schema.find(term.op, self.opset, term.domain)
        for name, value in term.attrs.items():
            if value is None:
                continue
            if known is not None and schema.is_input(term.op, name, self.opset, term.domain):
                place = schema.input_place(term.op, name, self.opset, term.domain)
                inputs += [Variable("") for _ in range(len(inputs), place)]
                inputs.insert(place, self.store(np.array(value, np.int64), name))
            elif known is None or name in known.attributes:
                attrs[name] = value
            else:
                raise PassError(f"opset {self.opset} has no attribute '{name}' of {term.op}")
        return self.emit(term.op, inputs, attrs, term.domain)
